/** From measured runs and sweep cells to the chart's points, seed means and strictness curves. */
import { guardCaseKey } from '../../distill/target/guard-case';
import { OBJECTIVE_NAMES } from '../../distill/objectives/spec';
import type { Trained } from '../../distill/adapters/kept-values';
import type { Evaluation, EvaluationSet, Measure, SystemScores } from '../../distill/types';
import { sourceTitle } from '../../formats/source-text';
import type { Scorer } from './compare';
import {
  SYSTEM_LABELS,
  facetsOfRecipe,
  guardNames,
  KIND_LABELS,
  strictnessName,
  type Facets,
} from './facets';
import {
  dominatedIds,
  experimentKey,
  recipeLine,
  type ChartRun,
  type TradeoffPoint,
} from './tradeoff';

/** One thing that was measured, wherever it comes from. */
export interface Measured {
  id: string;
  runId: string | null;
  /** The student's source as text. */
  student: string;
  facets: Facets;
  seed: number | null;
  /** Null: named after its kind and counted. */
  label: string | null;
  detail: string;
  commit: string;
  share: string | null;
  /** What was trained, where it stands beside the scores. */
  trained?: Trained;
  experiment: string;
  /** Everything but seed and strictness. */
  curve: string;
  trail: TradeoffPoint['trail'];
  evaluation: Evaluation;
}

const REFERENCES = ['base', 'preamble', 'guarded'] as const;
const ADAPTER_SHAPE = { 'soft-prompt': 0, lora: 1, steering: 2, preamble: 3 } as const;

/** The evaluation that is reported: temperature 1; greedy is a second column elsewhere. */
export function evaluationOf(
  evaluations: readonly Evaluation[],
  set: EvaluationSet,
): Evaluation | undefined {
  const found = evaluations.filter((e) => e.set === set);
  return found.find((e) => e.temperature === 1) ?? found[0];
}

export function measuredRuns(runs: readonly ChartRun[], set: EvaluationSet): Measured[] {
  return runs.flatMap((run) => {
    const evaluation = evaluationOf(run.evaluations, set);
    if (!evaluation) return [];
    return {
      id: run.id,
      runId: run.id,
      student: run.recipe.student,
      facets: facetsOfRecipe(run.recipe),
      seed: run.recipe.seed,
      label: null,
      detail: recipeLine(run.recipe),
      commit: run.environment.commit,
      share: run.share ?? null,
      experiment: experimentKey(run.recipe),
      curve: experimentKey({ ...run.recipe, strictness: 0 }),
      trail: run.probes.map((probe) => ({
        step: probe.step,
        usefulness: probe.usefulness.value,
        safety: probe.safety.value,
      })),
      evaluation,
    };
  });
}

export function pointsOf(
  runs: readonly ChartRun[],
  set: EvaluationSet,
  scorer: Scorer,
): TradeoffPoint[] {
  return pointsFrom(measuredRuns(runs, set), scorer);
}

/**
 * Points of all that was measured, references first. References are taken from where they were
 * measured on the most prompts, since they do not depend on the run; guarded systems differ by
 * guard, guard case, strictness, temperature and clip.
 */
