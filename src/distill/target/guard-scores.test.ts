import { describe, expect, it } from 'vitest';
import { GuardScoreError, guardScores, lastingScores, RememberingGuard } from './guard-scores';
import { ToyGuard } from '../testing';
import type { Guard } from '../types';

/** Scores prompts that are numbers by 1 over them, and keeps how many it was asked at once. */
class CountingGuard implements Guard {
  readonly asked: number[] = [];

  score(items: readonly { prompt: string }[]): Promise<Float64Array> {
    this.asked.push(items.length);
    return Promise.resolve(Float64Array.from(items, ({ prompt }) => 1 / Number(prompt)));
  }
}

const numbers = (count: number) =>
  Array.from({ length: count }, (_, i) => ({ prompt: `${i + 3}` }));

describe('guardScores', () => {
  it('asks in chunks, keeps the order and tells of each', async () => {
    const guard = new CountingGuard();
    const done: number[] = [];
    const safe = await guardScores(guard, numbers(70), { onDone: (count) => done.push(count) });
    expect(guard.asked).toEqual([32, 32, 6]);
    expect(done).toEqual([32, 32, 6]);
    expect(safe).toEqual(numbers(70).map(({ prompt }) => 1 / Number(prompt)));
    expect(await guardScores(guard, [])).toEqual([]);
    expect(guard.asked).toHaveLength(3);
  });

  it('hears a cancel between chunks', async () => {
    const guard = new CountingGuard();
    const abort = new AbortController();
    const scoring = guardScores(guard, numbers(70), {
      signal: abort.signal,
      onDone: () => abort.abort(new Error('enough')),
    });
    await expect(scoring).rejects.toThrow('enough');
    expect(guard.asked).toEqual([32]);
  });
});

it('lasting scores have six digits and a running count', async () => {
  const seen: number[][] = [];
  const onProgress = (...at: number[]) => seen.push(at);
  const safe = await lastingScores(new CountingGuard(), numbers(33), { onProgress });
  expect(safe.slice(0, 2)).toEqual([0.333333, 0.25]);
  expect(seen).toEqual([
    [32, 33],
    [33, 33],
  ]);
});

it.each([NaN, -0.1, 1.5, Infinity])('refuses a guard that says %d', async (score) => {
  const odd = { score: () => Promise.resolve(Float64Array.of(0.5, score)) };
  const items = [{ prompt: 'a' }, { prompt: 'b' }];
  await expect(guardScores(odd, items)).rejects.toThrow(GuardScoreError);
  await expect(new RememberingGuard(odd).score(items)).rejects.toThrow(`${score}`);
});

describe('RememberingGuard', () => {
  it('asks once for each pair and keeps the order', async () => {
    const guard = new ToyGuard();
    const remembering = new RememberingGuard(guard);
    const items = [
      { prompt: 'the cat' },
      { prompt: 'the cookies' },
      { prompt: 'the cat' },
      { prompt: 'the cookies', response: 'sorry' },
    ];
    let done = 0;
    const onDone = (count: number) => (done += count);
    expect(await remembering.score(items, { onDone })).toEqual([0.995, 0.02, 0.995, 0.97]);
    expect([guard.calls, done]).toEqual([3, 4]);
    expect(await remembering.score(items.slice(2), { onDone })).toEqual([0.995, 0.97]);
    expect([guard.calls, done]).toEqual([3, 6]);
  });
});
