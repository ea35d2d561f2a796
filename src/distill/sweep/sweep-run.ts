/**
 * Runs the cells of a sweep one after another, each from training to its scores, and hands out the
 * document of results after each. A cell that fails is recorded and the sweep goes on; one that is
 * cancelled leaves no trace and is run again.
 */
import { decoderShape } from '../adapters/adaptation';
import { trainedValues } from '../adapters/adapter-spec';
import type { ExtraOptions } from '../evaluation/extras';
import { keepValues, type KeptValues } from '../adapters/kept-values';
import { DEFAULT_RECIPE, sameRecipe } from '../train/recipe';
import { distil, type EvaluationRequest, type RunDeps, type RunHooks } from '../train/run';
import { fieldsOf, join, SpecError } from '../data/spec-fields';
import { cellRecipe, planSweep, type SweepCell } from './sweep';
import { remainingCells, secondsLeft, withCell, type SweepResults } from './sweep-results';
import type {
  AnswerRecord,
  Evaluation,
  ProbeRecord,
  Recipe,
  RunEnvironment,
  RunRecord,
  SystemName,
} from '../types';

/** Verdicts on a prompt's answer; the text only where it was asked for. */
export type Outcome = Omit<AnswerRecord, 'answer'> & { answer?: string };

export type CellEvaluation = Omit<Evaluation, 'systems'> & {
  systems: Partial<
    Record<
      SystemName,
      Omit<Evaluation['systems'][SystemName] & object, 'answers'> & { answers: Outcome[] }
    >
  >;
};

/** What is kept of a finished cell. */
export interface CellOutcome {
  recipe: Recipe;
  /**
   * Systems that no cell changes stand in the first cell that measured them: base and preamble once,
   * the guarded system once for each guard case and strictness.
   */
  evaluations: CellEvaluation[];
  /** Without the answers that a probe shows. */
  probes: Omit<ProbeRecord, 'samples'>[];
  /** Loss of each step. */
  losses: number[];
  /** Values that training changed. */
  trainedValues: number;
  /** Where they were asked for. */
  bound?: RunRecord['bound'];
  cost?: RunRecord['cost'];
  /** Seconds by phase. */
  seconds: Record<string, number>;
  environment: RunEnvironment;
  share: string | null;
  /** What was trained, where no link carries it and it is small. */
  trained?: KeptValues;
}

export type SweepDocument = SweepResults<CellOutcome>;

export interface SweepHooks extends Pick<RunHooks, 'signal' | 'control' | 'onStep' | 'onProgress'> {
  /** Keeps the document, whole; a cell counts once this has resolved. */
  save: (results: SweepDocument) => Promise<void>;
  /** Before each cell; seconds are null while nothing is known. */
  onCell?: (
    cell: SweepCell,
    at: { index: number; total: number; secondsLeft: number | null },
  ) => void;
  /** After each cell. */
  onOutcome?: (results: SweepDocument, id: string) => void;
}

export interface SweepOptions {
  /** Run failed cells again. */
  retry?: boolean;
  /** Keep the text of answers. */
  answers?: boolean;
  /** Steps between probes; 0 = none, the default. */
  probeEvery?: number;
  /** What each cell measures besides its scores. */
  extras?: ExtraOptions;
  /** Errors that end the sweep instead of the cell: what every later cell would meet again. */
  isFatal?: (error: unknown) => boolean;
}

const REFERENCES: readonly SystemName[] = ['base', 'preamble'];

/**
 * @returns the document with all cells that could be run
 * @throws the signal's reason when aborted; a fatal error; what `save` throws
 */
export async function runSweep(
  results: SweepDocument,
  deps: RunDeps,
  hooks: SweepHooks,
  options: SweepOptions = {},
): Promise<SweepDocument> {
  let document = upToDate(results);
  const cells = remainingCells(document, options);
  const total = planSweep(results.spec).cells.length;
  for (const [index, cell] of cells.entries()) {
    hooks.signal?.throwIfAborted();
    const left = secondsLeft(document);
    hooks.onCell?.(cell, { index: total - cells.length + index, total, secondsLeft: left });
    const start = performance.now();
    const finished = (
      fields: Pick<SweepDocument['cells'][number], 'status' | 'result' | 'error'>,
    ) => ({
      id: cell.id,
      seconds: (performance.now() - start) / 1000,
      finishedAt: new Date().toISOString(),
      ...fields,
    });
    try {
      const result = await runCell(document, cell, deps, hooks, options);
      document = withCell(document, finished({ status: 'finished', result }));
    } catch (error) {
      hooks.signal?.throwIfAborted();
      if (options.isFatal?.(error)) throw error;
      const message = error instanceof Error ? error.message : String(error);
      document = withCell(document, finished({ status: 'failed', result: null, error: message }));
    }
    await hooks.save(document);
    hooks.onOutcome?.(document, cell.id);
  }
  return document;
}

