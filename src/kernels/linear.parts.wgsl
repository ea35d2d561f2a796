// Adds up the parts of linear.shared.wgsl, always in the same order: y (+)= Σ partial[part].
// y [rows, width], partial [parts][as y]. One thread a vec4.
struct Span { start: u32, rows: u32 }
// As in linear.operands.wgsl.
struct Shape {
  depth: u32,
  width: u32,
  xStride: u32,
  yStride: u32,
  xOffset: u32,
  yOffset: u32,
  accumulate: u32,
}

@group(0) @binding(0) var<uniform> span: Span;
@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read> partial: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let quad = group.x * 64u + lane;
  if (quad * 4u >= shape.width) {
    return;
  }
  let at = (span.start + group.y) * (shape.width >> 2u) + quad;
  let size = arrayLength(&y);
  var sum = vec4<f32>();
  for (var i = at; i < arrayLength(&partial); i += size) {
    sum += partial[i];
  }
  if (shape.accumulate == 1u) {
    sum += y[at];
  }
  y[at] = sum;
}
