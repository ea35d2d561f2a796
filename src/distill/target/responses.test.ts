import { describe, expect, it } from 'vitest';
import { pack, packedAs } from '../../engine/pack';
import { parseGuardCase } from './guard-case';
import { distillationBatch } from '../objectives/rows';
import { parseObjective } from '../objectives/spec';
import { EpochOrder } from './paths';
import { prepare, preparedKey, PreparedDataError } from '../train/prepare';
import { parseRecipe } from '../train/recipe';
import { parseResponses, planResponses, prepareResponses, responsesKeyText } from './responses';
import { toyChat, ToyGuard, toyItems, ToyStudent, TOY_DOMAIN } from '../testing';

const chat = toyChat();
const items = toyItems(10);
const ids = { student: 'toy', guard: 'toy-guard' };
const key = { ...preparedKey(items, ids, 6, chat), answers: 3 };
const recipe = parseRecipe({ virtualTokens: 2, batchSize: 4, maxNewTokens: 6 });
const deps = () => ({ engine: new ToyStudent(), chat, guard: new ToyGuard() });
const prepared = await prepareResponses(items, key, deps());

describe('prepareResponses', () => {
  it('samples m answers to each prompt and scores each, the first being case A’s', async () => {
    const used = deps();
    const data = await prepareResponses(items, key, used);
    expect(used.engine.generated).toBe(180);
    expect(used.guard.calls).toBe(180);
    expect(data.samples.every((row) => row.length === 3)).toBe(true);
    const caseA = await prepare(items, preparedKey(items, ids, 6, chat), deps());
    expect(data.samples.map(([first]) => first)).toEqual(caseA.samples);
    // Answers differ, and so do verdicts on harmful prompts.
    expect(data.samples.some(([a, b]) => String(a) !== String(b))).toBe(true);
    const harmful = items.flatMap((item, i) => (item.label === 'harmful' ? data.safe[i]! : []));
    expect(new Set(harmful)).toEqual(new Set([0.03, 0.97]));
    expect(responsesKeyText(key)).toMatch(/^responses-1\/toy\/toy-guard\/.*\/6\/0\/3$/);
  });

  it('survives JSON', () => {
    const again: unknown = JSON.parse(JSON.stringify(prepared));
    expect(parseResponses(again, key, items.length, 64)).toEqual(prepared);
  });

  it.each([
    ['version', { ...prepared, version: 2 }],
    ['answers', { ...prepared, key: { ...key, answers: 4 } }],
    ['prompts', { ...prepared, samples: prepared.samples.slice(1) }],
    ['tokens', { ...prepared, samples: prepared.samples.map((row) => row.map(() => [9999])) }],
    ['score', { ...prepared, safe: prepared.safe.map((row) => row.map(() => 2)) }],
    ['score', { ...prepared, safe: prepared.safe.map((row) => row.slice(1)) }],
  ])('refuses data with a wrong %s', (what, value) => {
    const parse = () => parseResponses(value, key, items.length, 64);
    expect(parse).toThrow(PreparedDataError);
    expect(parse).toThrow(new RegExp(what));
  });

  it('stops when cancelled', async () => {
    const cancel = new AbortController();
    const hooks = { signal: cancel.signal, onProgress: () => cancel.abort() };
    await expect(prepareResponses(items, key, deps(), hooks)).rejects.toThrow(/abort/i);
  });
});

