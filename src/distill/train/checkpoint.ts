/** Where a run stands, kept so that a closed tab or a crash costs a few steps and not the run. */
import { KnownError } from '../../formats/errors';
import type { OptimiserState } from '../../engine/types';
import {
  checkNumber,
  fieldsOf,
  FINITE,
  isMissing,
  listField,
  SpecError,
} from '../data/spec-fields';
import type { ValueHead, ValueState } from '../objectives/value-head';
import type { ProbeRecord, Recipe, StepRecord } from '../types';
import { readProbe, readStep } from './read-records';
import { parseRecipe } from './recipe';

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

/** Steps of Adam: more than any run has, and none that its bias correction cannot hold. */
const MAX_UPDATES = 1e9;

/**
 * What a store has kept, by this version or by the one before, whose values were a `prompt`. Whether
 * the values fit the student is for `requireFit` to say, once there is one.
 * @throws CheckpointError, which names the field; RecipeError for a recipe that is unknown here
 */
export function parseCheckpoint(value: unknown): Checkpoint {
  try {
    return read(value);
  } catch (error) {
    if (!(error instanceof SpecError)) throw error;
    throw new CheckpointError(`The checkpoint cannot be gone on from: ${error.message}`);
  }
}

function read(value: unknown): Checkpoint {
  if (typeof value !== 'object' || value === null) throw new CheckpointError('No checkpoint.');
  const { version, prompt, ...fields } = fieldsOf(value, 'checkpoint');
  if (version !== 1 && version !== 2) {
    throw new CheckpointError('The checkpoint was written by another version of this page.');
  }
  const recipe = parseRecipe(fields.recipe);
  const step = checkNumber(fields.step, { min: 0, max: recipe.steps, integer: true }, 'step');
  const values = floats(version === 1 ? prompt : fields.values, 'values');
  const most = { min: 0, max: step };
  return {
    ...fields,
    version: 2,
    recipe,
    step,
    values,
    optimiser: isMissing(fields.optimiser) ? null : optimiserOf(fields.optimiser, values.length),
    steps: listField(fields.steps, 'steps', most, (entry, path) => readStep(entry, path, step)),
    // One before the first step.
    probes: listField(fields.probes, 'probes', { min: 0, max: step + 1 }, (entry, path) =>
      readProbe(entry, path, step),
    ),
    ...(!isMissing(fields.valueHead) && { valueHead: valueHeadOf(fields.valueHead) }),
  };
}

/**
 * Checks a checkpoint against what the student has room for.
 * @param length values that the adapter has on it
 * @param dim width of its hidden states
 * @throws CheckpointError
 */
export function requireFit({ values, valueHead }: Checkpoint, length: number, dim: number): void {
  if (values.length !== length) {
    throw new CheckpointError(
      `The checkpoint has ${values.length} values; this adapter has ${length} on this student.`,
    );
  }
  if (valueHead && valueHead.head.weight.length !== dim) {
    throw new CheckpointError(
      `The checkpoint’s value head reads ${valueHead.head.weight.length} values, not ${dim}.`,
    );
  }
}

function floats(value: unknown, path: string): Float32Array {
  if (!(value instanceof Float32Array) || value.length === 0) {
    throw new SpecError(path, `${path} must be 32-bit floats.`);
  }
  return finite(value, path);
}

function finite<T extends Float32Array | Float64Array>(values: T, path: string): T {
  const at = values.findIndex((one: number) => !Number.isFinite(one));
  if (at < 0) return values;
  throw new SpecError(`${path}[${at}]`, `${path}[${at}] is ${values[at]}.`);
}

function optimiserOf(value: unknown, length: number): OptimiserState {
  const fields = fieldsOf(value, 'optimiser');
  const moment = (field: 'first' | 'second') => {
    const path = `optimiser.${field}`;
    const values = floats(fields[field], path);
    if (values.length !== length) {
      throw new SpecError(path, `${path} has ${values.length} entries for ${length} values.`);
    }
    if (field === 'second' && values.some((one) => one < 0)) {
      throw new SpecError(path, `${path} must not be negative.`);
    }
    return values;
  };
  return {
    ...{ first: moment('first'), second: moment('second') },
    updates: updatesOf(fields.updates, 'optimiser.updates'),
  };
}

function updatesOf(value: unknown, path: string): number {
  return checkNumber(value, { min: 0, max: MAX_UPDATES, integer: true }, path);
}

function valueHeadOf(value: unknown): ValueState {
  const fields = fieldsOf(value, 'valueHead');
  const part = (field: 'head' | 'first' | 'second'): ValueHead => {
    const path = `valueHead.${field}`;
    const { weight, bias } = fieldsOf(fields[field], path);
    if (!(weight instanceof Float64Array) || weight.length === 0) {
      throw new SpecError(`${path}.weight`, `${path}.weight must be 64-bit floats.`);
    }
    return {
      weight: finite(weight, `${path}.weight`),
      bias: checkNumber(bias, FINITE, `${path}.bias`),
    };
  };
  const state = { head: part('head'), first: part('first'), second: part('second') };
  const { length } = state.head.weight;
  if (state.first.weight.length !== length || state.second.weight.length !== length) {
    throw new SpecError('valueHead', 'valueHead has parts of different lengths.');
  }
  return { ...state, updates: updatesOf(fields.updates, 'valueHead.updates') };
}
