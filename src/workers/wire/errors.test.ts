import { expect, it } from 'vitest';
import { PromptTooLongError } from '../../distill/target/paths';
import { RecipeError } from '../../distill/train/recipe';
import { DivergedError, MemoryPlanError, SequenceTooLongError } from '../../engine/errors';
import { describeError } from './errors';

it.each([
  new PromptTooLongError('Prompt a is too long for this student.'),
  new SequenceTooLongError(600, 48, 512),
  new RecipeError('steps', 'steps must be a whole number from 1 to 100000, not 0.'),
  new DivergedError(),
])('$name is the caller’s to mend, and keeps its own words and the worker', (error) => {
  expect(describeError(error)).toEqual({ code: 'bad-input', message: error.message });
});

it('tells one that runs out of memory from other wrong ranges', () => {
  expect(describeError(new RangeError('Array buffer allocation failed')).code).toBe('memory');
  expect(describeError(new RangeError('There is no token 7.')).code).toBe('bad-input');
  const refused = new MemoryPlanError('Training needs at least 2 MB; 1 MB are allowed.', 2e6, 1e6);
  expect(describeError(refused)).toEqual({ code: 'memory', message: refused.message });
});

it('says of an unknown error that it was not expected', () => {
  expect(describeError(new TypeError('x is undefined'))).toEqual({
    code: 'internal',
    message: 'Something unexpected happened: x is undefined',
  });
});
