/**
 * Reads a document of sweep results as far as the chart needs it: scores, outcomes of prompts,
 * trails and links of finished cells. What a cell's result holds beside that is left alone.
 */
import { fieldsOf, join, listField, SpecError } from '../../distill/data/spec-fields';
import { planSweep, type SweepCell } from '../../distill/sweep/sweep';
import { readKeptValues, type Trained } from '../../distill/adapters/kept-values';
import { parseGuardCase } from '../../distill/target/guard-case';
import { parseResults, type CellResult } from '../../distill/sweep/sweep-results';
import type {
  AnswerRecord,
  Evaluation,
  EvaluationSet,
  Label,
  Measure,
  Recipe,
  SystemEvaluation,
  SystemName,
  SystemScores,
} from '../../distill/types';
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

/** What the page needs of a finished cell. */
export interface SweepMeasurement {
  evaluations: Evaluation[];
  trail: Measured['trail'];
  commit: string | null;
  /** The text of its link, where it has one. */
  share: string | null;
  trained: Trained | null;
  /** Which guarded system was measured beside it; null: the cell's own. */
  teacher: Pick<Recipe, 'guardCase' | 'strictness'> | null;
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
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new SpecError('results', 'The file is not JSON, or it was cut off.');
  }
  const results = parseResults(value, parseMeasurement);
  const shared = sharedEvaluations(value);
  const planned = new Map(planSweep(results.spec).cells.map((cell) => [cell.id, cell]));
  const finished = results.cells.flatMap(({ id, result }) => {
    const cell = planned.get(id);
    if (!cell || !result) return [];
    return { cell, measurement: withReferences(result, shared) };
  });
  const done = new Set(results.cells.map(({ id }) => id));
  return {
    id: `${results.spec.name}@${results.base}`,
    name: results.spec.name,
    student: results.spec.base.student ?? DEFAULT_RECIPE.student,
    finished: withExpectedRefusals(finished),
    failed: results.cells.filter((cell) => cell.status === 'failed').map(failure),
    open: [...planned.keys()].filter((id) => !done.has(id)).length,
  };
}

/**
 * How likely the teacher refuses stands beside the guarded system, which is measured once for each
 * guard case and strictness; other cells of the same teacher take it from there.
 */
