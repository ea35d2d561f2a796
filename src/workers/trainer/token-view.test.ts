import { describe, expect, it } from 'vitest';
import { keepValues, readKeptValues } from '../../distill/adapters/kept-values';
import { parseRecipe } from '../../distill/train/recipe';
import { RefusalTrie } from '../../distill/target/target';
import { TOY_DOMAIN, toyChat, ToyGuard } from '../../distill/testing';
import type { AdapterValues, Tokens } from '../../engine/types';
import {
  answerRows,
  firstDifference,
  mixtureRows,
  tokenView,
  totalVariation,
  type TokenView,
} from './token-view';

const sum = (row: Iterable<number>) => [...row].reduce((a, b) => a + b, 0);

describe('rows of an answer', () => {
  it('are the softmax of what stands before each of its tokens', () => {
    // Two prompt tokens, three of the answer, a vocabulary of two; the last token is not run.
    const logits = Float32Array.of(9, 9, 0, Math.log(3), 500, 500, -1000, 0);
    const rows = answerRows(logits, 2, 2, 3);
    expect(rows[0]![1]).toBeCloseTo(0.75, 6);
    expect([...rows[1]!]).toEqual([0.5, 0.5]);
    expect([...rows[2]!]).toEqual([0, 1]);
  });
});

describe("the safe system's rows", () => {
  const base = [Float64Array.of(0.5, 0.3, 0.2), Float64Array.of(0.2, 0.2, 0.6)];
  const trie = new RefusalTrie([
    [2, 1],
    [2, 0],
  ]);

  it('are base and refusals, mixed by what is left of each', () => {
    const safe = 0.25;
    const [first, second] = mixtureRows(base, [2, 1], trie, safe);
    expect(first![0]).toBeCloseTo(safe * 0.5, 12);
    expect(first![2]).toBeCloseTo(safe * 0.2 + 0.75, 12);
    // After token 2: P(refusal) = 0.75 / (0.75 + 0.25·0.2).
    const w = 0.75 / 0.8;
    expect(second![1]).toBeCloseTo((1 - w) * 0.2 + w * 0.5, 12);
    for (const row of [first!, second!]) expect(sum(row)).toBeCloseTo(1, 12);
  });

  it('are the base where no refusal goes', () => {
    const [, second] = mixtureRows(base, [0, 1], trie, 0.25);
    expect(totalVariation(second!, base[1]!)).toBe(0);
  });
});

it('finds the first token that differs', () => {
  expect(firstDifference([1, 2, 3], [1, 5])).toBe(1);
  expect(firstDifference([1, 2, 3], [1, 2])).toBe(2);
  expect(firstDifference([1, 2], [1, 2, 3])).toBeNull();
});

describe('the view', () => {
  const chat = toyChat();
  const vocabSize = chat.vocabSize;
  /** Logits that depend on the token and, with an adaptation, on its first value. */
  const engine = {
    ...{ vocabSize, config: { layers: 2 } },
    logits(tokens: Tokens, adaptation?: Float32Array | AdapterValues) {
      const values = adaptation instanceof Float32Array ? adaptation : adaptation?.values;
      const shift = values?.[0] ?? 0;
      const rows = tokens.flatMap((token) =>
        Array.from({ length: vocabSize }, (_, v) => Math.sin(token * 3 + v * (1 + shift))),
      );
      return Promise.resolve(Float32Array.from(rows));
    },
  };
  const deps = { engine, chat, guard: new ToyGuard(), refusals: TOY_DOMAIN.refusals };
  const request = {
    prompt: 'tell me about cookies',
    answer: 'sorry i cannot',
    other: 'sorry i will not',
    recipe: parseRecipe({}),
    values: Float32Array.of(0.5),
  };

  function expectWhole(view: TokenView) {
    for (const { top, rest } of view.positions) {
      for (const name of ['base', 'target', 'student'] as const) {
        const shown = sum(top.map((entry) => entry[name] ?? 0));
        expect(shown + (rest[name] ?? 0)).toBeCloseTo(rest[name] === null ? 0 : 1, 9);
      }
    }
  }

  it('has every token of the answer, whole distributions and where the answers part', async () => {
    const view = await tokenView(request, deps);
    expect(view.positions.map(({ text }) => text.trim())).toEqual([
      'sorry',
      'i',
      'cannot',
      '⟨end⟩',
    ]);
    expect(view.partsAt).toBe(2);
    expect(view.safe).toBeCloseTo(0.02, 6);
    expectWhole(view);
    const [first] = view.positions;
    // A harmful prompt: two of three refusals begin with "sorry".
    expect(first!.target).toBeCloseTo(0.02 * first!.base + (0.98 * 2) / 3, 6);
    expect(first!.tv).toBeGreaterThan(0.5);
    expect(first!.top[0]!.text.trim()).toBe('sorry');
  });

  it('takes an adapter from a document of results', async () => {
    const steering = parseRecipe({ adapter: 'steering', objective: 'kl' });
    const kept = JSON.parse(JSON.stringify(keepValues('m', request.values))) as unknown;
    const { recipe, values } = readKeptValues(kept, steering, 'trained');
    const view = await tokenView({ ...request, recipe, values }, deps);
    expect(view).toEqual(await tokenView(request, deps));
    expect(view.positions[0]!.student).not.toBeCloseTo(view.positions[0]!.base, 3);
  });

  it('goes without a student, a guard or a target', async () => {
    const bare = await tokenView(
      { ...request, values: null, other: null },
      { ...deps, guard: null },
    );
    expect(bare.noTarget).toContain('guard is not loaded');
    expect(bare.partsAt).toBeNull();
    expect(bare.positions[0]).toMatchObject({ target: null, student: null, tv: null });
    expectWhole(bare);
    const recipe = parseRecipe({ guardCase: 'response', objective: 'kl' });
    const response = await tokenView({ ...request, recipe }, deps);
    expect(response.noTarget).toContain('whole answers');
    expect(response.positions[0]!.student).not.toBeNull();
  });
});
