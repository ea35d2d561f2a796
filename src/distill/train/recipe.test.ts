import { describe, expect, it } from 'vitest';
import { parseAdapter } from '../adapters/adapter-spec';
import {
  clampRecipe,
  DEFAULT_RECIPE,
  learningRateAt,
  parseRecipe,
  probesAt,
  quantisesAt,
  RECIPE_RANGES,
  RecipeError,
  sameRecipe,
} from './recipe';

const { adapter: _, objective: __, guardCase: ___, ...numbers } = DEFAULT_RECIPE;

describe('parseRecipe', () => {
  it('fills what is not given', () => {
    expect(parseRecipe({})).toEqual(DEFAULT_RECIPE);
    expect(parseRecipe({ objective: 'kl', steps: 5, seed: undefined })).toEqual({
      ...DEFAULT_RECIPE,
      objective: { name: 'kl', studentShare: 0, klWarmup: 0 },
      steps: 5,
    });
  });

  it('reads recipes from before there were other adapters', () => {
    // As stored runs, recordings and checkpoints have it.
    const old = { ...numbers, student: 'pocket', objective: 'tv', virtualTokens: 8 };
    expect(parseRecipe(old)).toEqual({
      ...DEFAULT_RECIPE,
      adapter: { kind: 'soft-prompt', n: 8, form: 'full', size: 0 },
    });
    expect(() => parseRecipe({ adapter: 'lora', virtualTokens: 8 })).toThrow(RecipeError);
  });

  it('is the same when it is read again', () => {
    const recipe = parseRecipe({
      adapter: { kind: 'lora', rank: 3, targets: ['v', 'q'] },
      objective: { name: 'ppo', beta: 0.1 },
      guardCase: 'response',
    });
    const again = parseRecipe(JSON.parse(JSON.stringify(recipe)) as Record<string, unknown>);
    expect(again).toEqual(recipe);
    expect(sameRecipe(again, recipe)).toBe(true);
    const other = { ...recipe, adapter: parseAdapter({ kind: 'lora', rank: 4 }) };
    expect(sameRecipe(other, recipe)).toBe(false);
  });

  it('asks for a guard that reads answers only where an objective is trained', () => {
    expect(() => parseRecipe({ objective: 'reinforce' })).toThrow(/guard that reads the answer/);
    expect(parseRecipe({ objective: 'reinforce', adapter: 'preamble' }).adapter).toEqual({
      kind: 'preamble',
    });
  });

  it.each([
    ['steps', 0],
    ['steps', 1.5],
    ['steps', '300'],
    ['learningRate', NaN],
    ['learningRate', 0],
    ['guardClip', 0.5],
    ['seed', -1],
    ['objective', 'rkl'],
    ['objective', { name: 'tailr', gamma: 0 }],
    ['adapter', { kind: 'lora', rank: 0 }],
    ['guardCase', 'answer'],
    ['virtualTokens', 0],
    ['virtualTokens', 129],
    ['student', '../../secrets'],
    ['student', ''],
    ['student', 7],
    ['student', { toString: 'pocket' }],
    ['student', 'a'.repeat(5000)],
    ['guard', { toString: null, valueOf: {} }],
    ['guard', ['guard']],
    ['steps', { valueOf: 1, toString: 1 }],
    ['guardTemperature', Infinity],
    ['colour', 1],
  ])('refuses %s = %s and names the field', (field, value) => {
    let error: unknown;
    try {
      parseRecipe({ [field]: value });
    } catch (caught) {
      error = caught;
    }
    expect(error).toBeInstanceOf(RecipeError);
    expect((error as RecipeError).field).toBe(field);
    expect((error as RecipeError).message).toContain(field);
  });

  it.each([null, 'pocket', ['pocket'], 7, undefined])('refuses %j, which is no recipe', (value) => {
    for (const read of [parseRecipe, clampRecipe]) {
      expect(() => read(value)).toThrow(RecipeError);
      expect(() => read(value)).toThrow('A recipe must be an object');
    }
  });

  it('names no more of an unknown field than fits a sentence', () => {
    expect(() => parseRecipe({ ['x'.repeat(10_000)]: 1 })).toThrow(/^.{1,100}$/);
  });

  it('takes the default and both ends of every range', () => {
    for (const [field, { min, max }] of Object.entries(RECIPE_RANGES)) {
      for (const value of [min, max]) {
        expect(parseRecipe({ [field]: value })).toMatchObject({ [field]: value });
      }
    }
  });
});

describe('clampRecipe', () => {
  it('moves numbers to where they can be run', () => {
    const wild = { ...DEFAULT_RECIPE, steps: 1e9, batchSize: 3.4, warmup: -1, strictness: NaN };
    expect(clampRecipe(wild)).toEqual({
      ...DEFAULT_RECIPE,
      steps: 100_000,
      batchSize: 3,
      warmup: 0,
      strictness: 0,
    });
  });
});

describe('schedule', () => {
  const recipe = { ...DEFAULT_RECIPE, steps: 100, warmup: 0.1, learningRate: 1, quantiseLast: 0.1 };
  const rates = Array.from({ length: 100 }, (_, step) => learningRateAt(recipe, step));

  it('rises over the warm-up, peaks, and falls as a cosine to nearly nothing', () => {
    expect(rates[0]).toBeCloseTo(1 / 11, 12);
    expect(rates[9]).toBeCloseTo(10 / 11, 12);
    expect(rates[10]).toBe(1);
    expect(rates[55]).toBeCloseTo(0.5, 12);
    expect(rates[99]).toBeLessThan(0.001);
    for (let step = 11; step < 100; step++) expect(rates[step]).toBeLessThan(rates[step - 1]!);
  });

  it('never asks for a rate of 0, even in a run of one step', () => {
    expect(learningRateAt({ ...recipe, steps: 1 }, 0)).toBe(1);
    expect(rates.every((rate) => rate > 0)).toBe(true);
  });

  it('quantises exactly the last tenth', () => {
    expect(quantisesAt(recipe, 89)).toBe(false);
    expect(quantisesAt(recipe, 90)).toBe(true);
    expect(quantisesAt({ ...recipe, quantiseLast: 0 }, 99)).toBe(false);
  });
});

it('looks at the student more often while it learns fastest', () => {
  const steps = Array.from({ length: 80 }, (_, i) => i + 1);
  expect(steps.filter((step) => probesAt(step, 25))).toEqual([5, 10, 15, 20, 25, 50, 75]);
  expect(steps.slice(0, 3).filter((step) => probesAt(step, 1))).toEqual([1, 2, 3]);
});
