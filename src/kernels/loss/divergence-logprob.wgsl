// Log-probability of one token per row: y[row] = logits[row, token[row]] - logsumexp(logits[row]).
// logits [rows, VOCABULARY], token u32 [rows], y [rows]. One workgroup a row.

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
    let logit = element(logits[base + at / EACH], at);
    y[row] = (logit - top) - log(sum);
  }
}
