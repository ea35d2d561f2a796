/** The controls of a recipe: bounds, words, presets, and what changed between two recipes. */
import { isTrained } from '../../../distill/adapters/adapter-spec';
import { incompatible } from '../../../distill/target/guard-case';
import { parseObjective } from '../../../distill/objectives/spec';
import { DEFAULT_RECIPE, RECIPE_RANGES, sameField } from '../../../distill/train/recipe';
import type { Recipe } from '../../../distill/types';
import {
  adapterNumbers,
  guardNumbers,
  objectiveNumbers,
  type NumberControl,
} from './recipe-choices';

export type NumberKey = keyof typeof RECIPE_RANGES;

export interface NumberField extends NumberControl {
  key: NumberKey;
}

export const FIELDS: readonly NumberField[] = [
  {
    key: 'steps',
    range: RECIPE_RANGES.steps,
    label: 'Steps',
    help: 'Updates. 150 do for the pocket student.',
  },
  {
    key: 'learningRate',
    range: RECIPE_RANGES.learningRate,
    label: 'Learning rate',
    help: 'Adam’s step at its peak; rises first, then falls as a cosine.',
  },
  {
    key: 'batchSize',
    range: RECIPE_RANGES.batchSize,
    label: 'Batch',
    help: 'Questions a step; each has a refusal path and a sampled path.',
  },
  {
    key: 'seed',
    range: RECIPE_RANGES.seed,
    label: 'Seed',
    help: 'The same seed repeats the run on the same device.',
  },
];

/** Strictness as people move it: to the right is stricter, so the recipe's b has its sign turned. */
export const STRICTNESS = { min: -4, max: 4, step: 0.5 } as const;

export interface Preset {
  id: string;
  label: string;
  note: string;
  change: Partial<Recipe>;
}

export const PRESETS: readonly Preset[] = [
  {
    id: 'default',
    label: 'TV',
    note: `total variation, ${DEFAULT_RECIPE.steps} steps`,
    change: {},
  },
  {
    id: 'kl',
    label: 'KL',
    note: `Kullback–Leibler, ${DEFAULT_RECIPE.steps} steps`,
    change: { objective: parseObjective('kl') },
  },
  { id: 'quick', label: 'Quick look', note: '40 steps, a first idea', change: { steps: 40 } },
  {
    id: 'strict',
    label: 'Strict guard',
    note: 'refuses more when in doubt',
    change: { strictness: -2 },
  },
];

export function presetRecipe(preset: Preset): Recipe {
  return { ...DEFAULT_RECIPE, ...preset.change };
}

/** What is wrong with a field, as a sentence; null when nothing is. */
export function fieldProblem(field: NumberControl, value: number): string | null {
  if (!Number.isFinite(value)) return `${field.label} needs a number.`;
  const { min, max, integer } = field.range;
  if (integer && !Number.isInteger(value)) return `${field.label} must be a whole number.`;
  if (value < min || value > max) return `${field.label} must lie between ${min} and ${max}.`;
  return null;
}

/** All problems of a recipe, one sentence each. */
export function recipeProblems(recipe: Recipe): string[] {
  const { adapter, objective, guardCase } = recipe;
  const trained = isTrained(adapter);
  const numbers = [
    ...adapterNumbers(adapter),
    ...(trained ? [...objectiveNumbers(objective), ...guardNumbers(guardCase)] : []),
  ];
  return [
    ...numbers.map(({ control, value }) => fieldProblem(control, value)),
    ...FIELDS.map((field) => fieldProblem(field, recipe[field.key])),
    trained ? incompatible(objective, guardCase) : null,
  ].filter((problem) => problem !== null);
}

const LABELS: Record<keyof Recipe, string> = {
  student: 'student',
  guard: 'guard',
  adapter: 'adapter',
  objective: 'objective',
  guardCase: 'guard case',
  steps: 'steps',
  batchSize: 'batch',
  learningRate: 'learning rate',
  warmup: 'warm-up',
  clipNorm: 'gradient clip',
  seed: 'seed',
  strictness: 'strictness',
  guardTemperature: 'guard temperature',
  guardClip: 'guard clip',
  maxNewTokens: 'answer length',
  quantiseLast: 'quantised share',
  data: 'training prompts',
};

/** Names of the settings in which two recipes differ, in the order of the form. */
export function recipeChanges(a: Recipe, b: Recipe): string[] {
  const keys = Object.keys(LABELS) as (keyof Recipe)[];
  return keys.filter((key) => !sameField(a, b, key)).map((key) => LABELS[key]);
}
