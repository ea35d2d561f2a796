/** The controls of a recipe: bounds, words, presets, and what changed between two recipes. */
import type { Recipe } from '../../distill/types';

/** The default recipe: its guard scores and base samples ship with the models. */
export const DEFAULT_RECIPE: Recipe = {
  student: 'pocket',
  objective: 'tv',
  virtualTokens: 16,
  steps: 300,
  batchSize: 16,
  learningRate: 0.01,
  warmup: 0.05,
  clipNorm: 1,
  seed: 0,
  strictness: 0,
  guardTemperature: 1,
  guardClip: 0.001,
  maxNewTokens: 48,
  quantiseLast: 0.1,
};

export type NumberKey = {
  [K in keyof Recipe]: Recipe[K] extends number ? K : never;
}[keyof Recipe];

export interface NumberField {
  key: NumberKey;
  label: string;
  unit?: string;
  min: number;
  max: number;
  /** Whole numbers only. */
  integer: boolean;
  help: string;
}

export const FIELDS: readonly NumberField[] = [
  {
    key: 'virtualTokens',
    label: 'Virtual tokens',
    min: 1,
    max: 64,
    integer: true,
    help: 'Trained vectors before the question. 16 fit into a chat link.',
  },
  {
    key: 'steps',
    label: 'Steps',
    min: 1,
    max: 5000,
    integer: true,
    help: 'Updates of the soft prompt. 300 are enough for the pocket student.',
  },
  {
    key: 'learningRate',
    label: 'Learning rate',
    min: 0.00001,
    max: 1,
    integer: false,
    help: 'Adam’s step size at its peak; rises at first, then falls as a cosine.',
  },
  {
    key: 'batchSize',
    label: 'Batch',
    unit: 'questions a step',
    min: 1,
    max: 64,
    integer: true,
    help: 'Each question is learned on a refusal path and on a sampled path.',
  },
  {
    key: 'seed',
    label: 'Seed',
    min: 0,
    max: 2 ** 31 - 1,
    integer: true,
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
  { id: 'default', label: 'TV', note: 'total variation, 300 steps', change: {} },
  { id: 'kl', label: 'KL', note: 'Kullback–Leibler, 300 steps', change: { objective: 'kl' } },
  { id: 'quick', label: 'Quick look', note: '60 steps, a first idea', change: { steps: 60 } },
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
export function fieldProblem(field: NumberField, value: number): string | null {
  if (!Number.isFinite(value)) return `${field.label} needs a number.`;
  if (field.integer && !Number.isInteger(value)) return `${field.label} must be a whole number.`;
  if (value < field.min || value > field.max)
    return `${field.label} must lie between ${field.min} and ${field.max}.`;
  return null;
}

/** All problems of a recipe, one sentence each. */
export function recipeProblems(recipe: Recipe): string[] {
  return FIELDS.map((field) => fieldProblem(field, recipe[field.key])).filter((p) => p !== null);
}

const LABELS: Record<keyof Recipe, string> = {
  student: 'student',
  objective: 'objective',
  virtualTokens: 'virtual tokens',
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
};

/** Names of the settings in which two recipes differ, in the order of the form. */
export function recipeChanges(a: Recipe, b: Recipe): string[] {
  const keys = Object.keys(LABELS) as (keyof Recipe)[];
  return keys.filter((key) => a[key] !== b[key]).map((key) => LABELS[key]);
}
