import { describe, expect, it } from 'vitest';
import { mixtureExample } from '../objectives/rows';
import { EpochOrder, LIGHT_WEIGHT, plan, PromptTooLongError } from './paths';
import type { PreparedData } from '../train/prepare';
import { parseRecipe } from '../train/recipe';
import { toyChat, toyItems, ToyStudent, TOY_DOMAIN } from '../testing';

const chat = toyChat();
const items = toyItems(40);
const recipe = parseRecipe({ virtualTokens: 2, batchSize: 4, maxNewTokens: 6 });
const all = items.map((_, i) => i);
const prepared = (safe: (i: number) => number): PreparedData => ({
  version: 1,
  key: { student: 'toy', guard: 'toy', data: '', maxNewTokens: 6, seed: 0 },
  safe: items.map((_, i) => safe(i)),
  samples: items.map((item) => chat.encodeAnswer(item.answer ?? 'take them all')),
});
const planned = (safe: (i: number) => number) =>
  plan(items, all, prepared(safe), recipe, chat, TOY_DOMAIN.refusals, 64);

describe('plan', () => {
  it('has a sampled path with weight s and a refusal path with weight 1 − s', () => {
    const { examples } = planned(() => 0.3);
    for (const example of examples) {
      const [sample, refusal] = example.paths;
      expect(sample).toMatchObject({ kind: 'sample' });
      expect(sample!.weight).toBeCloseTo(0.3, 12);
      expect(refusal!.weight).toBeCloseTo(0.7, 12);
      expect(TOY_DOMAIN.refusals).toContain(chat.decode(refusal!.tokens));
      expect(refusal!.tokens.at(-1)).toBe(chat.eosToken);
    }
  });

  it('fixes a wording by seed and example, and uses all of them', () => {
    const wordings = (seed: number) =>
      plan(
        items,
        all,
        prepared(() => 0.3),
        { ...recipe, seed },
        chat,
        TOY_DOMAIN.refusals,
        64,
      ).examples.map(({ paths }) => chat.decode(paths[1]!.tokens));
    expect(wordings(1)).toEqual(wordings(1));
    expect(wordings(1)).not.toEqual(wordings(2));
    for (const text of TOY_DOMAIN.refusals) {
      const count = wordings(1).filter((wording) => wording === text).length;
      expect(count).toBeGreaterThan(50); // 80 expected of 240
    }
  });

  it('draws light paths so that their weights are right on average', () => {
    const many = toyItems(700);
    const counted = plan(
      many,
      many.map((_, i) => i),
      {
        ...prepared(() => 0),
        safe: many.map(() => 0.005),
        samples: many.map(() => chat.encodeAnswer('take them all')),
      },
      recipe,
      chat,
      TOY_DOMAIN.refusals,
      64,
    ).examples;
    const sampled = counted.flatMap(({ paths }) => paths.filter(({ kind }) => kind === 'sample'));
    expect(new Set(sampled.map(({ weight }) => weight))).toEqual(new Set([LIGHT_WEIGHT]));
    // 4200 draws with probability 1/4: standard error of the mean weight 0.00013.
    const total = sampled.reduce((sum, { weight }) => sum + weight, 0);
    expect(Math.abs(total / many.length - 0.005)).toBeLessThan(0.0005);
    expect(counted.every(({ paths }) => paths.at(-1)!.kind === 'refusal')).toBe(true);
  });

  it('weighs the first position 1 whatever paths are kept', async () => {
    const { examples, trie } = planned((i) => (i % 2 ? 1 : 0));
    expect(new Set(examples.map(({ paths }) => paths.length))).toEqual(new Set([1, 2]));
    const unit = 1 / (recipe.batchSize * recipe.maxNewTokens);
    const student = new ToyStudent();
    const trainer = await student.createTrainer({
      trainable: { kind: 'soft-prompt', n: 2 },
      objective: { family: 'divergence', name: 'tv' },
      maxRows: 100,
      maxLossRows: 100,
      clipNorm: 1,
    });
    for (const example of examples) {
      const paths = example.paths.map(({ tokens }) => tokens);
      const [teacher] = await trainer.teach([{ prompt: example.prompt, paths }]);
      const built = mixtureExample(example, teacher!, trie, recipe);
      const first = built.paths.reduce((sum, { coef }) => sum + coef[0]!, 0);
      expect(first).toBeCloseTo(unit, 8);
      for (const [j, { coef }] of built.paths.entries()) {
        expect(coef[1]).toBeCloseTo(example.paths[j]!.weight * unit, 8);
      }
    }
  });

  it('knows the largest batch and the largest example of the run', () => {
    const { examples, maxRows, maxLossRows, maxExampleRows } = planned(() => 0.5);
    const order = new EpochOrder(examples.length, recipe.batchSize, recipe.seed);
    let [rows, lossRows, exampleRows] = [0, 0, 0];
    for (let step = 0; step < recipe.steps; step++) {
      const batch = order.batch(step).map((index) => examples[index]!);
      // The last token of a path predicts nothing; the first positions of paths are one row.
      const loss = batch.map(({ paths }) =>
        paths.reduce((sum, { tokens }) => sum + tokens.length - 1, 0),
      );
      const sizes = batch.map(({ prompt }, i) => prompt.length + loss[i]!);
      const sum = (values: number[]) => values.reduce((a, b) => a + b);
      rows = Math.max(rows, sum(sizes));
      lossRows = Math.max(lossRows, sum(loss) + batch.length);
      exampleRows = Math.max(exampleRows, ...sizes);
    }
    expect({ maxRows, maxLossRows }).toEqual({ maxRows: rows, maxLossRows: lossRows });
    expect(maxExampleRows).toBeGreaterThanOrEqual(exampleRows);
  });

  it('names a prompt that does not fit', () => {
    expect(() =>
      plan(
        items,
        all,
        prepared(() => 0.5),
        recipe,
        chat,
        TOY_DOMAIN.refusals,
        9,
      ),
    ).toThrow(PromptTooLongError);
  });
});

