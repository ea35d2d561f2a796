// Divergence of the student's next-token distribution from the target, and its gradient (METHOD.md 3.1, 4).
// Per row: q = softmax(student), p = (1 - w) softmax(teacher) + w rho (sparse), all over VOCABULARY.
//   TV          D = 1/2 sum |p - q|           dD/dz = q (s - sum s q), s = 1/2 sign(q - p)
//   KL          D = sum p log(p / q)          dD/dz = q - p
//   reverse KL  D = sum q log(q / p)          dD/dz = q (l - D), l = log(q / p)
//   JS          D = 1/2 KL(p|m) + 1/2 KL(q|m) dD/dz = 1/2 q (l - sum q l), l = log(q / m), m = (p + q) / 2
// student [rows, VOCABULARY] becomes coef * dD/dz; teacher [rows, VOCABULARY] is scratch; row_loss = D.
// One workgroup a row, few passes: memory is what this kernel waits for. An invocation reads and
// writes the same elements in every pass, also those of rho, so no barrier guards the storage.
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
// Where rho has a token, the teacher's logit is replaced by -p 2^100: below every logit, and exact.
const MARK = -1e9;
const TO_MARK = -0x1p100;
const FROM_MARK = -0x1p-100;

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
  let to_p = (1.0 - w[row]) / sums.y;

  // The refusal branch joins p, by the invocation that owns the token.
  for (var k = rho_start[row]; k < rho_start[row + 1u]; k++) {
    let token = min(rho_token[k], VOCABULARY - 1u);
//#if VEC4
    let at = base + token / 4u;
    let owner = (token / 4u) % LANES;
//#else
    let at = base + token;
    let owner = token % LANES;
//#end
    let mass = w[row] * rho_prob[k];
    // Less than 1e-15 would not show, and its mark would not stand out.
    if (owner == lane && mass > 1e-15) {
//#if VEC4
      let t = teacher[at][token % 4u];
      let p = select(to_p * exp(t - top.y), t * FROM_MARK, t < MARK);
      teacher[at][token % 4u] = (p + mass) * TO_MARK;
//#else
      let t = teacher[at];
      let p = select(to_p * exp(t - top.y), t * FROM_MARK, t < MARK);
      teacher[at] = (p + mass) * TO_MARK;
//#end
    }
  }

  // Pass 2: sums over the vocabulary (and KL's gradient, which needs none).
//#if TV
  // student becomes q where q > p, -q where q < p, q + 4 where they are equal.
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
    let p = select(to_p * exp(t - top.y), t * FROM_MARK, t < Value(MARK));
//#if TV
    distance += abs(p - q);
    over += select(Value(0.0), q, q > p);
    under += select(Value(0.0), q, q < p);
    level += select(Value(0.0), q, q == p);
    student[base + i] = select(select(q + 4.0, -q, q < p), q, q > p);
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

//#if TV
  let mass = lanes_sum(vec4<f32>(across(distance), across(over), across(under), across(level)), lane);
  let divergence = 0.5 * mass.x;
  // s - sum s q, written without differences of nearly equal masses: Q over + Q under + Q level = 1.
  let slope_over = coef[row] * (mass.z + 0.5 * mass.w);
  let slope_under = coef[row] * (mass.y + 0.5 * mass.w);
  let slope_level = coef[row] * 0.5 * (mass.z - mass.y);
  for (var i = lane; i < WIDTH; i += LANES) {
    let q = student[base + i];
    let slope = q * select(Value(slope_under), Value(slope_over), q > Value(0.0));
    student[base + i] = select(slope, (q - 4.0) * slope_level, q > Value(2.0));
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
