// Deterministic sums into slots of a metrics buffer, in two dispatches of fixed shape.
// PARTIAL  partials[group] = sum over this group's stride of x * y, which may be one buffer
// else     metrics[slot.x] = sum over partials
// x, y: elements [span.start, span.start + span.rows) of flat f32 buffers.

struct Span { start: u32, rows: u32, unused_a: u32, unused_b: u32 }

//#if PARTIAL
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> partials: array<f32>;
@group(0) @binding(2) var<uniform> span: Span;
@group(0) @binding(3) var<storage, read> y: array<f32>;
//#else
@group(0) @binding(0) var<storage, read> partials: array<f32>;
@group(0) @binding(1) var<storage, read_write> metrics: array<f32>;
@group(0) @binding(2) var<uniform> slot: vec4<u32>;
//#end

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  var sum = 0.0;
//#if PARTIAL
  for (var i = group.x * LANES + lane; i < span.rows; i += PARTIALS * LANES) {
    sum += x[span.start + i] * y[span.start + i];
  }
//#else
  for (var i = lane; i < PARTIALS; i += LANES) {
    sum += partials[i];
  }
//#end
  let total = lanes_sum(vec4<f32>(sum, 0.0, 0.0, 0.0), lane).x;
  if (lane == 0u) {
//#if PARTIAL
    partials[group.x] = total;
//#else
    metrics[slot.x] = total;
//#end
  }
}
