/**
 * What a sweep's document keeps of a finished cell, and the one reader of it: for charts and studies,
 * which do without most of it, and for a sweep that goes on, which writes it again.
 */
import { readKeptValues, type KeptValues, type Trained } from '../adapters/kept-values';
import {
  checkNumber,
  COUNT,
  fieldsOf,
  FINITE,
  isMissing,
  listField,
  SpecError,
  textField,
} from '../data/spec-fields';
import {
  readEvaluations,
  type AnswerSource,
  type ReadEvaluation,
} from '../evaluation/read-evaluation';
import { readEnvironment, readLink, readProbeScores, readSeconds } from '../train/read-records';
import { parseRecipe, RECIPE_RANGES, RecipeError } from '../train/recipe';
import type { ProbeRecord, Recipe, RunEnvironment, RunRecord } from '../types';
import type { SweepResults } from './sweep-results';

/** Of one cell on one set; answers are verdicts, with their texts where those were asked for. */
export type CellEvaluation = ReadEvaluation;

/** What is kept of a finished cell. */
export interface CellOutcome {
  recipe: Recipe;
  /**
   * Systems that no cell changes stand in the first cell that measured them (references.ts): base and
   * preamble once, the guarded system once for each guard case, strictness, temperature and clip.
   */
  evaluations: CellEvaluation[];
  /** Without the answers that a probe shows. */
  probes: Omit<ProbeRecord, 'samples'>[];
  /** Loss of each step; NaN where a document has null. */
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

/** A finished cell as far as its document tells; what is missing is null or empty. */
export interface ReadOutcome {
  recipe: Recipe | null;
  evaluations: ReadEvaluation[];
  probes: Omit<ProbeRecord, 'samples'>[];
  commit: string | null;
  /** The text of its link, where it has one. */
  share: string | null;
  trained: Trained | null;
  trainedValues: number | null;
}

const MAX_STEPS = RECIPE_RANGES.steps.max;
const MAX_COMMIT = 200;

/** @throws SpecError, which names the field */
export function readOutcome(value: unknown, path: string, source: AnswerSource): ReadOutcome {
  const fields = fieldsOf(value, path);
  const at = (field: string) => `${path}.${field}`;
  const recipe = isMissing(fields.recipe) ? null : recipeOf(fields.recipe, at('recipe'));
  const environment = isMissing(fields.environment)
    ? {}
    : fieldsOf(fields.environment, at('environment'));
  const commit = isMissing(environment.commit)
    ? ([fields.commit, 'commit'] as const)
    : ([environment.commit, 'environment.commit'] as const);
  return {
    recipe,
    evaluations: readEvaluations(fields.evaluations ?? [], at('evaluations'), source),
    probes: listField(
      fields.probes ?? [],
      at('probes'),
      { min: 0, max: MAX_STEPS },
      (entry, where) => readProbeScores(entry, where, MAX_STEPS),
    ),
    commit: isMissing(commit[0])
      ? null
      : textField(commit[0], at(commit[1]), { max: MAX_COMMIT }) || null,
    share: isMissing(fields.share) ? null : readLink(fields.share, at('share')),
    trained: isMissing(fields.trained)
      ? null
      : readKeptValues(fields.trained, fields.recipe, at('trained')),
    trainedValues: isMissing(fields.trainedValues)
      ? null
      : checkNumber(fields.trainedValues, COUNT, at('trainedValues')),
  };
}

/**
 * A finished cell for a sweep that goes on and writes it again: whole, and with what this version
 * does not know of it.
 * @throws SpecError, which names the field
 */
export function parseOutcome(value: unknown, path: string, source: AnswerSource): CellOutcome {
  const fields = fieldsOf(value, path);
  const { recipe, evaluations, probes, share, trainedValues } = readOutcome(value, path, source);
  if (!recipe) throw new SpecError(`${path}.recipe`, `${path} has no recipe.`);
  if (fields.evaluations === undefined) {
    throw new SpecError(`${path}.evaluations`, `${path} has no evaluations.`);
  }
  const losses = listField(
    fields.losses ?? [],
    `${path}.losses`,
    { min: 0, max: MAX_STEPS },
    // A run that diverged has a step without a loss.
    (loss, at) => (loss === null || Number.isNaN(loss) ? NaN : checkNumber(loss, FINITE, at)),
  );
  const rest = fields as Partial<CellOutcome>;
  return {
    ...rest,
    recipe,
    evaluations,
    probes,
    losses,
    share,
    trainedValues: trainedValues ?? 0,
    seconds: readSeconds(fields.seconds ?? {}, `${path}.seconds`),
    environment: readEnvironment(fields.environment ?? {}, `${path}.environment`),
  };
}

function recipeOf(value: unknown, path: string): Recipe {
  try {
    return parseRecipe(value);
  } catch (error) {
    if (!(error instanceof RecipeError)) throw error;
    throw new SpecError(`${path}.${error.field}`, `${path} cannot be used. ${error.message}`);
  }
}
