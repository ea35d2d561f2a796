// SwiGLU: h = silu(gate) * up, silu(g) = g * sigmoid(g). All [rows, DIM].
// With GELU, GeGLU: h = gelu(gate) * up, gelu(g) = g/2 (1 + t), t = tanh(sqrt(2/pi) (g + 0.044715 g^3)).
// Backward, in place: gate becomes dgate = dh * up * (sigmoid + bent * (1 - sigmoid)), up becomes
// dup = dh * silu(gate); GELU: dgate = dh * up * ((1 + t)/2 + g/2 (1 - t^2) sqrt(2/pi) (1 + 0.134145 g^2)).
// Sources: Shazeer 2020; Hendrycks and Gimpel 2016; differentiated by hand. One invocation an element
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

//#if GELU
const ROOT = 0.7978845608028654f;
const CUBE = 0.044715f;
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
//#if GELU
  // Past 15 tanh is one in f32; large arguments overflow on some adapters.
  let inner = ROOT * (g + CUBE * g * g * g);
  let t = tanh(clamp(inner, Value(-15.0), Value(15.0)));
  let bent = 0.5 * g * (1.0 + t);
//#if BACKWARD
  let slope = 0.5 * (1.0 + t) + 0.5 * g * (1.0 - t * t) * ROOT * (1.0 + 3.0 * CUBE * g * g);
//#end
//#else
  // Past 80 the sigmoid is zero in f32 anyhow, and exp must not overflow.
  let sigmoid = 1.0 / (1.0 + exp(min(-g, Value(80.0))));
  let bent = g * sigmoid;
//#if BACKWARD
  let slope = sigmoid + bent * (1.0 - sigmoid);
//#end
//#end
//#if BACKWARD
  let d = dh[at];
  gate[at] = d * up[at] * slope;
  up[at] = d * bent;
//#else
  h[at] = bent * up[at];
//#end
}
