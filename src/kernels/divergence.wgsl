// Divergence of the student's next-token distribution from the target, and its gradient (METHOD.md 3.1, 4).
// Per row: q = softmax(student), p = (1 - w) softmax(teacher) + w rho (sparse), all over VOCABULARY.
//   TV          D = 1/2 sum |p - q|           dD/dz = q (s - sum s q), s = 1/2 sign(q - p)
//   KL          D = sum p log(p / q)          dD/dz = q - p
//   reverse KL  D = sum q log(q / p)          dD/dz = q (l - D), l = log(q / p)
//   JS          D = 1/2 KL(p|m) + 1/2 KL(q|m) dD/dz = 1/2 q (l - sum q l), l = log(q / m), m = (p + q) / 2
// student [rows, VOCABULARY] becomes coef * dD/dz; teacher [rows, VOCABULARY] is scratch; row_loss = D.
// One workgroup a row. An invocation reads and writes the same elements in every pass, also those of
// rho, so no barrier guards the storage between passes.
// Flags: TV, KL, or RATIO (reverse KL; with JS also set, JS). Reverse KL is infinite where p = 0 < q,
// so p is floored at 1e-37 inside the logarithm.

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

const LOWEST = -3.4e38;
const FLOOR = 1e-37;

@group(0) @binding(0) var<storage, read_write> student: array<Value>;
@group(0) @binding(1) var<storage, read_write> teacher: array<Value>;
@group(0) @binding(2) var<storage, read> coef: array<f32>;
@group(0) @binding(3) var<storage, read> w: array<f32>;
@group(0) @binding(4) var<storage, read> rho_start: array<u32>;
@group(0) @binding(5) var<storage, read> rho_token: array<u32>;
@group(0) @binding(6) var<storage, read> rho_prob: array<f32>;
@group(0) @binding(7) var<storage, read_write> row_loss: array<f32>;
@group(0) @binding(8) var<uniform> span: Span;

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

  // Pass 1: maxima.
  var top_student = Value(LOWEST);
  var top_teacher = Value(LOWEST);
  for (var i = lane; i < WIDTH; i += LANES) {
    top_student = max(top_student, student[base + i]);
    top_teacher = max(top_teacher, teacher[base + i]);
  }
  let top = lanes_max(vec2<f32>(highest(top_student), highest(top_teacher)), lane);

  // Pass 2: normalisers. The teacher's logits become (1 - w) exp(t - max).
  let keep = 1.0 - w[row];
  var sum_student = Value(0.0);
  var sum_teacher = Value(0.0);
  for (var i = lane; i < WIDTH; i += LANES) {
    let q = exp(student[base + i] - top.x);
    let p = exp(teacher[base + i] - top.y);
    sum_student += q;
    sum_teacher += p;
    teacher[base + i] = keep * p;
//#if !KL
    student[base + i] = q;
//#end
  }
  let sums = lanes_sum(vec4<f32>(across(sum_student), across(sum_teacher), 0.0, 0.0), lane);
  let to_q = 1.0 / sums.x;
  let to_p = 1.0 / sums.y;

  // The refusal branch, in units of the teacher's normaliser, by the invocation that owns the token.
  let refusal = w[row] * sums.y;
  for (var k = rho_start[row]; k < rho_start[row + 1u]; k++) {
    let token = min(rho_token[k], VOCABULARY - 1u);
//#if VEC4
    if ((token / 4u) % LANES == lane) {
      teacher[base + token / 4u][token % 4u] += refusal * rho_prob[k];
    }
//#else
    if (token % LANES == lane) {
      teacher[base + token] += refusal * rho_prob[k];
    }
//#end
  }

  // Pass 3: sums over the vocabulary (and KL's gradient, which needs none).
//#if TV
  var distance = Value(0.0);
  var over = Value(0.0);
  var under = Value(0.0);
  var level = Value(0.0);
  for (var i = lane; i < WIDTH; i += LANES) {
    let q = student[base + i] * to_q;
    let p = teacher[base + i] * to_p;
    distance += abs(p - q);
    over += select(Value(0.0), q, q > p);
    under += select(Value(0.0), q, q < p);
    level += select(Value(0.0), q, q == p);
  }
  let mass = lanes_sum(vec4<f32>(across(distance), across(over), across(under), across(level)), lane);
  let divergence = 0.5 * mass.x;
  // s - sum s q, written without differences of nearly equal masses: Q over + Q under + Q level = 1.
  let c = coef[row];
  let slope_over = c * (mass.z + 0.5 * mass.w);
  let slope_under = -c * (mass.y + 0.5 * mass.w);
  let slope_level = c * 0.5 * (mass.z - mass.y);
  for (var i = lane; i < WIDTH; i += LANES) {
    let q = student[base + i] * to_q;
    let p = teacher[base + i] * to_p;
    student[base + i] =
      q * select(select(Value(slope_level), Value(slope_under), q < p), Value(slope_over), q > p);
  }
//#end
//#if KL
  // log q from the logits: q itself may underflow where p does not.
  let log_sum = log(sums.x);
  let c = coef[row];
  var terms = Value(0.0);
  for (var i = lane; i < WIDTH; i += LANES) {
    let z = student[base + i] - top.x;
    let q = exp(z) * to_q;
    let p = teacher[base + i] * to_p;
    terms += p * (log(max(p, Value(FLOOR))) - (z - log_sum));
    student[base + i] = c * (q - p);
  }
  let total = lanes_sum(vec4<f32>(across(terms), 0.0, 0.0, 0.0), lane).x;
  // Rounding may leave the divergence of equal distributions just below zero.
  let divergence = max(total, 0.0);
//#end
//#if RATIO
  // Where q underflows its logarithm does not matter: it is multiplied by q. teacher becomes l.
  var mean = Value(0.0);
//#if JS
  var terms = Value(0.0);
//#end
  for (var i = lane; i < WIDTH; i += LANES) {
    let q = student[base + i] * to_q;
    let p = teacher[base + i] * to_p;
//#if JS
    let m = max(0.5 * (p + q), Value(FLOOR));
    let ratio = log(max(q, Value(FLOOR)) / m);
    terms += p * log(max(p, Value(FLOOR)) / m);
//#else
    let ratio = log(max(q, Value(FLOOR)) / max(p, Value(FLOOR)));
//#end
    mean += q * ratio;
    student[base + i] = q;
    teacher[base + i] = ratio;
  }
//#if JS
  let total = lanes_sum(vec4<f32>(across(mean), across(terms), 0.0, 0.0), lane);
  let divergence = max(0.5 * (total.x + total.y), 0.0);
  let slope = 0.5 * coef[row];
//#else
  let total = lanes_sum(vec4<f32>(across(mean), 0.0, 0.0, 0.0), lane);
  let divergence = max(total.x, 0.0);
  let slope = coef[row];
//#end
  // A student that is nearly certain has l near its mean at its token: the small remainder of the
  // mean is summed on its own, so that the difference keeps its digits.
  var remainder = Value(0.0);
  for (var i = lane; i < WIDTH; i += LANES) {
    remainder += student[base + i] * (teacher[base + i] - total.x);
  }
  let rest = lanes_sum(vec4<f32>(across(remainder), 0.0, 0.0, 0.0), lane).x;
  for (var i = lane; i < WIDTH; i += LANES) {
    student[base + i] = slope * student[base + i] * ((teacher[base + i] - total.x) - rest);
  }
//#end
  if (lane == 0u) {
    row_loss[row] = divergence;
  }
}
