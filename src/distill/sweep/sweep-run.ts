/**
 * Runs the cells of a sweep one after another, each from training to its scores, and hands out the
 * document of results after each. A cell that fails is recorded and the sweep goes on; one that is
 * cancelled leaves no trace and is run again.
 */
import { decoderShape } from '../adapters/adaptation';
import { trainedValues } from '../adapters/adapter-spec';
import type { ExtraOptions } from '../evaluation/extras';
import { keepValues } from '../adapters/kept-values';
import { DEFAULT_RECIPE, sameRecipe } from '../train/recipe';
import { distil, type EvaluationRequest, type RunDeps, type RunHooks } from '../train/run';
import { cut } from '../data/spec-fields';
import type { CellEvaluation, CellOutcome, SweepDocument } from './outcome';
import { REFERENCES, sameReference } from './references';
import { cellRecipe, planSweep, type SweepCell } from './sweep';
import { MAX_REASON, remainingCells, secondsLeft, withCell } from './sweep-results';
import type { Evaluation, Recipe, RunRecord, SystemName } from '../types';

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
      const message = cut(error instanceof Error ? error.message : String(error), MAX_REASON);
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
function systemsOf({ cells, spec }: SweepDocument, recipe: Recipe): SystemName[] {
  const has = (outcome: CellOutcome, name: SystemName) =>
    spec.sets.every((set) =>
      outcome.evaluations.some(
        ({ set: on, temperature, systems }) => on === set && temperature === 1 && systems[name],
      ),
    );
  const finished = cells.flatMap(({ result }) => (result ? [result] : []));
  const missing = REFERENCES.filter(
    (name) => !finished.some((each) => has(each, name) && sameReference(name, each.recipe, recipe)),
  );
  return [...missing, 'adapter'];
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

/** The models of a sweep, as text: all its cells have the same. */
export function modelsOf({ spec }: Pick<SweepDocument, 'spec'>): Pick<Recipe, 'student' | 'guard'> {
  const { student, guard } = DEFAULT_RECIPE;
  return { student: spec.base.student ?? student, guard: spec.base.guard ?? guard };
}