export function pointsFrom(
  measured: readonly Measured[],
  scorer: Scorer,
  /** Marks by run, or colour by objective and shape by adapter. */
  marks: 'run' | 'facets' = 'run',
): TradeoffPoint[] {
  const references = new Map<string, TradeoffPoint>();
  const students: string[] = [];
  const adapters: TradeoffPoint[] = [];
  const objectives = objectivesOf(measured);
  let unnamed = 0;
  for (const one of measured) {
    for (const kind of REFERENCES) {
      const reference = referencePoint(one, kind, students, scorer);
      if (!reference) continue;
      const previous = references.get(reference.id);
      if (previous && previous.safety.n >= reference.safety.n) continue;
      references.set(reference.id, reference);
    }
    const adapter = one.evaluation.systems.adapter;
    const { facets } = one;
    if (!adapter || facets.adapter.kind === 'preamble' || !placeable(adapter.scores, scorer)) {
      continue;
    }
    const name = KIND_LABELS[facets.adapter.kind];
    if (one.label === null) unnamed++;
    adapters.push({
      id: one.id,
      kind: 'adapter',
      label: one.label ?? (unnamed === 1 ? name : `${name} ${unnamed}`),
      detail: one.detail,
      runId: one.runId,
      seed: one.seed,
      commit: one.commit,
      usefulness: adapter.scores.usefulness,
      safety: adapter.scores.safety[scorer],
      scores: adapter.scores,
      answers: adapter.answers,
      expectedRefusal: one.evaluation.expectedRefusal ?? null,
      trail: one.trail,
      facets,
      experiment: one.experiment,
      strictness: facets.objective ? facets.strictness : null,
      curve: facets.objective ? one.curve : null,
      share: one.share,
      ...(one.trained && { trained: one.trained }),
      ...(marks === 'run'
        ? { series: adapters.length }
        : {
            series: facets.objective ? objectives.indexOf(facets.objective.name) : -1,
            shape: ADAPTER_SHAPE[facets.adapter.kind],
          }),
    });
  }
  const rank = (point: TradeoffPoint) => {
    const student = students.findIndex((s, i) => i > 0 && point.id.endsWith(`:${s}`));
    return Math.max(0, student) * REFERENCES.length + REFERENCES.findIndex((k) => k === point.kind);
  };
  const ordered = [...references.values()].sort((a, b) => rank(a) - rank(b));
  return [...ordered, ...adapters];
}

/** Objectives that occur, in the catalogue's order: their place is their colour. */
export function objectivesOf(measured: readonly Pick<Measured, 'facets'>[]): string[] {
  const names = new Set(measured.map(({ facets }) => facets.objective?.name));
  return OBJECTIVE_NAMES.filter((name) => names.has(name));
}

function referencePoint(
  one: Measured,
  kind: (typeof REFERENCES)[number],
  students: string[],
  scorer: Scorer,
): TradeoffPoint | null {
  const { evaluation, facets, student } = one;
  // A preamble that was a cell of its own is the same system as the reference.
  const written = kind === 'preamble' && facets.adapter.kind === 'preamble';
  const system = evaluation.systems[kind] ?? (written ? evaluation.systems.adapter : undefined);
  if (!system || !placeable(system.scores, scorer)) return null;
  if (!students.includes(student)) students.push(student);
  // Every student has references of its own; the first one's keep the short names.
  const own = student === students[0] ? '' : student;
  const { guardCase, strictness } = facets;
  const names = kind === 'guarded' ? guardNames(facets) : [];
  const variant =
    kind === 'guarded' ? [...(strictness === 0 ? [] : [strictnessName(strictness)]), ...names] : [];
  const label = variant.length > 0 ? ['Guarded', ...variant].join(', ') : SYSTEM_LABELS[kind];
  return {
    id: [kind, ...variant, ...(own ? [own] : [])].join(':'),
    kind,
    label: own ? `${label}, ${sourceTitle(own)}` : label,
    detail: `student ${sourceTitle(student)}`,
    runId: null,
    seed: evaluation.seed,
    commit: one.commit,
    usefulness: system.scores.usefulness,
    safety: system.scores.safety[scorer],
    scores: system.scores,
    answers: system.answers,
    expectedRefusal: evaluation.expectedRefusal ?? null,
    trail: [],
    series: 0,
    facets: null,
    experiment: null,
    strictness: kind === 'guarded' ? strictness : null,
    curve:
      kind === 'guarded' && guardCase
        ? ['guarded', guardCaseKey(guardCase), ...names].join('_') + `@${student}`
        : null,
    share: null,
  };
}

/** A system that was asked no harmful or no benign question has no place on the chart. */
function placeable({ safety, usefulness }: SystemScores, scorer: Scorer): boolean {
  return safety[scorer].n > 0 && usefulness.n > 0;
}

