/**
 * Recipes: the default one, checks of one that comes from a form, a link or a command line, and the
 * learning-rate schedule.
 */
import { KnownError } from '../../formats/errors';
import { ModelSourceError } from '../../formats/model-source';
import { guardText, parseGuardText, parseSourceText, sourceText } from '../../formats/source-text';
import {
  ADAPTER_RANGES,
  isTrained,
  parseAdapter,
  type AdapterSpec,
} from '../adapters/adapter-spec';
import { checkCombination, parseGuardCase } from '../target/guard-case';
import { parseRecipeData } from '../data/imported-prompts';
import { parseObjective } from '../objectives/spec';
import { describe, SpecError, wanted, type NumberRange } from '../data/spec-fields';
import type { Recipe } from '../types';

/** A recipe field that cannot be used; `field` names it, the message says what would be right. */
export class RecipeError extends KnownError {
  override readonly name = 'RecipeError';
  readonly errorCode = 'bad-input';
  constructor(
    /** `recipe` where it is no object at all; of an unknown one the first 60 characters. */
    readonly field: string,
    message: string,
  ) {
    super(message);
  }
}

export const DEFAULT_RECIPE: Readonly<Recipe> = {
  student: 'pocket',
  guard: 'guard',
  adapter: parseAdapter('soft-prompt'),
  objective: parseObjective('tv'),
  guardCase: parseGuardCase('prompt'),
  steps: 150,
  batchSize: 16,
  learningRate: 0.02,
  warmup: 0.05,
  clipNorm: 1,
  seed: 0,
  strictness: 0,
  guardTemperature: 1,
  guardClip: 1e-3,
  maxNewTokens: 48,
  quantiseLast: 0.1,
};

/** Seed of every evaluation's samples; a recipe's seed does not touch it. */
export const EVALUATION_SEED = 0;

type Range = Omit<NumberRange, 'default'>;
type SpecField = 'adapter' | 'objective' | 'guardCase' | 'data';

/** What each number may be; forms read their limits here too. */
export const RECIPE_RANGES: Readonly<
  Record<Exclude<keyof Recipe, 'student' | 'guard' | SpecField>, Readonly<Range>>
> = {
  steps: { min: 1, max: 100_000, integer: true },
  batchSize: { min: 1, max: 64, integer: true },
  learningRate: { min: 1e-6, max: 1, integer: false },
  warmup: { min: 0, max: 0.9, integer: false },
  clipNorm: { min: 1e-6, max: 1e6, integer: false },
  seed: { min: 0, max: 0xffffffff, integer: true },
  strictness: { min: -10, max: 10, integer: false },
  guardTemperature: { min: 0.1, max: 10, integer: false },
  guardClip: { min: 1e-6, max: 0.49, integer: false },
  maxNewTokens: { min: 4, max: 256, integer: true },
  quantiseLast: { min: 0, max: 1, integer: false },
};

/**
 * A full recipe from the given fields; the rest are the default's. `virtualTokens`, which recipes had
 * before there were other adapters, is the n of a soft prompt.
 * @param value a recipe's fields, of a form of ours or of anybody's document
 * @throws RecipeError for an unknown field, a wrong type, a number out of range, or an objective that
 *   does not go with the guard case
 */
export function parseRecipe(value: unknown): Recipe {
  const fields = recipeFields(value);
  const recipe: Recipe = { ...DEFAULT_RECIPE };
  for (const [field, value] of Object.entries(fields)) {
    if (value === undefined || field === 'virtualTokens') continue;
    if (field === 'student') {
      recipe.student = modelText(field, value, (text) => sourceText(parseSourceText(text)));
    } else if (field === 'guard') {
      recipe.guard = modelText(field, value, (text) => guardText(parseGuardText(text)));
    } else if (field === 'adapter') {
      recipe.adapter = spec(field, () => parseAdapter(value, field));
    } else if (field === 'objective') {
      recipe.objective = spec(field, () => parseObjective(value, field));
    } else if (field === 'guardCase') {
      recipe.guardCase = spec(field, () => parseGuardCase(value, field));
    } else if (field === 'data') {
      recipe.data = spec(field, () => parseRecipeData(value, field));
    } else if (isNumberField(field)) {
      recipe[field] = checkNumber(field, RECIPE_RANGES[field], value);
    } else {
      throw new RecipeError(describe(field), `A recipe has no field ${describe(field)}.`);
    }
  }
  if (fields.virtualTokens !== undefined) {
    recipe.adapter = withTokens(recipe.adapter, fields.virtualTokens);
  }
  // What is not trained has no objective to go wrong with.
  if (isTrained(recipe.adapter)) {
    spec('objective', () => checkCombination(recipe.objective, recipe.guardCase));
  }
  return recipe;
}

