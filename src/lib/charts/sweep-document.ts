/**
 * A document of sweep results as the chart shows it: scores, outcomes of prompts, trails and links
 * of finished cells. What is read and refused is in distill/sweep/outcome.ts.
 */
import type { Trained } from '../../distill/adapters/kept-values';
import { cut, SpecError } from '../../distill/data/spec-fields';
import { withTexts } from '../../distill/evaluation/read-evaluation';
import { readOutcome, type ReadOutcome } from '../../distill/sweep/outcome';
import { referenceKey } from '../../distill/sweep/references';
import { cellRecipe, planSweep, type SweepCell, type SweepSpec } from '../../distill/sweep/sweep';
import { parseResults, type CellResult } from '../../distill/sweep/sweep-results';
import type { Evaluation, EvaluationSet, Recipe } from '../../distill/types';
import { DEFAULT_DEPTH, JsonTextError, parseBoundedJson } from '../../formats/bounded-json';
import { count } from './format';
import { DEFAULT_RECIPE } from '../../distill/train/recipe';
import {
  adapterName,
  curveKey,
  guardCaseName,
  objectiveName,
  strictnessName,
  type Facets,
} from './facets';
import { evaluationOf, type Measured } from './points';

/** Larger files would freeze the page for longer than anyone waits. */
export const MAX_SWEEP_BYTES = 256 * 2 ** 20;

/** More values than that are hundreds of megabytes in memory. */
const JSON_LIMITS = { characters: MAX_SWEEP_BYTES, depth: DEFAULT_DEPTH, values: 2 ** 24 };
/** A reason is shown in a line or two. */
const MAX_REASON = 500;

/** What the page needs of a finished cell. */
export interface SweepMeasurement {
  /** As the document has it, or as its specification would train it. */
  recipe: Recipe;
  evaluations: Evaluation[];
  trail: Measured['trail'];
  commit: string | null;
  /** The text of its link, where it has one. */
  share: string | null;
  trained: Trained | null;
  trainedValues: number | null;
}

export interface OpenedSweep {
  /** Name and base: opening the same sweep again takes the place of what was open. */
  id: string;
  name: string;
  student: string;
  finished: { cell: SweepCell; measurement: SweepMeasurement }[];
  failed: { id: string; error: string }[];
  /** Planned cells without a result. */
  open: number;
}

/**
 * @throws SpecError, which names the field
 */
export function openSweep(text: string): OpenedSweep {
  const results = parseResults(jsonOf(text), readOutcome);
  const { spec } = results;
  const shared = results.references?.map(withTexts) ?? [];
  const planned = new Map(planSweep(spec).cells.map((cell) => [cell.id, cell]));
  const finished = results.cells.flatMap(({ id, result }) => {
    const cell = planned.get(id);
    if (!cell || !result) return [];
    return { cell, measurement: withReferences(measurementOf(result, spec, cell), shared) };
  });
  const done = new Set(results.cells.map(({ id }) => id));
  return {
    id: `${spec.name}@${results.base}`,
    name: spec.name,
    student: spec.base.student ?? DEFAULT_RECIPE.student,
    finished: withExpectedRefusals(finished),
    failed: results.cells.filter((cell) => cell.status === 'failed').map(failure),
    open: [...planned.keys()].filter((id) => !done.has(id)).length,
  };
}

function jsonOf(text: string): unknown {
  try {
    return parseBoundedJson(text, JSON_LIMITS);
  } catch (error) {
    if (error instanceof JsonTextError) throw new SpecError('results', error.message);
    throw error;
  }
}

function measurementOf(outcome: ReadOutcome, spec: SweepSpec, cell: SweepCell): SweepMeasurement {
  const { recipe, evaluations, probes, commit, share, trained, trainedValues } = outcome;
  return {
    recipe: recipe ?? cellRecipe(spec, cell),
    evaluations: evaluations.map(withTexts),
    trail: probes
      .map(({ step, usefulness, safety }) => {
        return { step, usefulness: usefulness.value, safety: safety.value };
      })
      .filter(({ usefulness, safety }) => Number.isFinite(usefulness) && Number.isFinite(safety)),
    ...{ commit, share, trained, trainedValues },
  };
}

