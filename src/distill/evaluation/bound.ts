/**
 * How tight the token-level bound is, from the teacher's samples alone (METHOD.md §5). With
 * a_t = log q_t − log p_t along a sample r ~ p, in expectation
 *
 *   TV(p, q) = E[1 − exp(min(0, Σ a_t))]          of whole sequences
 *   C(p, q)  = E[1 − exp(Σ min(0, a_t))]          step-wise maximal coupling
 *   Σ(p, q)  = E[Σ TV(p_t, q_t)]                  what training minimises; not capped at 1
 *
 * and first-token TV, |P_p(E) − P_q(E)| ≤ TV ≤ C ≤ Σ. Stopped at T tokens each is a statement about
 * prefixes, a lower bound that grows with T. Derived; the paper does not measure it.
 */

/** What teacher and student say along one answer of the safe system; all [T]. */
export interface ScoredPath {
  /** log p(r_t | r_<t) of the mixture, nats. */
  logP: ArrayLike<number>;
  logQ: ArrayLike<number>;
  /** TV(p_t, q_t) over the whole vocabulary. */
  tokenTv: ArrayLike<number>;
}

/** Samples of one prompt, by the branch that drew them. */
export interface BoundPrompt {
  /** s: the weight of the pass branch. */
  safe: number;
  /** Drawn from π. */
  pass: readonly ScoredPath[];
  /** Drawn from ρ. */
  refusal: readonly ScoredPath[];
}

export interface BoundEstimate {
  value: number;
  /** Hoeffding's band at the asked level, cut to what the quantity can be. */
  low: number;
  high: number;
}

export interface BoundAtHorizon {
  /** Tokens after which answers are cut. */
  horizon: number;
  /** Samples of at least that many tokens. */
  reached: number;
  sequenceTv: BoundEstimate;
  coupling: BoundEstimate;
  tokenSum: BoundEstimate;
  /** One-sample KL(p ‖ q) of the prefixes, nats; it has no band, because it has no bound. */
  kl: number;
  /** √(KL/2) and √(1 − e^−KL), which bound TV as well. */
  pinsker: number;
  bretagnolleHuber: number;
  /** TV/C and TV/Σ; 1 is tight, NaN where nothing differs. */
  tightness: { coupling: number; tokenSum: number };
  /** Means over one branch's samples alone, weighted by the branch's share in each prompt. */
  branches: Record<Branch, BranchMeans>;
}

export type Branch = 'pass' | 'refusal';

export interface BranchMeans {
  sequenceTv: number;
  coupling: number;
  tokenSum: number;
  /** Mean weight of the branch. */
  weight: number;
}

export interface Bound {
  prompts: number;
  /** Band level: 1 − δ. */
  level: number;
  /** Mean TV of the first token over prompts: a lower bound of TV at every horizon. */
  firstTokenTv: number;
  horizons: BoundAtHorizon[];
}

export const HORIZONS: readonly number[] = [1, 5, 20, 48, 128];
/** A branch lighter than this may lack samples; what it could add is added to the bands. */
const NEGLIGIBLE = 0.02;

/** Half the width of Hoeffding's band of Σ weight_i·X_i with independent X_i in [0, 1]. */
export function hoeffding(weights: Iterable<number>, delta = 0.05): number {
  let squares = 0;
  for (const weight of weights) squares += weight * weight;
  return Math.sqrt(0.5 * Math.log(2 / delta) * squares);
}

/** The three quantities and the one-sample KL of one path, cut at `horizon` tokens. */
export function pathTerms(
  { logP, logQ, tokenTv }: ScoredPath,
  horizon: number,
): { sequenceTv: number; coupling: number; tokenSum: number; kl: number } {
  let ratio = 0;
  let falls = 0;
  let tokenSum = 0;
  for (let t = 0; t < Math.min(horizon, logP.length); t++) {
    const a = logQ[t]! - logP[t]!;
    ratio += a;
    falls += Math.min(0, a);
    tokenSum += tokenTv[t]!;
  }
  return {
    sequenceTv: -Math.expm1(Math.min(0, ratio)),
    coupling: -Math.expm1(falls),
    tokenSum,
    kl: -ratio,
  };
}

