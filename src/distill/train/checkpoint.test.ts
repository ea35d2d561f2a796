import { describe, expect, it } from 'vitest';
import { type Checkpoint, CheckpointError, parseCheckpoint } from './checkpoint';
import { DEFAULT_RECIPE, parseRecipe, RecipeError } from './recipe';

const checkpoint: Checkpoint = {
  version: 2,
  recipe: parseRecipe({ adapter: 'lora', steps: 20 }),
  step: 10,
  values: Float32Array.of(1, 2),
  optimiser: { first: new Float32Array(2), second: new Float32Array(2), updates: 10 },
  steps: [],
  probes: [],
};

describe('parseCheckpoint', () => {
  it('leaves one of this version as it is', () => {
    expect(parseCheckpoint(structuredClone(checkpoint))).toEqual(checkpoint);
  });

  it('reads one of the version before', () => {
    const { adapter: _, objective: __, guardCase: ___, ...numbers } = DEFAULT_RECIPE;
    const { values, version: ____, ...rest } = checkpoint;
    const recipe = { ...numbers, objective: 'kl', virtualTokens: 1 };
    expect(parseCheckpoint({ ...rest, version: 1, recipe, prompt: values })).toEqual({
      ...checkpoint,
      recipe: parseRecipe({ objective: 'kl', virtualTokens: 1 }),
    });
  });

  it.each([null, 7, {}, { ...checkpoint, version: 3 }, { ...checkpoint, values: [1, 2] }])(
    'refuses %j',
    (value) => {
      expect(() => parseCheckpoint(value)).toThrow(CheckpointError);
    },
  );

  it('refuses a recipe that is unknown here', () => {
    const recipe = { ...checkpoint.recipe, colour: 'red' };
    expect(() => parseCheckpoint({ ...checkpoint, recipe })).toThrow(RecipeError);
  });
});
