/**
 * Intervals and tests of the evaluation (METHOD.md §8): Wilson for proportions, percentile
 * bootstrap for means, paired differences and whole intents, McNemar's exact test. All at 95 %.
 */
import { Random } from './prng';
import type { Interval, Measure } from '../types';

const Z95 = 1.959963984540054;
const RESAMPLES = 2000;

/** Wilson's score interval of `successes` in `n`; [0, 1] where n = 0. */
export function wilson(successes: number, n: number, z = Z95): Interval {
  if (n === 0) return { low: 0, high: 1 };
  const p = successes / n;
  const centre = p + (z * z) / (2 * n);
  const half = z * Math.sqrt((p * (1 - p)) / n + (z * z) / (4 * n * n));
  const scale = 1 + (z * z) / n;
  return {
    low: successes === 0 ? 0 : Math.max(0, (centre - half) / scale),
    high: successes === n ? 1 : Math.min(1, (centre + half) / scale),
  };
}

/** The q-quantile of sorted values, linear between neighbours. */
export function quantile(sorted: ArrayLike<number>, q: number): number {
  if (sorted.length === 0) return NaN;
  const at = q * (sorted.length - 1);
  const below = Math.floor(at);
  const low = sorted[below]!;
  const high = sorted[Math.min(below + 1, sorted.length - 1)]!;
  return low + (high - low) * (at - below);
}

/** `count` values of `statistic` that `random` decides, ascending. */
export function resamples(
  random: Random,
  statistic: (random: Random) => number,
  count = RESAMPLES,
): Float64Array {
  return Float64Array.from({ length: count }, () => statistic(random)).sort();
}

/** 95 % percentile interval of `statistic` over `RESAMPLES` values that `random` decides. */
export function resampled(random: Random, statistic: (random: Random) => number): Interval {
  return percentiles(resamples(random, statistic));
}

/** The 95 % percentile interval of sorted resamples. */
export function percentiles(sorted: Float64Array): Interval {
  return { low: quantile(sorted, 0.025), high: quantile(sorted, 0.975) };
}

/**
 * Two-sided p-value of a difference of 0 from sorted resamples of the difference: twice the share of
 * them on the rarer side of 0, itself among them, so that it is never below 2/(count + 1).
 */
export function resampledP(sorted: Float64Array): number {
  const below = sorted.filter((value) => value <= 0).length;
  const above = sorted.filter((value) => value >= 0).length;
  return Math.min(1, (2 * (Math.min(below, above) + 1)) / (sorted.length + 1));
}

/**
 * Holm's step-down adjustment of p-values for being looked at together: those below α after it are
 * all true with probability 1 − α, whatever depends on what. In the order given.
 */
export function holm(pValues: readonly number[]): number[] {
  const order = pValues.map((_, i) => i).sort((a, b) => pValues[a]! - pValues[b]!);
  const adjusted = Array<number>(pValues.length);
  let least = 0;
  for (const [rank, i] of order.entries()) {
    least = Math.max(least, Math.min(1, (pValues.length - rank) * pValues[i]!));
    adjusted[i] = least;
  }
  return adjusted;
}

/** 95 % percentile interval of `statistic` over seeded resamples of `count` units. */
function percentile(
  count: number,
  seed: number,
  statistic: (draw: () => number) => number,
): Interval {
  const random = new Random('bootstrap', seed, count);
  const draw = () => random.below(count);
  return resampled(random, () => statistic(draw));
}

/** Percentile bootstrap interval of the mean. */
export function bootstrapMean(values: ArrayLike<number>, seed = 0): Interval {
  const n = values.length;
  if (n === 0) return { low: NaN, high: NaN };
  return percentile(n, seed, (draw) => {
    let sum = 0;
    for (let i = 0; i < n; i++) sum += values[draw()]!;
    return sum / n;
  });
}

/**
 * Bootstrap over whole clusters: prompts of one intent succeed or fail together, so an interval
 * that resamples prompts is too narrow for a claim about new intents.
 */
export function clusterBootstrap(
  values: ArrayLike<number>,
  clusters: readonly string[],
  seed = 0,
): Interval & { clusters: number } {
  const sums = new Map<string, { sum: number; count: number }>();
  for (let i = 0; i < values.length; i++) {
    const entry = sums.get(clusters[i]!) ?? { sum: 0, count: 0 };
    entry.sum += values[i]!;
    entry.count++;
    sums.set(clusters[i]!, entry);
  }
  const list = [...sums.values()];
  if (list.length === 0) return { low: NaN, high: NaN, clusters: 0 };
  const interval = percentile(list.length, seed, (draw) => {
    let sum = 0;
    let count = 0;
    for (let i = 0; i < list.length; i++) {
      const cluster = list[draw()]!;
      sum += cluster.sum;
      count += cluster.count;
    }
    return sum / count;
  });
  return { ...interval, clusters: list.length };
}

/**
 * The interval to show: over whole intents wherever an intent has several prompts. Where all outcomes
 * are alike every resample is too, so a bootstrap says nothing; then the wider of both is shown,
 * Wilson's with intents for trials.
 */
export function shownInterval({ value, low, high, n, cluster }: Measure): Interval {
  if (!cluster || cluster.clusters >= n) return { low, high };
  const alike = cluster.low === cluster.high && (value === 0 || value === 1);
  // A mean or difference of zeros has no width in either bootstrap.
  if (!alike || low === high) return { low: cluster.low, high: cluster.high };
  return wilson(value * cluster.clusters, cluster.clusters);
}

/** Share of true values, with Wilson's interval and, given intents, the cluster bootstrap's. */
export function proportion(outcomes: readonly boolean[], clusters?: readonly string[]): Measure {
  const n = outcomes.length;
  const successes = outcomes.reduce((sum, outcome) => sum + Number(outcome), 0);
  const measure: Measure = { value: n === 0 ? NaN : successes / n, ...wilson(successes, n), n };
  if (clusters && n > 0) measure.cluster = clusterBootstrap(outcomes.map(Number), clusters);
  return measure;
}

/** Mean with a bootstrap interval and, given intents, the cluster bootstrap's. */
export function mean(values: readonly number[], clusters?: readonly string[]): Measure {
  const n = values.length;
  const sum = values.reduce((total, value) => total + value, 0);
  const measure: Measure = { value: n === 0 ? NaN : sum / n, ...bootstrapMean(values), n };
  if (clusters && n > 0) measure.cluster = clusterBootstrap(values, clusters);
  return measure;
}

/** mean(a) − mean(b) on the same prompts, paired bootstrap. */
export function pairedDifference(
  a: readonly number[],
  b: readonly number[],
  clusters?: readonly string[],
): Measure {
  if (a.length !== b.length) throw new RangeError('A paired difference needs equal lengths.');
  return mean(
    a.map((value, i) => value - b[i]!),
    clusters,
  );
}

/** Two-sided p-value of McNemar's exact test; `onlyA`, `onlyB` are the discordant counts. */
export function mcnemarExact(onlyA: number, onlyB: number): number {
  const n = onlyA + onlyB;
  if (n === 0) return 1;
  const k = Math.min(onlyA, onlyB);
  let logChoose = 0;
  let tail = 0;
  for (let i = 0; i <= k; i++) {
    if (i > 0) logChoose += Math.log(n - i + 1) - Math.log(i);
    tail += Math.exp(logChoose - n * Math.LN2);
  }
  return Math.min(1, 2 * tail);
}