/**
 * Estimates over prompts, for the claim about these very prompts: their answers are the sample.
 * Horizons beyond the longest answer are left out, and that longest answer is always one.
 * @throws RangeError where there are no prompts, a branch of some weight has no samples, or a path's
 *   arrays differ in length
 */
export function measureBound(
  prompts: readonly BoundPrompt[],
  options: { horizons?: readonly number[]; delta?: number } = {},
): Bound {
  const { horizons = HORIZONS, delta = 0.05 } = options;
  const { samples, missing } = weigh(prompts);
  const longest = samples.reduce((most, { path }) => Math.max(most, path.logP.length), 0);
  const used = [...new Set([...horizons.filter((horizon) => horizon < longest), longest])];
  used.sort((a, b) => a - b);
  const half = hoeffding(
    samples.map(({ weight }) => weight),
    delta,
  );
  return {
    prompts: prompts.length,
    level: 1 - delta,
    firstTokenTv: samples.reduce((sum, { weight, path }) => sum + weight * path.tokenTv[0]!, 0),
    horizons: used.map((horizon) => atHorizon(samples, horizon, half, missing)),
  };
}

interface WeightedPath {
  path: ScoredPath;
  branch: Branch;
  /** Its share in the estimate; all shares and `missing` sum to 1. */
  weight: number;
}

function weigh(prompts: readonly BoundPrompt[]): { samples: WeightedPath[]; missing: number } {
  if (prompts.length === 0) throw new RangeError('The bound needs at least one prompt.');
  const samples: WeightedPath[] = [];
  let missing = 0;
  for (const [i, { safe, pass, refusal }] of prompts.entries()) {
    const branches = [
      ['pass', pass, safe],
      ['refusal', refusal, 1 - safe],
    ] as const;
    for (const [branch, paths, share] of branches) {
      if (paths.length === 0) {
        if (share > NEGLIGIBLE) {
          throw new RangeError(`Prompt ${i} has no ${branch} sample, at a weight of ${share}.`);
        }
        missing += share / prompts.length;
      }
      for (const path of paths) {
        const { logP, logQ, tokenTv } = path;
        if (logP.length === 0 || logP.length !== logQ.length || logP.length !== tokenTv.length) {
          throw new RangeError(`A ${branch} path of prompt ${i} has arrays of unequal length.`);
        }
        samples.push({ path, branch, weight: share / (paths.length * prompts.length) });
      }
    }
  }
  return { samples, missing };
}

function atHorizon(
  samples: readonly WeightedPath[],
  horizon: number,
  half: number,
  missing: number,
): BoundAtHorizon {
  const terms = samples.map(({ path, branch, weight }) => ({
    branch,
    weight,
    ...pathTerms(path, horizon),
  }));
  type Key = 'sequenceTv' | 'coupling' | 'tokenSum' | 'kl';
  const total = (key: Key, of = terms) =>
    of.reduce((sum, term) => sum + term.weight * term[key], 0);
  // A branch without samples could have added up to the most that the quantity can be.
  const band = (key: Key, most: number): BoundEstimate => {
    const value = total(key);
    return {
      value,
      low: Math.max(0, value - most * half),
      high: Math.min(most, value + most * (half + missing)),
    };
  };
  const branch = (name: Branch): BranchMeans => {
    const of = terms.filter((term) => term.branch === name);
    const weight = of.reduce((sum, term) => sum + term.weight, 0);
    return {
      sequenceTv: total('sequenceTv', of) / weight,
      coupling: total('coupling', of) / weight,
      tokenSum: total('tokenSum', of) / weight,
      weight,
    };
  };
  const sequenceTv = band('sequenceTv', 1);
  const coupling = band('coupling', 1);
  const tokenSum = band('tokenSum', horizon);
  const kl = total('kl');
  // The one-sample estimate may fall below 0, which KL itself does not.
  const floored = Math.max(0, kl);
  return {
    horizon,
    reached: samples.filter(({ path }) => path.logP.length >= horizon).length,
    sequenceTv,
    coupling,
    tokenSum,
    kl,
    pinsker: Math.sqrt(floored / 2),
    bretagnolleHuber: Math.sqrt(-Math.expm1(-floored)),
    tightness: {
      coupling: sequenceTv.value / coupling.value,
      tokenSum: sequenceTv.value / tokenSum.value,
    },
    branches: { pass: branch('pass'), refusal: branch('refusal') },
  };
}

