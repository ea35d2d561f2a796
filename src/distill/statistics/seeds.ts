/**
 * Comparing two systems over several training seeds on the same prompts (METHOD.md §8). A claim
 * about a method is about new seeds and new intents, so both vary in the interval: whole intents are
 * resampled, and to each resample a Student deviate of the mean over seeds is added. With the usual
 * three seeds, resampling seeds themselves would give intervals that are far too narrow.
 */
import { Random } from './prng';
import { percentiles, resampledP, resamples } from './statistics';
import type { Interval } from '../types';

export interface SeedComparison {
  /** mean(a) − mean(b), over seeds and prompts. */
  difference: number;
  /** 95 % interval. */
  low: number;
  high: number;
  /** Two-sided, of no difference, from the same resamples. */
  pValue: number;
  /** Each seed's difference. */
  bySeed: number[];
  seeds: number;
  prompts: number;
  clusters: number;
  /** False where the interval holds 0, and with one seed, which says nothing about others. */
  distinguishable: boolean;
}

/**
 * @param a outcomes of one system, [seeds][prompts]
 * @param b the other's, on the same prompts: as many seeds, paired by position (equal seeds share
 *   data order and initial values), or one row for a system that is not trained
 * @param clusters the intent of each prompt, [prompts]
 * @param count resamples; the smallest p-value is 2/(count + 1)
 * @throws RangeError where the shapes do not fit
 */
export function compareSeeds(
  a: readonly (readonly number[])[],
  b: readonly (readonly number[])[],
  clusters: readonly string[],
  seed = 0,
  count?: number,
): SeedComparison {
  const prompts = clusters.length;
  const k = a.length;
  if (k === 0 || prompts === 0) throw new RangeError('A comparison needs seeds and prompts.');
  if (b.length !== k && b.length !== 1) {
    throw new RangeError(`${k} seeds cannot be paired with ${b.length}.`);
  }
  if ([...a, ...b].some((row) => row.length !== prompts)) {
    throw new RangeError('Every seed needs one outcome for each prompt.');
  }
  const index = new Map([...new Set(clusters)].map((name, i) => [name, i]));
  const counts = new Float64Array(index.size);
  const sums = a.map(() => new Float64Array(index.size));
  clusters.forEach((name, i) => {
    const c = index.get(name)!;
    counts[c]!++;
    for (let s = 0; s < k; s++) sums[s]![c]! += a[s]![i]! - (b[s] ?? b[0]!)[i]!;
  });
  const bySeed = sums.map((row) => row.reduce((x, y) => x + y, 0) / prompts);
  const difference = bySeed.reduce((x, y) => x + y, 0) / k;
  const drawn = new Float64Array(k);
  const draw = (random: Random) => {
    drawn.fill(0);
    let total = 0;
    for (let i = 0; i < index.size; i++) {
      const c = random.below(index.size);
      total += counts[c]!;
      for (let s = 0; s < k; s++) drawn[s]! += sums[s]![c]!;
    }
    return drawn.map((sum) => sum / total);
  };
  const interval = seedInterval(new Random('seeds', seed, k, prompts), draw, count);
  return {
    difference,
    ...interval,
    bySeed,
    seeds: k,
    prompts,
    clusters: index.size,
    distinguishable: k > 1 && (interval.low > 0 || interval.high < 0),
  };
}

/**
 * 95 % interval of the mean over seeds, and p of a mean of 0: `draw` gives each seed's value on one resample of intents,
 * to whose mean a Student deviate over seeds is added where there are several.
 */
export function seedInterval(
  random: Random,
  draw: (random: Random) => ArrayLike<number>,
  count?: number,
): Interval & { pValue: number } {
  const statistic = () => {
    const values = draw(random);
    const k = values.length;
    let mean = 0;
    for (let s = 0; s < k; s++) mean += values[s]! / k;
    if (k === 1) return mean;
    let squares = 0;
    for (let s = 0; s < k; s++) squares += (values[s]! - mean) ** 2;
    return mean + student(random, k - 1) * Math.sqrt(squares / (k - 1) / k);
  };
  const sorted = resamples(random, statistic, count);
  return { ...percentiles(sorted), pValue: resampledP(sorted) };
}

/** "higher by 12.1 points (95 %: 4.0 to 20.2; 3 seeds)", or that it cannot be told. */
export function seedComparisonText(comparison: SeedComparison, what: string): string {
  const { difference, low, high, seeds, prompts, distinguishable } = comparison;
  const points = (share: number) => (100 * share).toFixed(1);
  const basis = `95 %: ${points(low)} to ${points(high)} points; ${seeds} seeds, ${prompts} prompts`;
  if (seeds === 1) return `${what}: one seed, which says nothing about others (${prompts} prompts)`;
  if (!distinguishable) return `${what}: not distinguishable (${basis})`;
  const word = difference > 0 ? 'higher' : 'lower';
  return `${what}: ${word} by ${points(Math.abs(difference))} points (${basis})`;
}

function normal(random: Random): number {
  const radius = Math.sqrt(-2 * Math.log(1 - random.next()));
  return radius * Math.cos(2 * Math.PI * random.next());
}

/** A deviate of Student's t with `freedom` degrees. */
function student(random: Random, freedom: number): number {
  let squares = 0;
  for (let i = 0; i < freedom; i++) squares += normal(random) ** 2;
  return normal(random) / Math.sqrt(squares / freedom);
}
