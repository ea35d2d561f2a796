import { describe, expect, it } from 'vitest';
import { changedJson, errorOf } from '../../formats/mutations.testing';
import { seededRandom } from '../../formats/random.testing';
import { zeroValueHead } from '../objectives/value-head';
import { type Checkpoint, CheckpointError, parseCheckpoint, requireFit } from './checkpoint';
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

  const more: Checkpoint = {
    ...checkpoint,
    steps: [
      {
        ...{ step: 10, loss: 0.5, gradientNorm: 1, learningRate: 0.02, seconds: 0.1 },
        policy: { safe: 0.5, kl: 0.1, length: 4 },
      },
    ],
    probes: [
      {
        step: 10,
        safety: { value: 0.5, low: 0, high: 1, n: 2 },
        overRefusal: { value: NaN, low: 0, high: 1, n: 0 },
        usefulness: { value: 1, low: 0.5, high: 1, n: 2 },
        samples: [{ prompt: 'Hi', label: 'benign', answer: 'Hello', safe: 0.9 }],
      },
    ],
    valueHead: {
      head: zeroValueHead(3),
      first: zeroValueHead(3),
      second: zeroValueHead(3),
      updates: 4,
    },
  };

  it('leaves what was measured as it is, and PPO’s value head', () => {
    expect(parseCheckpoint(structuredClone(more))).toEqual(more);
    const kept = { ...more, optimiser: null };
    expect(parseCheckpoint(structuredClone(kept)).optimiser).toBeNull();
  });

  it.each<[string, object]>([
    ['values[1]', { values: Float32Array.of(1, NaN) }],
    ['values[0]', { values: Float32Array.of(Infinity, 1) }],
    ['values', { values: new Float32Array() }],
    ['step', { step: -1 }],
    ['step', { step: 21 }],
    ['step', { step: 2.5 }],
    ['optimiser.first has 1', { optimiser: { ...more.optimiser!, first: new Float32Array(1) } }],
    ['optimiser.second', { optimiser: { ...more.optimiser!, second: Float32Array.of(1, -1) } }],
    ['optimiser.first[0]', { optimiser: { ...more.optimiser!, first: Float32Array.of(NaN, 0) } }],
    ['optimiser.updates', { optimiser: { ...more.optimiser!, updates: -1 } }],
    ['optimiser.updates', { optimiser: { ...more.optimiser!, updates: NaN } }],
    ['steps', { steps: Array.from({ length: 11 }, () => more.steps[0]) }],
    ['steps[0].loss', { steps: [{ ...more.steps[0]!, loss: NaN }] }],
    ['steps[0].step', { steps: [{ ...more.steps[0]!, step: 11 }] }],
    ['probes[0].safety.low', { probes: [{ ...more.probes[0]!, safety: { value: 1, n: 1 } }] }],
    ['valueHead.head.weight', { valueHead: { ...more.valueHead!, head: { weight: [], bias: 0 } } }],
    ['valueHead has parts', { valueHead: { ...more.valueHead!, first: zeroValueHead(2) } }],
  ])('refuses what cannot be gone on from and names it: %s', (field, change) => {
    const broken = { ...structuredClone(more), ...change };
    expect(() => parseCheckpoint(broken)).toThrow(CheckpointError);
    expect(() => parseCheckpoint(broken)).toThrow(field);
  });

  it('refuses damage by name, whatever is damaged', () => {
    const random = seededRandom(3);
    let refused = 0;
    for (let i = 0; i < 1500; i++) {
      const damaged = changedJson(more, random);
      const error = errorOf(() => parseCheckpoint(damaged));
      if (error === null) continue;
      refused++;
      const typed = error instanceof CheckpointError || error instanceof RecipeError;
      expect(typed, String((error as Error).stack)).toBe(true);
    }
    expect(refused).toBeGreaterThan(300);
  });

  it('of another shape than the student’s is refused before anything is trained', () => {
    expect(() => requireFit(more, 2, 3)).not.toThrow();
    expect(() => requireFit(more, 4, 3)).toThrow('has 2 values; this adapter has 4');
    expect(() => requireFit(more, 2, 8)).toThrow('reads 3 values, not 8');
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
