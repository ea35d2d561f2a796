// SwiGLU: h = silu(gate) * up, silu(g) = g * sigmoid(g). All [rows, DIM].
// Backward, in place: gate becomes dgate = dh * up * (sigmoid + silu * (1 - sigmoid)), up becomes
// dup = dh * silu(gate). Source: Shazeer 2020, differentiated by hand. One invocation an element
// (four with VEC4).

struct Span { start: u32, rows: u32, unused_a: u32, unused_b: u32 }

//#if VEC4
alias Value = vec4<f32>;
const WIDTH = DIM / 4u;
//#else
alias Value = f32;
const WIDTH = DIM;
//#end

//#if BACKWARD
@group(0) @binding(0) var<storage, read> dh: array<Value>;
@group(0) @binding(1) var<storage, read_write> gate: array<Value>;
@group(0) @binding(2) var<storage, read_write> up: array<Value>;
@group(0) @binding(3) var<uniform> span: Span;
//#else
@group(0) @binding(0) var<storage, read> gate: array<Value>;
@group(0) @binding(1) var<storage, read> up: array<Value>;
@group(0) @binding(2) var<storage, read_write> h: array<Value>;
@group(0) @binding(3) var<uniform> span: Span;
//#end

@compute @workgroup_size(GROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.x + group.y * groups.x) * GROUP + lane;
  if (i >= span.rows * WIDTH) {
    return;
  }
  let at = span.start * WIDTH + i;
  let g = gate[at];
  // Past 80 the sigmoid is zero in f32 anyhow, and exp must not overflow.
  let sigmoid = 1.0 / (1.0 + exp(min(-g, Value(80.0))));
  let silu = g * sigmoid;
//#if BACKWARD
  let d = dh[at];
  gate[at] = d * up[at] * (sigmoid + silu * (1.0 - sigmoid));
  up[at] = d * silu;
//#else
  h[at] = silu * up[at];
//#end
}