/** Systems that no cell changes may stand beside the cells, once for all of them. */
function withReferences(own: SweepMeasurement, shared: readonly Evaluation[]): SweepMeasurement {
  if (shared.length === 0) return own;
  const evaluations = own.evaluations.map((evaluation) => {
    const { set, temperature } = evaluation;
    const same = shared.find((e) => e.set === set && e.temperature === temperature);
    return { ...evaluation, systems: { ...same?.systems, ...evaluation.systems } };
  });
  return { ...own, evaluations };
}

/**
 * How likely the teacher refuses stands beside the guarded system, which is measured once for each
 * teacher; other cells of the same one take it from there.
 */
function withExpectedRefusals(finished: OpenedSweep['finished']): OpenedSweep['finished'] {
  const key = ({ recipe }: SweepMeasurement, { set, temperature }: Evaluation) =>
    `${set}/${temperature}/${referenceKey('guarded', recipe)}`;
  const known = new Map(
    finished.flatMap(({ measurement }) =>
      measurement.evaluations.flatMap((evaluation) =>
        evaluation.expectedRefusal ? [[key(measurement, evaluation), evaluation] as const] : [],
      ),
    ),
  );
  return finished.map(({ cell, measurement }) => {
    const evaluations = measurement.evaluations.map((evaluation) => {
      const { expectedRefusal, systems } = known.get(key(measurement, evaluation)) ?? {};
      const there = systems?.adapter?.answers;
      const here = evaluation.systems.adapter?.answers;
      const same = there?.length === here?.length && there?.every((a, i) => a.id === here?.[i]?.id);
      return same && expectedRefusal && !evaluation.expectedRefusal
        ? { ...evaluation, expectedRefusal }
        : evaluation;
    });
    return { cell, measurement: { ...measurement, evaluations } };
  });
}

function failure({ id, error }: CellResult<unknown>): { id: string; error: string } {
  return { id, error: cut(error ?? 'no reason given', MAX_REASON) };
}

/** What was measured of each cell on one set. */
export function measuredCells(sweep: OpenedSweep, set: EvaluationSet): Measured[] {
  return sweep.finished.flatMap(({ cell, measurement }) => {
    const evaluation = evaluationOf(measurement.evaluations, set);
    if (!evaluation) return [];
    const { recipe, trainedValues } = measurement;
    const { guard, guardCase, guardTemperature, guardClip } = recipe;
    const facets: Facets = {
      ...{ adapter: cell.adapter, objective: cell.objective, strictness: cell.strictness },
      // What is not trained has no guard of its own; the guarded system beside it has.
      guardCase: cell.guardCase ?? guardCase,
      ...{ guard, guardTemperature, guardClip },
    };
    const strictness = strictnessName(cell.strictness);
    const trained = cell.objective !== null;
    const label = [adapterName(cell.adapter), ...(trained ? [objectiveName(cell.objective)] : [])];
    const detail = [
      ...(trained ? [guardCaseName(cell.guardCase)] : ['nothing trained']),
      ...(strictness ? [strictness] : []),
      ...(trainedValues ? [`${count(trainedValues)} values`] : []),
      ...(trained ? [`seed ${cell.seed}`] : []),
      `sweep ${sweep.name}`,
    ];
    return {
      id: `${sweep.id}/${cell.id}`,
      runId: null,
      student: sweep.student,
      facets,
      seed: trained ? cell.seed : null,
      label: label.join(' · '),
      detail: detail.join(', '),
      commit: measurement.commit ?? 'unknown',
      share: measurement.share,
      ...(measurement.trained && { trained: measurement.trained }),
      experiment: `${sweep.id}/${curveKey(facets)}_${cell.strictness}`,
      curve: `${sweep.id}/${curveKey(facets)}`,
      trail: measurement.trail,
      evaluation,
    };
  });
}