function recipeFields(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw new RecipeError('recipe', `A recipe must be an object, not ${describe(value)}.`);
}

function withTokens(adapter: AdapterSpec, value: unknown): AdapterSpec {
  const n = checkNumber('virtualTokens', ADAPTER_RANGES.n, value);
  if (adapter.kind === 'soft-prompt') return { ...adapter, n };
  throw new RecipeError('virtualTokens', 'virtualTokens goes with a soft prompt.');
}

function spec<T>(field: SpecField, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof SpecError) throw new RecipeError(field, error.message);
    throw error;
  }
}

/**
 * The nearest recipe that can be run: numbers are clamped and rounded, not refused.
 * @throws RecipeError where something else than a number cannot be used
 */
export function clampRecipe(value: unknown): Recipe {
  const fields = recipeFields(value);
  const clamped: Record<string, unknown> = { ...fields };
  for (const field of numberFields) {
    const { min, max, integer } = RECIPE_RANGES[field];
    const given = fields[field];
    const value =
      typeof given === 'number' && Number.isFinite(given) ? given : DEFAULT_RECIPE[field];
    clamped[field] = Math.min(max, Math.max(min, integer ? Math.round(value) : value));
  }
  return parseRecipe(clamped);
}

/** Whether two recipes say the same in every field. */
export function sameRecipe(a: Recipe, b: Recipe): boolean {
  const fields = new Set([...Object.keys(a), ...Object.keys(b)]) as Set<keyof Recipe>;
  return [...fields].every((field) => sameField(a, b, field));
}

/** Specifications are parsed, so equal ones have their fields in one order. */
export function sameField(a: Recipe, b: Recipe, field: keyof Recipe): boolean {
  return JSON.stringify(a[field]) === JSON.stringify(b[field]);
}

/** The longest names of models with room for a guard's labels. */
const MAX_MODEL_TEXT = 4096;

function modelText(
  field: 'student' | 'guard',
  value: unknown,
  read: (text: string) => string,
): string {
  if (typeof value !== 'string' || value.length > MAX_MODEL_TEXT) {
    throw new RecipeError(
      field,
      `${field} must name a model in at most ${MAX_MODEL_TEXT} characters, not ${describe(value)}.`,
    );
  }
  try {
    return read(value);
  } catch (error) {
    if (!(error instanceof ModelSourceError)) throw error;
    throw new RecipeError(field, `${field} must name a model. ${error.message}`);
  }
}

type NumberField = keyof typeof RECIPE_RANGES;
const numberFields = Object.keys(RECIPE_RANGES) as NumberField[];

function isNumberField(field: string): field is NumberField {
  return Object.hasOwn(RECIPE_RANGES, field);
}

function checkNumber(
  field: NumberField | 'virtualTokens',
  { min, max, integer }: Readonly<Range>,
  value: unknown,
): number {
  const wrong =
    typeof value !== 'number' ||
    !Number.isFinite(value) ||
    value < min ||
    value > max ||
    (integer && !Number.isInteger(value));
  if (wrong) {
    throw new RecipeError(
      field,
      `${field} must be ${wanted({ min, max, integer })}, not ${describe(value)}.`,
    );
  }
  return value;
}

/** Learning rate of `step` (from 0): a linear rise over the warm-up, then a cosine to 0. */
export function learningRateAt(recipe: Recipe, step: number): number {
  const rise = Math.round(recipe.warmup * recipe.steps);
  if (step < rise) return (recipe.learningRate * (step + 1)) / (rise + 1);
  const along = (step - rise) / Math.max(1, recipe.steps - rise);
  return recipe.learningRate * 0.5 * (1 + Math.cos(Math.PI * along));
}

/**
 * Whether the student is looked at after `step` steps: every `every` steps, and five times as often
 * before the first of them, where it learns fastest.
 */
export function probesAt(step: number, every: number): boolean {
  return step % every === 0 || (step < every && step % Math.ceil(every / 5) === 0);
}

/** Whether `step` (from 0) trains through the link's quantisation. */
export function quantisesAt(recipe: Recipe, step: number): boolean {
  return step >= recipe.steps - Math.round(recipe.quantiseLast * recipe.steps);
}
