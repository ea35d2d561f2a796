import { expect, it } from 'vitest';
import { PromptTooLongError } from '../../distill/target/paths';
import { PreparedDataError } from '../../distill/train/prepare';
import { RecipeError } from '../../distill/train/recipe';
import { DivergedError, MemoryPlanError, SequenceTooLongError } from '../../engine/errors';
import { DatasetFileError } from '../../formats/datasets/types';
import {
  GpuLostError,
  GpuMemoryError,
  GpuSizeError,
  GpuValidationError,
} from '../../kernels/gpu/errors';
import { describeError } from './errors';
import { WorkerError } from './requests';

const refused = { broken: false, owner: null };
const broken = { broken: true, owner: null };

it.each([
  new PromptTooLongError('Prompt a is too long for this student.'),
  new SequenceTooLongError(600, 48, 512),
  new RecipeError('steps', 'steps must be a whole number from 1 to 100000, not 0.'),
  new DivergedError(),
  new PreparedDataError('The prepared data is of another student.'),
  new DatasetFileError('empty-file', 'The file is empty.'),
])('$name is the caller’s to mend, and keeps its own words and the worker', (error) => {
  expect(describeError(error)).toEqual({ code: 'bad-input', message: error.message, ...refused });
});

it('tells memory that was refused from memory that ran out', () => {
  for (const error of [
    new MemoryPlanError('Training needs at least 2 MB; 1 MB are allowed.', 2e6, 1e6),
    // What an error says of itself stands above its words.
    new MemoryPlanError('It would run out of memory.', 2e6, 1e6),
    new GpuSizeError('logits needs 9 bytes; this device binds at most 8.'),
  ]) {
    expect(describeError(error)).toEqual({ code: 'memory', message: error.message, ...refused });
  }
  for (const error of [
    new RangeError('Array buffer allocation failed'),
    new Error('std::bad_alloc'),
    'Aborted(OOM): out of memory',
    new GpuMemoryError('Out of memory'),
  ]) {
    expect(describeError(error)).toMatchObject({ code: 'memory', ...broken });
  }
});

it('takes its own RangeErrors for refusals, and those of JavaScript for faults', () => {
  const own = describeError(new RangeError('There is no token 7.'));
  expect(own).toEqual({ code: 'bad-input', message: 'There is no token 7.', ...refused });
  const depth = (n: number): number => 1 + depth(n + 1);
  const native = [() => depth(0), () => new Array<number>(-1), () => new Float32Array(-1)];
  for (const overflow of native) {
    let error: unknown;
    try {
      overflow();
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(RangeError);
    expect(describeError(error)).toMatchObject({ code: 'internal', ...broken });
  }
});

it('says that a device is broken', () => {
  expect(describeError(new GpuLostError('reset'))).toMatchObject({ code: 'gpu-lost', ...broken });
  const fault = new GpuValidationError('binding 3');
  expect(describeError(fault)).toMatchObject({ code: 'internal', ...broken });
});

it('passes on what another worker said, with whose it is', () => {
  const wire = { code: 'gpu-lost', message: 'It stopped.', broken: true, owner: 'guard' } as const;
  expect(describeError(new WorkerError(wire))).toEqual(wire);
});

it('says of an unknown error that it was not expected', () => {
  expect(describeError(new TypeError('x is undefined'))).toEqual({
    code: 'internal',
    message: 'Something unexpected happened: x is undefined',
    ...broken,
  });
  const odd = { toString: () => ({}) };
  expect(describeError(odd)).toMatchObject({ code: 'internal', ...broken });
});
