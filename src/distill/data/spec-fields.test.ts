import { describe as suite, expect, it } from 'vitest';
import { changedJson, errorOf } from '../../formats/mutations.testing';
import { seededRandom } from '../../formats/random.testing';
import { parseAdapter } from '../adapters/adapter-spec';
import { keepValues, readKeptValues } from '../adapters/kept-values';
import { parseObjective } from '../objectives/spec';
import { parseSweep } from '../sweep/sweep';
import { parseGuardCase } from '../target/guard-case';
import { clampRecipe, parseRecipe, RecipeError } from '../train/recipe';
import { DatasetError, parseDomain } from './dataset';
import { parseRecipeData } from './imported-prompts';
import { checkNumber, cut, describe, FINITE, listField, SpecError, textField } from './spec-fields';

const recipe = {
  student: 'hub:org/name@main/q4',
  guard: 'other?safe=OK&safe=Normal',
  adapter: { kind: 'lora', rank: 2, alpha: 4, targets: ['q', 'v'] },
  objective: { name: 'ppo', samples: 4, reward: 'safe', clip: 0.2 },
  guardCase: { kind: 'response', sampling: 'exact', samples: 4, denseBelow: 0 },
  data: { prompts: 'add', name: 'Clocks', hash: '0123456789abcdef' },
  steps: 20,
  learningRate: 0.01,
};
const sweep = {
  version: 1,
  name: 'core',
  base: { student: 'pocket', guard: 'guard', steps: 5 },
  adapters: ['soft-prompt', { kind: 'lora', rank: 2 }],
  objectives: ['tv', { name: 'tailr', gamma: 0.5 }],
  guardCases: ['prompt', { kind: 'response', samples: 4 }],
  strictness: [-2, 0],
  virtualTokens: [8, 16],
  seeds: [0, 1],
  tuned: [{ adapter: 'lora', objective: 'kl', set: { learningRate: 0.005 } }],
  sets: ['wording'],
  limit: 3,
};
const domain = { refusals: ['No.'], preamble: 'Be kind.', suggestions: ['Hi'], maxNewTokens: 48 };
const kept = { kept: keepValues('0123456789abcdef', Float32Array.of(1, 2, 3)), recipe };

/** Readers of what a person may have written, with something good for each. */
const READERS: [string, (value: never) => unknown, unknown][] = [
  ['parseAdapter', (value) => parseAdapter(value), recipe.adapter],
  ['parseObjective', (value) => parseObjective(value), recipe.objective],
  ['parseGuardCase', (value) => parseGuardCase(value), recipe.guardCase],
  ['parseRecipeData', (value) => parseRecipeData(value), recipe.data],
  ['parseRecipe', (value) => parseRecipe(value), recipe],
  ['clampRecipe', (value) => clampRecipe(value), recipe],
  ['parseSweep', (value) => parseSweep(value), sweep],
  ['parseDomain', (value) => parseDomain(value), domain],
  [
    'readKeptValues',
    (value: typeof kept) => readKeptValues(value?.kept, value?.recipe, 'trained'),
    kept,
  ],
];

it.each(READERS)('%s reads what is good, and of the rest names the field', (_, read, good) => {
  expect(errorOf(() => read(good as never))).toBeNull();
  const random = seededRandom(5);
  let refused = 0;
  for (let i = 0; i < 1200; i++) {
    const value = changedJson(good, random);
    const error = errorOf(() => read(value as never));
    if (error === null) continue;
    refused++;
    const typed = [SpecError, RecipeError, DatasetError].some((type) => error instanceof type);
    expect(typed, `${String((error as Error).stack)}`).toBe(true);
    expect((error as Error).message.length).toBeLessThan(5000);
  }
  expect(refused).toBeGreaterThan(150);
});

suite('fields', () => {
  it('are shown short, and not asked for their own text', () => {
    const odd = [{ toString: 1 }, () => 1, Symbol('s'), 10n, 'x'.repeat(100), [1], null, undefined];
    expect(odd.map(describe)).toEqual([
      'an object',
      'a function',
      'Symbol(s)',
      '10',
      'x'.repeat(60),
      'a list',
      'null',
      'nothing',
    ]);
  });

  it('are cut between characters', () => {
    expect(cut('ab🙂', 3)).toBe('ab');
    expect(cut('ab🙂', 4)).toBe('ab🙂');
  });

  it('of text have a length, and no halves of characters', () => {
    expect(textField('🙂', 'name', { min: 1, max: 2 })).toBe('🙂');
    for (const wrong of ['', 'abc', 7, '\ud83d', '\ude42']) {
      expect(() => textField(wrong, 'a.name', { min: 1, max: 2 })).toThrow(/^a\.name /);
    }
  });

  it('of numbers say what they must be', () => {
    expect(() => checkNumber(Infinity, FINITE, 'x')).toThrow('x must be a number, not Infinity.');
    const count = { min: 0, max: 5, integer: true };
    expect(() => checkNumber(6, count, 'x')).toThrow(
      'x must be a whole number from 0 to 5, not 6.',
    );
  });

  it('of lists are counted before they are read', () => {
    const read = () => {
      throw new Error('read');
    };
    const long = new Array<number>(11).fill(0);
    expect(() => listField(long, 'x', { min: 0, max: 10 }, read)).toThrow(SpecError);
  });
});
