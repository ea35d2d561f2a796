import { describe, expect, it } from 'vitest';
import { hash32 } from '../statistics/prng';
import { RefusalTrie } from '../target/target';
import { toyChat, toyItems, ToyStudent, TOY_DOMAIN } from '../testing';
import {
  adapterDistances,
  conditionedDistances,
  guardedDistances,
  respondedDistances,
} from './token-distance';

const chat = toyChat();
const student = new ToyStudent();
const items = toyItems(150).filter(({ label }) => label !== 'harmful');
const prompts = items.map((item) => chat.encodeChat({ user: item.prompt }));
const samples = await student.generate(
  prompts.map((prompt, i) => ({ prompt, stream: hash32(items[i]!.id) })),
  { temperature: 1, seed: 1, maxNewTokens: 6, stopTokens: chat.stopTokens },
);
const answered = samples.map(({ tokens }, i) => ({ prompt: prompts[i]!, answer: tokens }));
const logProbs = samples.map((sample) => sample.logProbs);
const average = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

/** Standard error of a mean. */
const error = (values: readonly number[]) => {
  const m = average(values);
  return Math.sqrt(average(values.map((v) => (v - m) ** 2)) / values.length);
};

describe('adapterDistances', () => {
  const soft = student.embeddingRows([8, 20]).then((rows) => {
    return { kind: 'soft-prompt', values: rows.map((value) => 30 * value) } as const;
  });

  it('are the full-vocabulary KL and TV, averaged over the tokens of each answer', async () => {
    const prompt = await soft;
    const { kl, tv } = await adapterDistances(student, prompt, answered);
    expect(kl).toHaveLength(answered.length);
    const { prompt: x, answer } = answered[3]!;
    const rows = answer.map((_, t) => {
      const pi = student.next(x, answer.slice(0, t), null);
      const q = student.next(x, answer.slice(0, t), prompt.values);
      return {
        kl: pi.reduce((sum, p, v) => sum + p * Math.log(p / q[v]!), 0),
        tv: pi.reduce((sum, p, v) => sum + Math.abs(p - q[v]!) / 2, 0),
      };
    });
    expect(kl[3]).toBeCloseTo(average(rows.map((row) => row.kl)), 5);
    expect(tv![3]).toBeCloseTo(average(rows.map((row) => row.tv)), 5);
  });

  it('have the expectations of the one-sample estimates', async () => {
    const prompt = await soft;
    const full = await adapterDistances(student, prompt, answered);
    // First tokens only, where the length of an answer cannot be correlated with its ratio.
    const first = answered.map(({ prompt: x, answer }) => ({
      prompt: x,
      answer: answer.slice(0, 1),
    }));
    const exact = await adapterDistances(student, prompt, first);
    const sampled = await conditionedDistances(student, prompts, first, logProbs, {
      adaptation: prompt.values,
    });
    for (const name of ['kl', 'tv'] as const) {
      const gap = Math.abs(average(sampled[name]!) - average(exact[name]!));
      expect(gap).toBeLessThan(3 * error(sampled[name]!));
      expect(average(full[name]!)).toBeGreaterThan(0.05);
    }
  });

  it('take values inside the model as well', async () => {
    const { values } = await soft;
    const shape = { kind: 'steering', layers: [0] } as const;
    const one = values.slice(0, student.dim);
    // As adapterLayout aligns it.
    const padded = (vector: Float32Array) =>
      Float32Array.from({ length: 64 }, (_, i) => vector[i] ?? 0);
    const inside = await adapterDistances(
      student,
      { kind: 'adapter', shape, values: padded(one) },
      answered,
    );
    const front = await adapterDistances(student, { kind: 'soft-prompt', values: one }, answered);
    expect(inside).toEqual(front);
    expect(average(inside.kl)).toBeGreaterThan(0.01);
  });

  it('are zero without a shift, and empty for no prompts', async () => {
    const still = {
      kind: 'soft-prompt',
      values: new Float32Array(2 * student.dim),
    } as const;
    const zero = await adapterDistances(student, still, answered);
    expect(Math.max(...zero.kl.map(Math.abs), ...zero.tv!.map(Math.abs))).toBeLessThan(1e-6);
    expect(await adapterDistances(student, await soft, [])).toEqual({ kl: [], tv: [] });
  });
});

it('conditionedDistances compare with the student under another prompt', async () => {
  const same = await conditionedDistances(student, prompts, answered, logProbs);
  expect(Math.max(...same.kl.map(Math.abs), ...same.tv!.map(Math.abs))).toBeLessThan(1e-6);
  const careful = items.map((item) =>
    chat.encodeChat({ system: TOY_DOMAIN.preamble, user: item.prompt }),
  );
  const moved = await conditionedDistances(student, careful, answered, logProbs);
  expect(average(moved.kl.map(Math.abs))).toBeGreaterThan(1e-3);
});

describe('the guarded system', () => {
  const trie = new RefusalTrie(TOY_DOMAIN.refusals.map((text) => chat.encodeAnswer(text)));
  const of = (answer: readonly number[], logProb: number, safe: number) => [
    { answer, baseLogProbs: answer.map(() => logProb), safe },
  ];
  const meow = chat.encodeAnswer('it says meow');

  it('is −log s from an answer that is no refusal, at its first token, in both cases', () => {
    const a = guardedDistances(of(meow, -0.1, 0.8), trie);
    expect(a.kl[0]).toBeCloseTo(-Math.log(0.8) / meow.length, 10);
    expect(a.tv![0]).toBeCloseTo(0.2 / meow.length, 10);
    const b = respondedDistances(of(meow, -0.1, 0.8), trie);
    expect(b.kl[0]).toBeCloseTo(a.kl[0]!, 10);
    expect(b.tv).toBeNull();
  });

  it('is small for a guard that passes and negative where the answer is a refusal', () => {
    const refusal = trie.strings[0]!;
    const a = guardedDistances(of(refusal, -3, 0.5), trie);
    const b = respondedDistances(of(refusal, -3, 0.5), trie);
    expect(a.kl[0]).toBeLessThan(0);
    expect(a.tv![0]).toBeGreaterThanOrEqual(0);
    // The token ratios of case A multiply to the ratio of whole answers, here of equal s and u.
    expect(b.kl[0]).toBeCloseTo(a.kl[0]!, 10);
    expect(guardedDistances(of(meow, -0.1, 0.999), trie).kl[0]).toBeLessThan(1e-3);
  });
});
