// Soft cap of logits, in place: y = CAP * tanh(x / CAP), kept = y.
// Backward, in place: dy becomes dx = dy * (1 - (kept / CAP)^2). y, kept, dy [rows, DIM]. KEEP: whether
// the forward writes `kept`. Source: Gemma 2 (Gemma Team 2024, section 2), differentiated by hand.

struct Span { start: u32, rows: u32, unused_a: u32, unused_b: u32 }

@group(0) @binding(0) var<uniform> span: Span;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
//#if BACKWARD
@group(0) @binding(2) var<storage, read> kept: array<f32>;
//#end
//#if KEEP
@group(0) @binding(2) var<storage, read_write> kept: array<f32>;
//#end

@compute @workgroup_size(GROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.x + group.y * groups.x) * GROUP + lane;
  if (i >= span.rows * DIM) {
    return;
  }
  let at = span.start * DIM + i;
//#if BACKWARD
  let bend = kept[at] / CAP_F;
  y[at] *= 1.0 - bend * bend;
//#else
  let bent = CAP_F * tanh(clamp(y[at] / CAP_F, -15.0, 15.0));
  y[at] = bent;
//#if KEEP
  kept[at] = bent;
//#end
//#end
}