describe('planResponses', () => {
  const all = items.map((_, i) => i);
  const planned = (sampling: 'exact' | 'mean', change = {}) => {
    const guardCase = parseGuardCase({ kind: 'response', sampling, samples: 3 });
    const used = { ...recipe, ...change };
    return planResponses(items, all, prepared, used, guardCase, chat, TOY_DOMAIN.refusals, 64);
  };

  it('trains on accepted answers only, and refuses as much as the guard rejects', () => {
    const { examples } = planned('exact');
    for (const { index, paths, safe } of examples) {
      const raw = prepared.safe[index]!;
      expect(safe).toBeCloseTo(raw.reduce((a, b) => a + b, 0) / 3, 2);
      const sample = paths.filter(({ kind }) => kind === 'sample');
      expect(sample.length).toBeLessThanOrEqual(1);
      // A rejected answer has a chance of 3 % only.
      for (const { weight } of sample) expect([1 / 3, 2 / 3, 1]).toContain(weight);
      const refusal = paths.find(({ kind }) => kind === 'refusal');
      if (refusal) expect(chat.decode(refusal.tokens)).toMatch(/sorry|no/);
    }
    const rejected = examples.filter(({ safe }) => safe < 0.1);
    expect(rejected.length).toBeGreaterThan(3);
    expect(rejected.filter(({ paths }) => paths.length === 1).length).toBeGreaterThan(2);
  });

  it('is the same for the same seed, and another for another', () => {
    const paths = (seed: number) => planned('exact', { seed }).examples.map((e) => e.paths);
    expect(paths(1)).toEqual(paths(1));
    expect(paths(1)).not.toEqual(paths(2));
  });

  it('is stricter with a stricter recipe', () => {
    const mean = (strictness: number) =>
      planned('mean', { strictness }).examples.reduce((sum, { safe }) => sum + safe, 0);
    expect(mean(-4)).toBeLessThan(mean(0));
    expect(mean(0)).toBeLessThan(mean(4));
  });

  it('plans room enough for every batch of token losses', () => {
    const { examples, maxRows, maxLossRows, trie } = planned('exact');
    const order = new EpochOrder(examples.length, recipe.batchSize, 0);
    const guardCase = parseGuardCase({ kind: 'response', samples: 3 });
    const tailr = { ...recipe, objective: parseObjective('tailr'), guardCase };
    for (let step = 0; step < recipe.steps; step++) {
      const drawn = order.batch(step).map((i) => examples[i]!);
      const batch = distillationBatch(tailr, drawn, [], trie);
      expect(batch.family).toBe('token');
      const packed = pack(packedAs(batch), 0);
      expect(packed.rows).toBeLessThanOrEqual(maxRows);
      expect(packed.lossRows.length).toBeLessThanOrEqual(maxLossRows);
    }
  });

  it('refuses a guard that reads prompts only', () => {
    const plan = () =>
      planResponses(
        items,
        all,
        prepared,
        recipe,
        parseGuardCase('prompt'),
        chat,
        TOY_DOMAIN.refusals,
        64,
      );
    expect(plan).toThrow(RangeError);
  });
});

describe('training with exact sampling', () => {
  it('makes a student safer through the divergence kernel as it is, without a teacher pass', async () => {
    const student = new ToyStudent();
    const guardCase = parseGuardCase({ kind: 'response', samples: 3 });
    const all = items.map((_, i) => i);
    const plan = planResponses(
      items,
      all,
      prepared,
      recipe,
      guardCase,
      chat,
      TOY_DOMAIN.refusals,
      64,
    );
    const trainer = await student.createTrainer({
      trainable: { kind: 'soft-prompt', n: 2 },
      objective: { family: 'divergence', name: 'kl' },
      maxRows: plan.maxRows,
      maxLossRows: plan.maxLossRows,
      maxExampleRows: plan.maxExampleRows,
      clipNorm: 1,
    });
    trainer.setValues(await student.embeddingRows([1, 2]));
    const order = new EpochOrder(all.length, 16, 0);
    const kl = { objective: parseObjective('kl'), guardCase, batchSize: 16, maxNewTokens: 6 };
    for (let step = 0; step < 40; step++) {
      const drawn = order.batch(step).map((i) => plan.examples[i]!);
      const batch = distillationBatch(kl, drawn, [], plan.trie);
      // The target is all ρ: what the frozen student would say is never read.
      if (batch.family !== 'divergence') throw new Error(batch.family);
      expect(batch.teacher.flat().every((told) => told === null)).toBe(true);
      await trainer.step(batch, { learningRate: 0.1, fakeQuantise: false });
    }
    expect(student.taught).toBe(0);
    const softPrompt = await trainer.readValues();
    const harmful = items.filter(({ label }) => label === 'harmful');
    const safety = async (prompt?: Float32Array) => {
      const answers = await student.generate(
        harmful.map((item, stream) => ({ prompt: chat.encodeChat({ user: item.prompt }), stream })),
        {
          ...(prompt && { softPrompt: prompt }),
          temperature: 1,
          seed: 5,
          maxNewTokens: 6,
          stopTokens: chat.stopTokens,
        },
      );
      const scores = await new ToyGuard().score(
        harmful.map(({ prompt: text }, i) => {
          return { prompt: text, response: chat.decode(answers[i]!.tokens) };
        }),
      );
      return scores.filter((s) => s >= 0.5).length / harmful.length;
    };
    const [before, after] = [await safety(), await safety(softPrompt)];
    expect(before).toBeLessThan(0.6);
    expect(after).toBeGreaterThan(before + 0.3);
  });
});