/**
 * E_q[Σ TV(p_t, q_t)] from the student's own answers: the other upper bound of C (§5, f-DISTILL's
 * second half), with Hoeffding's band.
 * @param tokenTv TV(p_t, q_t) along each answer, [answers][T]
 */
export function studentTokenSum(
  tokenTv: readonly ArrayLike<number>[],
  horizon: number,
  delta = 0.05,
): BoundEstimate {
  const n = tokenTv.length;
  if (n === 0) throw new RangeError('The student-side sum needs at least one answer.');
  let value = 0;
  let longest = 0;
  for (const row of tokenTv) {
    const end = Math.min(horizon, row.length);
    longest = Math.max(longest, end);
    for (let t = 0; t < end; t++) value += row[t]! / n;
  }
  const half = longest * hoeffding(new Array<number>(n).fill(1 / n), delta);
  return { value, low: Math.max(0, value - half), high: Math.min(longest, value + half) };
}

/** log-probabilities of the K refusal wordings, as whole strings, for one prompt. */
export interface RefusalMasses {
  /** The share that is passed: s(x), or 1 − u(x) with a response guard. */
  safe: number;
  /** With a response guard: s(x, r̄), with which it passes a refusal that the base itself says. */
  refusalSafe?: number;
  /** log π(r̄_k | x), [K]. */
  base: ArrayLike<number>;
  /** log q(r̄_k | x), [K]. */
  student: ArrayLike<number>;
}

/**
 * TV of the coarse event {one of the known refusals, anything else}, mean over prompts. Both sides
 * are sums of K string probabilities, so it has no sampling error; it is a lower bound of TV, and
 * the guarantee that says something about behaviour (§5). `gap` is signed: student less teacher.
 */
export function refusalEventTv(prompts: readonly RefusalMasses[]): {
  tv: number;
  gap: number;
  teacher: number;
  student: number;
} {
  if (prompts.length === 0) throw new RangeError('The refusal event needs at least one prompt.');
  const mass = (logs: ArrayLike<number>) => {
    let sum = 0;
    for (let k = 0; k < logs.length; k++) sum += Math.exp(logs[k]!);
    return Math.min(1, sum);
  };
  let [tv, teacher, student] = [0, 0, 0];
  for (const prompt of prompts) {
    const { safe, refusalSafe = safe } = prompt;
    const p = Math.min(1, refusalSafe * mass(prompt.base) + (1 - safe));
    const q = mass(prompt.student);
    tv += Math.abs(p - q) / prompts.length;
    teacher += p / prompts.length;
    student += q / prompts.length;
  }
  return { tv, gap: student - teacher, teacher, student };
}

/**
 * |P_p(E) − P_q(E)| of an event that is only seen in samples (judged safe, refused by string), with
 * Hoeffding's band: mean over all of one system's outcomes less the other's. By Jensen it bounds the
 * mean TV over prompts from below; prompts must be the same on both sides, answers independent.
 */
export function eventGap(
  teacher: readonly boolean[],
  student: readonly boolean[],
  delta = 0.05,
): BoundEstimate {
  if (teacher.length === 0 || student.length === 0) {
    throw new RangeError('An event gap needs outcomes on both sides.');
  }
  const share = (outcomes: readonly boolean[]) => outcomes.filter(Boolean).length / outcomes.length;
  const value = Math.abs(share(teacher) - share(student));
  const weights = [teacher, student].flatMap((side) => side.map(() => 1 / side.length));
  const half = hoeffding(weights, delta);
  return { value, low: Math.max(0, value - half), high: Math.min(1, value + half) };
}

/**
 * The theorem, checked on figures: TV at most `upper`, at least every entry of `lower`. `holds` is
 * false only where a lower bound's own band lies wholly above the upper band.
 */
export function bracket(
  bound: BoundAtHorizon,
  lower: readonly BoundEstimate[],
): { low: number; high: number; holds: boolean } {
  const low = Math.max(bound.sequenceTv.low, ...lower.map((estimate) => estimate.low));
  const high = Math.min(bound.sequenceTv.high, bound.coupling.high, bound.tokenSum.high);
  return { low, high, holds: low <= high };
}