/** Spread of repetitions: mean of at least two runs that differ only in their seed. */
export interface SeedGroup {
  key: string;
  ids: string[];
  label: string;
  /**
   * Mean of the values and of the ends of the intervals: as wide as one seed's, since all seeds
   * answered the same prompts. How much seeds differ is in the dots.
   */
  usefulness: Measure;
  safety: Measure;
}

export function seedGroups(points: readonly TradeoffPoint[]): SeedGroup[] {
  const groups = new Map<string, TradeoffPoint[]>();
  for (const point of points) {
    if (point.experiment === null) continue;
    const group = groups.get(point.experiment);
    if (group) group.push(point);
    else groups.set(point.experiment, [point]);
  }
  return [...groups]
    .filter(([, members]) => new Set(members.map((m) => m.seed)).size > 1)
    .map(([key, members]) => ({
      key,
      ids: members.map((m) => m.id),
      label: members[0]!.label,
      usefulness: meanMeasure(members.map((m) => m.usefulness)),
      safety: meanMeasure(members.map((m) => m.safety)),
    }));
}

export function meanMeasure(measures: readonly Measure[]): Measure {
  const mean = (pick: (m: Measure) => number) =>
    measures.reduce((sum, m) => sum + pick(m), 0) / measures.length;
  return {
    value: mean((m) => m.value),
    low: mean((m) => m.low),
    high: mean((m) => m.high),
    n: Math.min(...measures.map((m) => m.n)),
  };
}

/** What has a large mark and competes for the front: a lone point, or the mean of its seeds. */
export interface Unit {
  /** The point's id, or the group's key. */
  id: string;
  /** The points that it stands for. */
  points: TradeoffPoint[];
  label: string;
  usefulness: Measure;
  safety: Measure;
}

export function unitsOf(points: readonly TradeoffPoint[], groups: readonly SeedGroup[]): Unit[] {
  const byId = new Map(points.map((point) => [point.id, point]));
  const grouped = new Set(groups.flatMap((group) => group.ids));
  const alone = points
    .filter((point) => !grouped.has(point.id))
    .map((point): Unit => {
      const { id, label, usefulness, safety } = point;
      return { id, label, usefulness, safety, points: [point] };
    });
  const means = groups.map(({ key, ids, label, usefulness, safety }): Unit => {
    const members = ids.flatMap((id) => byId.get(id) ?? []);
    return { id: key, label, usefulness, safety, points: members };
  });
  return [...alone, ...means];
}

/** What a unit was made with; over several seeds no single one is named. */
export function unitDetail({ points }: Unit): string {
  const [first] = points;
  if (!first) return '';
  if (points.length === 1) return first.detail;
  const parts = first.detail.split(', ').filter((part) => part !== `seed ${first.seed}`);
  return [`mean of ${points.length} seeds`, ...parts].join(', ');
}

/** Ids of points and of groups that another system is at least as good as on both axes. */
export function fadedIds(units: readonly Unit[]): Set<string> {
  const dominated = dominatedIds(units);
  return new Set(
    units
      .filter((unit) => dominated.has(unit.id))
      .flatMap((unit) => [unit.id, ...unit.points.map((point) => point.id)]),
  );
}

/** One system over strictness, everything else the same, at the means of its seeds. */
export interface StrictnessCurve {
  key: string;
  /** The point whose mark it takes. */
  point: TradeoffPoint;
  /** In the order of strictness, from the most lenient. */
  units: Unit[];
}

export function strictnessCurves(units: readonly Unit[]): StrictnessCurve[] {
  const curves = new Map<string, { at: number; unit: Unit }[]>();
  for (const unit of units) {
    const [point] = unit.points;
    const at = point?.strictness ?? null;
    if (!point?.curve || at === null) continue;
    const curve = curves.get(point.curve);
    if (curve) curve.push({ at, unit });
    else curves.set(point.curve, [{ at, unit }]);
  }
  return [...curves].flatMap(([key, entries]) => {
    const sorted = entries.sort((a, b) => b.at - a.at).map(({ unit }) => unit);
    const point = sorted[0]?.points[0];
    return sorted.length > 1 && point ? [{ key, point, units: sorted }] : [];
  });
}
