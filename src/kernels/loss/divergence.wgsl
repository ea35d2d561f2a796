// Divergence of the student's next-token distribution from the target, and its gradient (METHOD.md 3.1, 4).
// Per row: q = softmax(student), p = (1 - w) softmax(teacher) + w rho (sparse), all over VOCABULARY.
//   TV          D = 1/2 sum |p - q|           dD/dz = q (s - sum s q), s = 1/2 sign(q - p)
//   naive TV    D = (1 - w) TV(pi, q) + w TV(rho, q), pi = softmax(teacher); TV's gradient for each branch
//   KL          D = sum p log(p / q)          dD/dz = q - p
//   reverse KL  D = sum q log(q / p)          dD/dz = q (l - D), l = log(q / p)
//   JS          D = 1/2 KL(p|m) + 1/2 KL(q|m) dD/dz = 1/2 q (l - sum q l), l = log(q / m), m = (p + q) / 2
// student [rows, VOCABULARY] becomes coef * dD/dz; teacher [rows, VOCABULARY] is scratch; row_loss = D.
// One workgroup a row, few passes: memory is what this kernel waits for. An invocation reads and
// writes the same elements in every pass, also those of rho, so no barrier guards the storage.
// Flags: TV, NAIVE, KL, or RATIO (reverse KL; with JS also set, JS). Reverse KL is infinite where p = 0 < q,
// so p is floored at 1e-37 inside the logarithm.

const LOWEST = -3.4e38;
const FLOOR = 1e-37;
// Where rho has a token, the teacher's logit is replaced by -p 2^100: below every logit, and exact.
const MARK = -1e9;
const TO_MARK = -0x1p100;
const FROM_MARK = -0x1p-100;

//#if SIGNED
// The sign of q - p rides on q: q where q is above, -q where below, 2^64 q where equal. Below 2^-60 a
// tie does not count.
fn with_sign(q: Value, p: Value) -> Value {
  let level = select(q * 0x1p64, q, q < Value(0x1p-60));
  return select(select(level, -q, q < p), q, q > p);
}
fn is_level(signed: Value) -> Truth {
  return signed > Value(4.0);
}
//#end

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

  // Pass 1: maxima and normalisers, rescaled whenever an invocation's maximum rises.
  var top_student = LOWEST;
  var top_teacher = LOWEST;
  var sum_student = 0.0;
  var sum_teacher = 0.0;
  for (var i = lane; i < WIDTH; i += LANES) {
    let z = student[base + i];
    let t = teacher[base + i];
    let above_student = max(top_student, highest(z));
    let above_teacher = max(top_teacher, highest(t));
    sum_student = sum_student * exp(top_student - above_student) + across(exp(z - above_student));
    sum_teacher = sum_teacher * exp(top_teacher - above_teacher) + across(exp(t - above_teacher));
    top_student = above_student;
    top_teacher = above_teacher;
  }
  let top = lanes_max(vec2<f32>(top_student, top_teacher), lane);
  let scaled = vec2<f32>(
    sum_student * exp(top_student - top.x),
    sum_teacher * exp(top_teacher - top.y),
  );
  let sums = lanes_sum(vec4<f32>(scaled, 0.0, 0.0), lane);
  let to_q = 1.0 / sums.x;
//#if NAIVE
  let to_p = 1.0 / sums.y;
//#else
  let to_p = (1.0 - w[row]) / sums.y;

  // The refusal branch joins p, by the invocation that owns the token.
  for (var k = rho_start[row]; k < rho_start[row + 1u]; k++) {
    let token = min(rho_token[k], VOCABULARY - 1u);
    let at = token / EACH;
    let mass = w[row] * rho_prob[k];
    // Less than 1e-15 would not show, and its mark would not stand out.
    if (at % LANES == lane && mass > 1e-15) {
      let t = element(teacher[base + at], token);
      let p = select(to_p * exp(t - top.y), t * FROM_MARK, t < MARK);
      teacher[base + at] = with_element(teacher[base + at], token, (p + mass) * TO_MARK);
    }
  }

//#end

  // Pass 2: sums over the vocabulary (and KL's gradient, which needs none).
//#if SIGNED
  var distance = Value(0.0);
  var over = Value(0.0);
  var under = Value(0.0);
  var level = Value(0.0);