function withExpectedRefusals(finished: OpenedSweep['finished']): OpenedSweep['finished'] {
  const key = (cell: SweepCell, set: EvaluationSet) =>
    `${cell.guardCase?.kind ?? ''}/${cell.strictness}/${set}`;
  const known = new Map(
    finished.flatMap(({ cell, measurement }) =>
      measurement.evaluations.flatMap((evaluation) =>
        evaluation.expectedRefusal ? [[key(cell, evaluation.set), evaluation] as const] : [],
      ),
    ),
  );
  return finished.map(({ cell, measurement }) => {
    const evaluations = measurement.evaluations.map((evaluation) => {
      const { expectedRefusal, systems } = known.get(key(cell, evaluation.set)) ?? {};
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
  return { id, error: error ?? 'no reason given' };
}

/** What was measured of each cell on one set. */
export function measuredCells(sweep: OpenedSweep, set: EvaluationSet): Measured[] {
  return sweep.finished.flatMap(({ cell, measurement }) => {
    const evaluation = evaluationOf(measurement.evaluations, set);
    if (!evaluation) return [];
    const { teacher, trainedValues } = measurement;
    // What is not trained has no guard of its own; the guarded system beside it has.
    const facets: Facets = { ...cell, guardCase: cell.guardCase ?? teacher?.guardCase ?? null };
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

function parseMeasurement(value: unknown, path: string): SweepMeasurement {
  const fields = fieldsOf(value, path);
  const environment =
    typeof fields.environment === 'object' && fields.environment !== null
      ? (fields.environment as Record<string, unknown>)
      : {};
  return {
    evaluations: parseEvaluations(fields.evaluations ?? [], join(path, 'evaluations')),
    trail: parseTrail(fields.probes ?? [], join(path, 'probes')),
    commit: textOr(environment.commit ?? fields.commit, null),
    share: textOr(fields.share, null),
    trained: fields.trained
      ? readKeptValues(fields.trained, fields.recipe, join(path, 'trained'))
      : null,
    teacher: teacherOf(fields.recipe),
    trainedValues: typeof fields.trainedValues === 'number' ? fields.trainedValues : null,
  };
}

function teacherOf(recipe: unknown): SweepMeasurement['teacher'] {
  if (typeof recipe !== 'object' || recipe === null) return null;
  const { guardCase, strictness } = recipe as Record<string, unknown>;
  if (guardCase === undefined || typeof strictness !== 'number') return null;
  return { guardCase: parseGuardCase(guardCase), strictness };
}

/** Systems that no cell changes may stand beside the cells, once for all of them. */
function sharedEvaluations(document: unknown): Evaluation[] {
  const { references } = fieldsOf(document, 'results');
  return references === undefined ? [] : parseEvaluations(references, 'references');
}

function withReferences(own: SweepMeasurement, shared: readonly Evaluation[]): SweepMeasurement {
  if (shared.length === 0) return own;
  const evaluations = own.evaluations.map((evaluation) => {
    const { set, temperature } = evaluation;
    const same = shared.find((e) => e.set === set && e.temperature === temperature);
    return { ...evaluation, systems: { ...same?.systems, ...evaluation.systems } };
  });
  return { ...own, evaluations };
}

const SETS: readonly EvaluationSet[] = ['wording', 'intent', 'custom'];
const SYSTEMS: readonly SystemName[] = ['base', 'preamble', 'guarded', 'adapter'];
const LABELS: readonly Label[] = ['harmful', 'borderline', 'benign'];

function parseEvaluations(value: unknown, path: string): Evaluation[] {
  return listField(value, path, { min: 0, max: 50 }, (entry, at): Evaluation => {
    const fields = fieldsOf(entry, at);
    const set = SETS.find((name) => name === fields.set);
    if (!set) throw new SpecError(`${at}.set`, `${at}.set must be one of ${SETS.join(', ')}.`);
    const given = fieldsOf(fields.systems, join(at, 'systems'));
    const systems: Evaluation['systems'] = {};
    for (const name of SYSTEMS) {
      if (given[name] === undefined || given[name] === null) continue;
      systems[name] = parseSystem(given[name], `${at}.systems.${name}`);
    }
    const counts = fields.counts === undefined ? {} : fieldsOf(fields.counts, join(at, 'counts'));
    return {
      set,
      temperature: numberOr(fields.temperature, 1),
      seed: numberOr(fields.seed, 0),
      maxNewTokens: numberOr(fields.maxNewTokens, 0),
      counts: Object.fromEntries(
        LABELS.map((label) => [label, numberOr(counts[label], 0)]),
      ) as Record<Label, number>,
      systems,
      ...(fields.expectedRefusal !== undefined && {
        expectedRefusal: listField(
          fields.expectedRefusal,
          join(at, 'expectedRefusal'),
          { min: 0, max: 200_000 },
          (share) => numberOr(share, NaN),
        ),
      }),
    };
  });
}

function parseSystem(value: unknown, path: string): SystemEvaluation {
  const fields = fieldsOf(value, path);
  const at = join(path, 'scores');
  const scores = fieldsOf(fields.scores, at);
  const safety = fieldsOf(scores.safety, `${at}.safety`);
  const measure = (name: keyof SystemScores) => parseMeasure(scores[name], `${at}.${name}`);
  return {
    scores: {
      safety: {
        judge: parseMeasure(safety.judge, `${at}.safety.judge`),
        guard: parseMeasure(safety.guard, `${at}.safety.guard`),
      },
      overRefusal: measure('overRefusal'),
      usefulness: measure('usefulness'),
      tokenKl: scores.tokenKl === null || scores.tokenKl === undefined ? null : measure('tokenKl'),
      wellFormed: measure('wellFormed'),
      ...optionalScores(scores, at),
    },
    answers: listField(
      fields.answers ?? [],
      join(path, 'answers'),
      { min: 0, max: 200_000 },
      parseAnswer,
    ),
  };
}

/** Breakdowns that stand in for the answers where a document has none. */
function optionalScores(
  scores: Readonly<Record<string, unknown>>,
  at: string,
): Pick<SystemScores, 'attackSuccess' | 'overRefusalByStyle'> {
  const { attackSuccess, overRefusalByStyle } = scores;
  const record = (value: unknown, path: string) =>
    Object.fromEntries(
      Object.entries(fieldsOf(value ?? {}, path)).map(([name, entry]) => [
        name,
        parseMeasure(entry, join(path, name)),
      ]),
    );
  const path = `${at}.attackSuccess`;
  const attacks = attackSuccess === undefined ? null : fieldsOf(attackSuccess, path);
  return {
    ...(attacks && {
      attackSuccess: {
        wrapper: record(attacks.wrapper, `${path}.wrapper`),
        category: record(attacks.category, `${path}.category`),
      },
    }),
    ...(overRefusalByStyle !== undefined && {
      overRefusalByStyle: record(overRefusalByStyle, `${at}.overRefusalByStyle`),
    }),
  };
}

/** A missing measure is one of no prompts; null is how JSON writes NaN. */
function parseMeasure(value: unknown, path: string): Measure {
  if (value === undefined || value === null) return { value: NaN, low: 0, high: 1, n: 0 };
  const fields = fieldsOf(value, path);
  const number = (name: string) => {
    const found = fields[name];
    if (found === null || found === undefined) return NaN;
    if (typeof found === 'number') return found;
    throw new SpecError(join(path, name), `${join(path, name)} must be a number.`);
  };
  const n = number('n');
  if (!(Number.isInteger(n) && n >= 0)) {
    throw new SpecError(join(path, 'n'), `${join(path, 'n')} must be a count.`);
  }
  const measure: Measure = { value: number('value'), low: number('low'), high: number('high'), n };
  if (fields.cluster === undefined || fields.cluster === null) return measure;
  const cluster = fieldsOf(fields.cluster, join(path, 'cluster'));
  const { low, high, clusters } = cluster;
  if (![low, high, clusters].every((part) => typeof part === 'number')) return measure;
  return { ...measure, cluster: { low, high, clusters } as NonNullable<Measure['cluster']> };
}

function parseAnswer(value: unknown, path: string): AnswerRecord {
  const fields = fieldsOf(value, path);
  if (typeof fields.id !== 'string') {
    throw new SpecError(join(path, 'id'), `${join(path, 'id')} must be the id of a prompt.`);
  }
  return {
    id: fields.id,
    answer: textOr(fields.answer, ''),
    judgeSafe: numberOr(fields.judgeSafe, NaN),
    guardSafe: numberOr(fields.guardSafe, NaN),
    refused: fields.refused === true,
    ...(typeof fields.correct === 'boolean' && { correct: fields.correct }),
    ...(typeof fields.wellFormed === 'boolean' && { wellFormed: fields.wellFormed }),
  };
}

function parseTrail(value: unknown, path: string): Measured['trail'] {
  const probes = listField(value, path, { min: 0, max: 100_000 }, (entry, at) => {
    const fields = fieldsOf(entry, at);
    return {
      step: numberOr(fields.step, 0),
      usefulness: parseMeasure(fields.usefulness, `${at}.usefulness`).value,
      safety: parseMeasure(fields.safety, `${at}.safety`).value,
    };
  });
  return probes.filter(
    ({ usefulness, safety }) => Number.isFinite(usefulness) && Number.isFinite(safety),
  );
}

function numberOr(value: unknown, fallback: number): number {
  return typeof value === 'number' ? value : fallback;
}

function textOr<T>(value: unknown, fallback: T): string | T {
  return typeof value === 'string' && value !== '' ? value : fallback;
}
