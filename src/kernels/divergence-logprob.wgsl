// Log-probability of one token per row: y[row] = logits[row, token[row]] - logsumexp(logits[row]).
// logits [rows, VOCABULARY], token u32 [rows], y [rows]. One workgroup a row.

struct Span { start: u32, rows: u32, unused_a: u32, unused_b: u32 }

//#if VEC4
alias Value = vec4<f32>;
const WIDTH = VOCABULARY / 4u;
fn across(value: Value) -> f32 {
  return (value.x + value.y) + (value.z + value.w);
}
fn highest(value: Value) -> f32 {
  return max(max(value.x, value.y), max(value.z, value.w));
}
//#else
alias Value = f32;
const WIDTH = VOCABULARY;
fn across(value: Value) -> f32 {
  return value;
}
fn highest(value: Value) -> f32 {
  return value;
}
//#end

@group(0) @binding(0) var<storage, read> logits: array<Value>;
@group(0) @binding(1) var<storage, read> token: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> span: Span;

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let r = group.x + group.y * groups.x;
  if (r >= span.rows) {
    return;
  }
  let row = span.start + r;
  let base = row * WIDTH;
  var tops = Value(-3.4e38);
  for (var i = lane; i < WIDTH; i += LANES) {
    tops = max(tops, logits[base + i]);
  }
  let top = lanes_max(vec2<f32>(highest(tops), 0.0), lane).x;
  var sums = Value(0.0);
  for (var i = lane; i < WIDTH; i += LANES) {
    sums += exp(logits[base + i] - top);
  }
  let sum = lanes_sum(vec4<f32>(across(sums), 0.0, 0.0, 0.0), lane).x;
  if (lane == 0u) {
    let at = min(token[row], VOCABULARY - 1u);
//#if VEC4
    let logit = logits[base + at / 4u][at % 4u];
//#else
    let logit = logits[base + at];
//#end
    y[row] = (logit - top) - log(sum);
  }
}