describe('mixtureExample', () => {
  it('gives both paths the same target and weights that add up at the first position', async () => {
    const { examples, trie } = planned(() => 0.3);
    const student = new ToyStudent();
    const trainer = await student.createTrainer({
      trainable: { kind: 'soft-prompt', n: 2 },
      objective: { family: 'divergence', name: 'kl' },
      maxRows: 100,
      maxLossRows: 100,
      clipNorm: 1,
    });
    const example = examples[0]!;
    const paths = example.paths.map(({ tokens }) => tokens);
    const [teacher] = await trainer.teach([{ prompt: example.prompt, paths }]);
    const built = mixtureExample(example, teacher!, trie, recipe);
    const [sample, refusal] = built.paths;
    const unit = 1 / (recipe.batchSize * recipe.maxNewTokens);
    expect(sample!.coef[0]! + refusal!.coef[0]!).toBeCloseTo(unit, 8);
    expect(sample!.refusalPosterior[0]).toBeCloseTo(0.7, 6);
    expect(sample!.refusalPosterior[0]).toBe(refusal!.refusalPosterior[0]);
    expect(sample!.refusalNext[0]).toEqual(refusal!.refusalNext[0]);
    // The sample leaves the refusals with its first word; the refusal path becomes surer.
    expect([...sample!.refusalPosterior].slice(1)).toEqual([0, 0, 0]);
    expect(refusal!.refusalPosterior[1]).toBeGreaterThan(0.95);
  });
});

describe('EpochOrder', () => {
  it('meets every example once an epoch, in another order each time', () => {
    const order = new EpochOrder(10, 4, 3);
    const seen = Array.from({ length: 5 }, (_, step) => order.batch(step)).flat();
    const sorted = (list: number[]) => [...list].sort((a, b) => a - b);
    expect(sorted(seen.slice(0, 10))).toEqual(sorted(seen.slice(10)));
    expect(new Set(seen.slice(0, 10)).size).toBe(10);
    expect(seen.slice(0, 10)).not.toEqual(seen.slice(10));
  });

  it('does not depend on which batches were asked for before', () => {
    const fresh = new EpochOrder(10, 4, 3).batch(4);
    const order = new EpochOrder(10, 4, 3);
    for (let step = 0; step < 4; step++) order.batch(step);
    expect(order.batch(4)).toEqual(fresh);
    expect(new EpochOrder(10, 4, 4).batch(4)).not.toEqual(fresh);
  });
});
