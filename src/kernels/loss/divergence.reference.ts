/** Divergences between target and student, and their gradients, in f64 (METHOD.md §3.1, §4). */
import type { Divergence } from './divergence';

/** Log-softmax of one row. */
export function logSoftmaxReference(logits: ArrayLike<number>): Float64Array {
  const row = Float64Array.from(logits);
  const top = row.reduce((a, b) => Math.max(a, b), -Infinity);
  const sum = row.reduce((total, value) => total + Math.exp(value - top), 0);
  return row.map((value) => value - top - Math.log(sum));
}

export interface RefusalTokens {
  token: ArrayLike<number>;
  prob: ArrayLike<number>;
}

/** p = (1 − w) softmax(teacherLogits) + w ρ over the vocabulary. */
export function targetReference(
  teacherLogits: ArrayLike<number>,
  w: number,
  rho: RefusalTokens,
): Float64Array {
  const p = logSoftmaxReference(teacherLogits).map((value) => (1 - w) * Math.exp(value));
  for (let k = 0; k < rho.token.length; k++) p[rho.token[k]!]! += w * rho.prob[k]!;
  return p;
}

/** Inside reverse KL's logarithm p is at least this, as in the kernel: the value is infinite else. */
const FLOOR = 1e-37;

/** a log(b), where nothing is nothing. */
const xlogy = (a: number, logB: number): number => (a === 0 ? 0 : a * logB);

/** One row: D(p, softmax(studentLogits)) and its gradient in the logits. */
export function divergenceReference(
  objective: Exclude<Divergence, 'naive-tv'>,
  studentLogits: ArrayLike<number>,
  p: Float64Array,
): { value: number; gradient: Float64Array } {
  const logQ = logSoftmaxReference(studentLogits);
  const q = logQ.map(Math.exp);
  const sum = (f: (v: number) => number): number => {
    let total = 0;
    for (let v = 0; v < q.length; v++) total += f(v);
    return total;
  };
  switch (objective) {
    case 'tv': {
      const sign = (v: number): number => 0.5 * Math.sign(q[v]! - p[v]!);
      const centre = sum((v) => sign(v) * q[v]!);
      return {
        value: 0.5 * sum((v) => Math.abs(p[v]! - q[v]!)),
        gradient: q.map((value, v) => value * (sign(v) - centre)),
      };
    }
    case 'kl':
      return {
        value: sum((v) => xlogy(p[v]!, Math.log(p[v]!) - logQ[v]!)),
        gradient: q.map((value, v) => value - p[v]!),
      };
    case 'reverse-kl': {
      const ratio = (v: number): number => logQ[v]! - Math.log(Math.max(p[v]!, FLOOR));
      const value = sum((v) => xlogy(q[v]!, ratio(v)));
      return { value, gradient: q.map((mass, v) => xlogy(mass, ratio(v) - value)) };
    }
    case 'js': {
      const logM = (v: number): number => Math.log((p[v]! + q[v]!) / 2);
      const ratio = (v: number): number => logQ[v]! - logM(v);
      const centre = sum((v) => xlogy(q[v]!, ratio(v)));
      return {
        value: 0.5 * sum((v) => xlogy(p[v]!, Math.log(p[v]!) - logM(v))) + 0.5 * centre,
        gradient: q.map((mass, v) => 0.5 * xlogy(mass, ratio(v) - centre)),
      };
    }
  }
}

/**
 * Branch-wise ("naive") TV of METHOD.md §4.4, D = (1 − w)·TV(π, q) + w·TV(ρ, q), and its gradient
 * q (s − Σ s q) with s = ½[(1 − w)·sign(q − π) + w·sign(q − ρ)]. At least TV of the mixture.
 */
export function naiveTvReference(
  studentLogits: ArrayLike<number>,
  teacherLogits: ArrayLike<number>,
  w: number,
  rho: RefusalTokens,
): { value: number; gradient: Float64Array } {
  const q = logSoftmaxReference(studentLogits).map(Math.exp);
  const pass = targetReference(teacherLogits, 0, { token: [], prob: [] });
  const refusal = new Float64Array(q.length);
  for (let k = 0; k < rho.token.length; k++) refusal[rho.token[k]!]! += rho.prob[k]!;
  let value = 0;
  let centre = 0;
  const sign = q.map((mass, v) => {
    value += 0.5 * (1 - w) * Math.abs(mass - pass[v]!) + 0.5 * w * Math.abs(mass - refusal[v]!);
    const s = 0.5 * ((1 - w) * Math.sign(mass - pass[v]!) + w * Math.sign(mass - refusal[v]!));
    centre += s * mass;
    return s;
  });
  return { value, gradient: q.map((mass, v) => mass * (sign[v]! - centre)) };
}

/** One loss row of any objective: D and its gradient in the student's logits. */
export function rowReference(
  objective: Divergence,
  studentLogits: ArrayLike<number>,
  teacherLogits: ArrayLike<number>,
  w: number,
  rho: RefusalTokens,
): { value: number; gradient: Float64Array } {
  if (objective === 'naive-tv') return naiveTvReference(studentLogits, teacherLogits, w, rho);
  return divergenceReference(objective, studentLogits, targetReference(teacherLogits, w, rho));
}
