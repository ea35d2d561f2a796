// Deterministic sums into slots of a metrics buffer, in two dispatches of fixed shape.
// PARTIAL  partials[group] = sum over this group's stride of x^2 (SQUARES) or x * y
// else     metrics[SLOT] = sum over partials
// x, y: elements [span.start, span.start + span.rows) of flat f32 buffers.

struct Span { start: u32, rows: u32, unused_a: u32, unused_b: u32 }

//#if PARTIAL
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> partials: array<f32>;
@group(0) @binding(2) var<uniform> span: Span;
//#if !SQUARES
@group(0) @binding(3) var<storage, read> y: array<f32>;
//#end
//#else
@group(0) @binding(0) var<storage, read> partials: array<f32>;
@group(0) @binding(1) var<storage, read_write> metrics: array<f32>;
//#end

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  var sum = 0.0;
//#if PARTIAL
  for (var i = group.x * LANES + lane; i < span.rows; i += PARTIALS * LANES) {
    let value = x[span.start + i];
//#if SQUARES
    sum += value * value;
//#else
    sum += value * y[span.start + i];
//#end
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
    metrics[SLOT] = total;
//#end
  }
}