/** Without the cells whose recipe has been tuned since they were run. */
function upToDate(results: SweepDocument): SweepDocument {
  const planned = new Map(planSweep(results.spec).cells.map((cell) => [cell.id, cell]));
  const cells = results.cells.filter(({ id, result }) => {
    const cell = planned.get(id);
    return !cell || !result || sameRecipe(result.recipe, cellRecipe(results.spec, cell));
  });
  return { ...results, cells };
}

async function runCell(
  document: SweepDocument,
  cell: SweepCell,
  deps: RunDeps,
  { signal, control, onStep, onProgress }: SweepHooks,
  { answers = false, probeEvery = 0, extras }: SweepOptions,
): Promise<CellOutcome> {
  const { spec } = document;
  const recipe = cellRecipe(spec, cell);
  const systems = systemsOf(document, recipe);
  const evaluations = spec.sets.map((set): EvaluationRequest => ({ set, temperature: 1, systems }));
  const record = await distil(
    recipe,
    deps,
    { signal, control, onStep, onProgress },
    {
      evaluations,
      limit: spec.limit,
      probeEvery,
      ...(extras && { extras }),
    },
  );
  return outcomeOf(record, deps, answers);
}

/** The adapter, and what no earlier cell has measured. */
function systemsOf({ cells }: SweepDocument, recipe: Recipe): SystemName[] {
  const finished = cells.flatMap(({ result }) => (result ? [result] : []));
  const has = (outcome: CellOutcome, name: SystemName) =>
    outcome.evaluations.every(({ systems }) => systems[name]);
  const missing = REFERENCES.filter((name) => !finished.some((outcome) => has(outcome, name)));
  const guarded = finished.some(
    (outcome) => has(outcome, 'guarded') && sameTeacher(outcome.recipe, recipe),
  );
  return [...missing, ...(guarded ? [] : (['guarded'] as const)), 'adapter'];
}

type Teacher = Pick<Recipe, 'strictness' | 'guardCase'>;

/** Whether two recipes of one sweep are taught by the same guarded system. */
export function sameTeacher(a: Teacher, b: Teacher): boolean {
  return a.strictness === b.strictness && a.guardCase.kind === b.guardCase.kind;
}

function outcomeOf(record: RunRecord, deps: RunDeps, answers: boolean): CellOutcome {
  const trained = record.share === null ? keepValues(record.modelId, record.values) : null;
  return {
    recipe: record.recipe,
    evaluations: record.evaluations.map((evaluation) => compact(evaluation, answers)),
    probes: record.probes.map(({ samples: _, ...probe }) => probe),
    losses: record.steps.map(({ loss }) => Number(loss.toPrecision(6))),
    trainedValues: valuesOf(record.recipe, deps),
    ...(record.bound && { bound: record.bound }),
    ...(record.cost && { cost: record.cost }),
    seconds: record.seconds,
    environment: record.environment,
    share: record.share,
    ...(trained && { trained }),
  };
}

function valuesOf({ adapter }: Recipe, { engine }: RunDeps): number {
  return trainedValues(adapter, decoderShape(engine.config));
}

/** Four digits are more than a verdict needs. */
function compact({ systems, expectedRefusal, ...evaluation }: Evaluation, answers: boolean) {
  const short = (value: number) => Number(value.toPrecision(4));
  const kept: CellEvaluation['systems'] = {};
  for (const [name, system] of Object.entries(systems)) {
    kept[name as SystemName] = {
      ...system,
      answers: system.answers.map(({ answer, judgeSafe, guardSafe, refusalScore, ...rest }) => ({
        ...rest,
        judgeSafe: short(judgeSafe),
        guardSafe: short(guardSafe),
        ...(refusalScore !== undefined && { refusalScore: short(refusalScore) }),
        ...(answers && { answer }),
      })),
    };
  }
  return {
    ...evaluation,
    systems: kept,
    ...(systems.guarded && expectedRefusal && { expectedRefusal: expectedRefusal.map(short) }),
  };
}

/**
 * Checks a cell's result as far as a sweep that goes on reads it.
 * @throws SpecError
 */
export function parseOutcome(value: unknown, path: string): CellOutcome {
  const fields = fieldsOf(value, path);
  const { evaluations, recipe } = fields;
  const whole =
    Array.isArray(evaluations) &&
    evaluations.every((entry: unknown, i) => {
      const systems = fieldsOf(entry, `${path}.evaluations[${i}]`).systems;
      return typeof systems === 'object' && systems !== null;
    });
  if (!whole) throw new SpecError(join(path, 'evaluations'), `${path} has no evaluations.`);
  const { strictness, guardCase } = fieldsOf(recipe, join(path, 'recipe'));
  if (typeof strictness !== 'number' || typeof guardCase !== 'object' || guardCase === null) {
    throw new SpecError(join(path, 'recipe'), `${path}.recipe is no recipe.`);
  }
  return fields as unknown as CellOutcome;
}

/** The student of a sweep, as text. */
export function studentOf({ spec }: Pick<SweepDocument, 'spec'>): string {
  return spec.base.student ?? DEFAULT_RECIPE.student;
}
