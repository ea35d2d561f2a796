/** Where a run stands, kept so that a closed tab or a crash costs a few steps and not the run. */
import { KnownError } from '../../formats/errors';
import type { OptimiserState } from '../../engine/types';
import { parseRecipe } from './recipe';
import type { ProbeRecord, Recipe, StepRecord } from '../types';
import type { ValueState } from '../objectives/value-head';

/** Everything needed to go on with a run; structured-cloneable. */
export interface Checkpoint {
  version: 2;
  recipe: Recipe;
  /** Steps done. */
  step: number;
  /** Master values that are trained, not yet through the link. */
  values: Float32Array;
  /** Null where the engine does not hand it out; the optimiser then starts afresh. */
  optimiser: OptimiserState | null;
  steps: StepRecord[];
  probes: ProbeRecord[];
  /** PPO's. */
  valueHead?: ValueState;
}

/** A checkpoint that cannot be gone on from. */
export class CheckpointError extends KnownError {
  override readonly name = 'CheckpointError';
  readonly errorCode = 'bad-input';
}

/**
 * What a store has kept, by this version or by the one before, whose values were a `prompt`.
 * @throws CheckpointError; RecipeError for a recipe that is unknown here
 */
export function parseCheckpoint(value: unknown): Checkpoint {
  if (typeof value !== 'object' || value === null) throw new CheckpointError('No checkpoint.');
  const { version, prompt, ...fields } = value as Partial<Omit<Checkpoint, 'version'>> & {
    version?: unknown;
    prompt?: unknown;
  };
  if (version !== 1 && version !== 2) {
    throw new CheckpointError('The checkpoint was written by another version of this page.');
  }
  const values = version === 1 ? prompt : fields.values;
  const { recipe, step, optimiser, steps, probes } = fields;
  const whole =
    values instanceof Float32Array &&
    typeof recipe === 'object' &&
    Number.isSafeInteger(step) &&
    Array.isArray(steps) &&
    Array.isArray(probes);
  if (!whole) throw new CheckpointError('The checkpoint is not whole.');
  return {
    ...fields,
    version: 2,
    recipe: parseRecipe({ ...recipe }),
    step: step!,
    values,
    optimiser: optimiser ?? null,
    steps,
    probes,
  };
}
