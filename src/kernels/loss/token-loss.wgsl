// Losses on one given token a row, and their gradient in the logits (METHOD.md 4, 4.5-4.7).
// q = softmax(student), y = token[row], A = advantage[row], l = log q(y).
//   likelihood  D = -A l                                        dD/dz = A (q - e_y)
//   TaiLr       D = -A w l, w = max(q(y) / (GAMMA + (1 - GAMMA) q(y)), LEAST), no gradient through w
//                                                               dD/dz = A w (q - e_y)
//   PPO         D = -min(A k, A clamp(k, 1 - CLIP_F, 1 + CLIP_F)), k = exp(l - old_log_prob)
//                                                               dD/dz = A k (q - e_y), 0 where clipped
// student [rows, VOCABULARY] becomes coef * dD/dz; row_loss = D. One workgroup a row.
// Flags: TAILR, PPO; neither is the likelihood.

const LOWEST = -3.4e38;

@group(0) @binding(0) var<storage, read_write> student: array<Value>;
@group(0) @binding(1) var<storage, read> token: array<u32>;
@group(0) @binding(2) var<storage, read> coef: array<f32>;
@group(0) @binding(3) var<storage, read> advantage: array<f32>;
@group(0) @binding(4) var<storage, read_write> row_loss: array<f32>;
@group(0) @binding(5) var<uniform> span: Span;
//#if PPO
@group(0) @binding(6) var<storage, read> old_log_prob: array<f32>;
//#end

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
  let y = min(token[row], VOCABULARY - 1u);
  let at = y / EACH;

  // The logit of y is picked up on the way: later passes overwrite the row.
  var top = LOWEST;
  var sum = 0.0;
  var chosen = LOWEST;
  for (var i = lane; i < WIDTH; i += LANES) {
    let z = student[base + i];
    let above = max(top, highest(z));
    sum = sum * exp(top - above) + across(exp(z - above));
    top = above;
    if (i == at) {
      chosen = element(z, y);
    }
  }
  let best = lanes_max(vec2<f32>(top, chosen), lane);
  let total = lanes_sum(vec4<f32>(sum * exp(top - best.x), 0.0, 0.0, 0.0), lane).x;
  let log_prob = (best.y - best.x) - log(total);
  let a = advantage[row];
//#if PPO
  let k = exp(log_prob - old_log_prob[row]);
  let loss = max(-a * k, -a * clamp(k, 1.0 - CLIP_F, 1.0 + CLIP_F));
  let clipped = select((k < 1.0 - CLIP_F), (k > 1.0 + CLIP_F), a > 0.0);
  let slope = select(a * k, 0.0, clipped);
//#else
//#if TAILR
  let q_y = exp(log_prob);
  let slope = a * max(q_y / (GAMMA_F + (1.0 - GAMMA_F) * q_y), LEAST_F);
//#else
  let slope = a;
//#end
  let loss = -slope * log_prob;
//#end

  let weight = coef[row] * slope;
  let to_q = weight / total;
  // 1 - q(y) as the sum of the others keeps its digits where the student is nearly certain.
  var others = 0.0;
  for (var i = lane; i < WIDTH; i += LANES) {
    var share = to_q * exp(student[base + i] - best.x);
    if (i == at) {
      share = with_element(share, y, 0.0);
    }
    others += across(share);
    student[base + i] = share;
  }
  let rest = lanes_sum(vec4<f32>(others, 0.0, 0.0, 0.0), lane).x;
  if (lane == at % LANES) {
    student[base + at] = with_element(student[base + at], y, -rest);
  }
  if (lane == 0u) {
    row_loss[row] = loss;
  }
}
