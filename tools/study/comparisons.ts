/** The best distilled soft prompt against everything else, on the same prompts. */
import {
  compareRuns,
  METRICS,
  type ComparedMetric,
  type RunComparison,
} from '../../src/distill/evaluation/compare-runs';
import { holm, mcnemarExact } from '../../src/distill/statistics/statistics';
import { pooled, type Items } from './measures';
import { isDistilled, type StudyRun, type StudySet, type StudySystem } from './systems';

/** So many that the smallest p-value, 2/10 001, survives Holm's correction for a hundred systems. */
const RESAMPLES = 10_000;
const ALPHA = 0.05;

export const COMPARED: readonly ComparedMetric[] = ['safety', 'overRefusal', 'usefulness', 'joint'];

export interface SystemComparison {
  other: StudySystem;
  rows: (RunComparison & {
    /** Holm's, over the other systems on this measure and set. */
    adjusted: number;
    /** Of each seed that both have; empty for the joint score, which no prompt has alone. */
    mcnemar: number[];
    /** `distinguishable`, after the correction. */
    told: boolean;
  })[];
}

/** The soft prompt with a distillation objective whose joint score on *wording* is highest. */
export function bestSoftPrompt(
  systems: readonly StudySystem[],
  items: Items,
): StudySystem | undefined {
  const seeds = Math.max(0, ...systems.map(({ runs }) => runs.length));
  const candidates = systems.filter(
    (system) => system.facets?.adapter.kind === 'soft-prompt' && isDistilled(system),
  );
  // A lucky single seed is no method: systems of the full count of seeds go first.
  const full = candidates.filter(({ runs }) => runs.length === seeds);
  const scored = (full.length > 0 ? full : candidates).map((system) => {
    const of = (set: StudySet) => pooled(system, set, 'joint', items)?.value;
    return { system, score: of('wording') ?? of('intent') ?? -1 };
  });
  return scored.sort((a, b) => b.score - a.score)[0]?.system;
}

/** References, and whatever is not a soft prompt that was distilled; of the same student. */
export function rivals(best: StudySystem, systems: readonly StudySystem[]): StudySystem[] {
  return systems.filter(
    (system) =>
      system !== best &&
      system.student === best.student &&
      !(system.facets?.adapter.kind === 'soft-prompt' && isDistilled(system)) &&
      // Other settings of strictness stand on their curves.
      (system.strictness === best.strictness || isUntaught(system)),
  );
}

function isUntaught({ kind, facets }: StudySystem): boolean {
  return kind === 'base' || kind === 'preamble' || (facets !== null && facets.objective === null);
}

/** Compared on the seeds that both have; what is not trained has one run for all of them. */
export function compareWith(
  best: StudySystem,
  others: readonly StudySystem[],
  set: StudySet,
  items: Items,
): SystemComparison[] {
  const compared = others.flatMap((other) => {
    const [a, b] = paired(best, other, set);
    if (a.length === 0 || b.length === 0) return [];
    const answers = (runs: readonly StudyRun[]) => runs.map((run) => run.answers[set]!);
    const rows = compareRuns(answers(a), answers(b), items[set], RESAMPLES)
      .filter(({ metric }) => COMPARED.includes(metric))
      .map((row) => ({ ...row, mcnemar: mcnemarBySeed(a, b, set, row.metric, items) }));
    return [{ other, rows }];
  });
  const adjusted = new Map(
    COMPARED.map((metric) => {
      const of = compared.flatMap(({ rows }) => rows.filter((row) => row.metric === metric));
      const values = holm(of.map(({ pValue }) => pValue));
      return [metric, new Map(of.map((row, i) => [row, values[i]!]))] as const;
    }),
  );
  return compared.map(({ other, rows }) => ({
    other,
    rows: rows.map((row) => {
      const p = adjusted.get(row.metric)!.get(row)!;
      return { ...row, adjusted: p, told: p < ALPHA };
    }),
  }));
}

function paired(best: StudySystem, other: StudySystem, set: StudySet): [StudyRun[], StudyRun[]] {
  const there = (runs: readonly StudyRun[]) => runs.filter(({ answers }) => answers[set]);
  const [a, b] = [there(best.runs), there(other.runs)];
  if (b.every(({ seed }) => seed === null)) return [a, b];
  const common = a.filter(({ seed }) => b.some((run) => run.seed === seed));
  return [common, common.map(({ seed }) => b.find((run) => run.seed === seed)!)];
}

function mcnemarBySeed(
  a: readonly StudyRun[],
  b: readonly StudyRun[],
  set: StudySet,
  metric: ComparedMetric,
  items: Items,
): number[] {
  if (metric === 'joint') return [];
  const { label, outcome } = METRICS[metric];
  const asked = items[set].filter((item) => item.label === label);
  return a.map((run, s) => {
    const [left, right] = [run, b[s] ?? b[0]!].map(
      ({ answers }) => new Map(answers[set]!.map((answer) => [answer.id, outcome(answer)])),
    ) as [Map<string, boolean | undefined>, Map<string, boolean | undefined>];
    const only = (x: typeof left, y: typeof left) =>
      asked.filter(({ id }) => x.get(id) === true && y.get(id) === false).length;
    return mcnemarExact(only(left, right), only(right, left));
  });
}