//#end
//#if KL
  let log_sum = log(sums.x);
  let c = coef[row];
  var terms = Value(0.0);
//#end
//#if RATIO
  // student becomes q, teacher becomes l. Where q underflows its logarithm does not matter.
  var mean = Value(0.0);
//#if JS
  var terms = Value(0.0);
//#end
//#end
  for (var i = lane; i < WIDTH; i += LANES) {
    let z = student[base + i] - top.x;
    let t = teacher[base + i];
    let q = to_q * exp(z);
//#if NAIVE
    let p = to_p * exp(t - top.y);
    teacher[base + i] = Value(0.0);
//#else
    let p = select(to_p * exp(t - top.y), t * FROM_MARK, t < Value(MARK));
//#end
//#if SIGNED
    distance += abs(p - q);
    over += select(Value(0.0), q, q > p);
    under += select(Value(0.0), q, q < p);
    level += select(Value(0.0), q, q == p);
    student[base + i] = with_sign(q, p);
//#end
//#if KL
    terms += p * (log(max(p, Value(FLOOR))) - (z - log_sum));
    student[base + i] = c * (q - p);
//#end
//#if RATIO
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
//#end
  }

//#if SIGNED
  let mass = lanes_sum(vec4<f32>(across(distance), across(over), across(under), across(level)), lane);
  // s - sum s q, written without differences of nearly equal masses: Q over + Q under + Q level = 1.
  let slope_over = coef[row] * (mass.z + 0.5 * mass.w);
  let slope_under = coef[row] * (mass.y + 0.5 * mass.w);
  let slope_level = coef[row] * 0.5 * (mass.z - mass.y);
//#end
//#if TV
  let divergence = 0.5 * mass.x;
  for (var i = lane; i < WIDTH; i += LANES) {
    let q = student[base + i];
    let slope = q * select(Value(slope_under), Value(slope_over), q > Value(0.0));
    student[base + i] = select(slope, q * (0x1p-64 * slope_level), is_level(q));
  }
//#end
//#if NAIVE
  // The refusal branch, where the teacher was.
  for (var k = rho_start[row]; k < rho_start[row + 1u]; k++) {
    let token = min(rho_token[k], VOCABULARY - 1u);
    let at = token / EACH;
    if (at % LANES == lane) {
      let so_far = teacher[base + at];
      teacher[base + at] = with_element(so_far, token, element(so_far, token) + rho_prob[k]);
    }
  }
  distance = Value(0.0);
  over = Value(0.0);
  under = Value(0.0);
  level = Value(0.0);
  for (var i = lane; i < WIDTH; i += LANES) {
    let signed = student[base + i];
    let q = abs(signed) * select(Value(1.0), Value(0x1p-64), is_level(signed));
    let rho = teacher[base + i];
    distance += abs(rho - q);
    over += select(Value(0.0), q, q > rho);
    under += select(Value(0.0), q, q < rho);
    level += select(Value(0.0), q, q == rho);
  }
  let refusal = lanes_sum(vec4<f32>(across(distance), across(over), across(under), across(level)), lane);
  let divergence = 0.5 * ((1.0 - w[row]) * mass.x + w[row] * refusal.x);
  let pass_share = 1.0 - w[row];
  let refusal_share = w[row] * coef[row];
  let refusal_over = refusal_share * (refusal.z + 0.5 * refusal.w);
  let refusal_under = -refusal_share * (refusal.y + 0.5 * refusal.w);
  let refusal_level = refusal_share * 0.5 * (refusal.z - refusal.y);
  for (var i = lane; i < WIDTH; i += LANES) {
    let signed = student[base + i];
    let level_q = is_level(signed);
    let q = abs(signed) * select(Value(1.0), Value(0x1p-64), level_q);
    let rho = teacher[base + i];
    let above = select(Value(-slope_under), Value(slope_over), signed > Value(0.0));
    let by_pass = pass_share * select(above, Value(slope_level), level_q);
    let off_level = select(Value(refusal_under), Value(refusal_over), q > rho);
    student[base + i] = q * (by_pass + select(off_level, Value(refusal_level), q == rho));
  }
//#end
//#if KL
  let total = lanes_sum(vec4<f32>(across(terms), 0.0, 0.0, 0.0), lane).x;
  // Rounding may leave the divergence of equal distributions just below zero.
  let divergence = max(total, 0.0);
//#end
//#if RATIO
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
