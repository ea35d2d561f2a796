import { describe, expect, it } from 'vitest';
import { hash32 } from './prng';
import { RefusalTrie } from './target';
import { toyChat, toyItems, ToyStudent, TOY_DOMAIN } from './testing';
import { adapterTokenKl, conditionedTokenKl, guardedTokenKl } from './token-kl';

const chat = toyChat();
const student = new ToyStudent();
const items = toyItems(150).filter(({ label }) => label !== 'harmful');
const prompts = items.map((item) => chat.encodeChat({ user: item.prompt }));
const samples = await student.generate(
  prompts.map((prompt, i) => ({ prompt, stream: hash32(items[i]!.id) })),
  { temperature: 1, seed: 1, maxNewTokens: 6, stopToken: chat.eosToken },
);
const answered = samples.map(({ tokens }, i) => ({ prompt: prompts[i]!, answer: tokens }));
const logProbs = samples.map((sample) => sample.logProbs);
const average = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

/** Standard error of a mean. */
const error = (values: readonly number[]) => {
  const m = average(values);
  return Math.sqrt(average(values.map((v) => (v - m) ** 2)) / values.length);
};

describe('adapterTokenKl', () => {
  const soft = student.embeddingRows([8, 20]).then((rows) => rows.map((value) => 30 * value));

  it('is the full-vocabulary KL, averaged over the tokens of each answer', async () => {
    const prompt = await soft;
    const values = await adapterTokenKl(student, prompt, answered);
    expect(values).toHaveLength(answered.length);
    const { prompt: x, answer } = answered[3]!;
    const exact = answer.map((_, t) => {
      const pi = student.next(x, answer.slice(0, t), null);
      const q = student.next(x, answer.slice(0, t), prompt);
      return pi.reduce((sum, p, v) => sum + p * Math.log(p / q[v]!), 0);
    });
    expect(values[3]).toBeCloseTo(average(exact), 5);
  });

  it('has the expectation of the one-sample estimate', async () => {
    const prompt = await soft;
    const full = await adapterTokenKl(student, prompt, answered);
    // First tokens only, where the length of an answer cannot be correlated with its ratio.
    const first = answered.map(({ prompt: x, answer }) => ({
      prompt: x,
      answer: answer.slice(0, 1),
    }));
    const exact = await adapterTokenKl(student, prompt, first);
    const scores = await student.score(
      first.map(({ prompt: x, answer }) => ({ prompt: x, path: answer })),
      prompt,
    );
    const sampled = scores.map((q, i) => logProbs[i]![0]! - q[0]!);
    expect(Math.abs(average(sampled) - average(exact))).toBeLessThan(3 * error(sampled));
    expect(average(full)).toBeGreaterThan(0.05);
  });

  it('is zero without a shift, and empty for no prompts', async () => {
    const zero = await adapterTokenKl(student, new Float32Array(2 * student.dim), answered);
    expect(Math.max(...zero.map(Math.abs))).toBeLessThan(1e-6);
    expect(await adapterTokenKl(student, await soft, [])).toEqual([]);
  });
});

it('conditionedTokenKl compares with the student under another prompt', async () => {
  const same = await conditionedTokenKl(student, prompts, answered, logProbs);
  expect(Math.max(...same.map(Math.abs))).toBeLessThan(1e-6);
  const careful = items.map((item) =>
    chat.encodeChat({ system: TOY_DOMAIN.preamble, user: item.prompt }),
  );
  const moved = await conditionedTokenKl(student, careful, answered, logProbs);
  expect(average(moved.map(Math.abs))).toBeGreaterThan(1e-3);
});

describe('guardedTokenKl', () => {
  const trie = new RefusalTrie(TOY_DOMAIN.refusals.map((text) => chat.encodeAnswer(text)));

  it('is −log s on the first token of an answer that is no refusal, and 0 after it', () => {
    const answer = chat.encodeAnswer('it says meow');
    const value = guardedTokenKl(
      answer,
      answer.map(() => -0.1),
      0.8,
      trie,
    );
    expect(value).toBeCloseTo(-Math.log(0.8) / answer.length, 10);
  });

  it('is small for a guard that passes and negative where the answer is a refusal', () => {
    const refusal = trie.strings[0]!;
    expect(
      guardedTokenKl(
        refusal,
        refusal.map(() => -3),
        0.5,
        trie,
      ),
    ).toBeLessThan(0);
    const answer = chat.encodeAnswer('it says meow');
    expect(
      guardedTokenKl(
        answer,
        answer.map(() => -0.1),
        0.999,
        trie,
      ),
    ).toBeLessThan(1e-3);
  });
});
