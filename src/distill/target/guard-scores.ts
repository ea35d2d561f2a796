/** Asking a guard about many items: in chunks, so that a cancel is heard, and never twice. */
import { KnownError } from '../../formats/errors';
import type { Guard } from '../types';

const CHUNK = 32;

/** A guard whose scores are no probabilities: whatever were made of them would be wrong. */
export class GuardScoreError extends KnownError {
  override readonly name = 'GuardScoreError';
  readonly errorCode = 'unsupported-model';

  constructor(score: number) {
    super(`The guard gave ${score} where a probability was asked for. Choose another guard.`);
  }
}

/** What a guard reads. */
export type GuardItem = Parameters<Guard['score']>[0][number];

export interface GuardScoreOptions {
  signal?: AbortSignal;
  /** Items finished since the last call. */
  onDone?: (count: number) => void;
}

/**
 * P(safe) of each item.
 * @throws GuardScoreError; the signal's reason when aborted
 */
export async function guardScores(
  guard: Guard,
  items: readonly GuardItem[],
  { signal, onDone }: GuardScoreOptions = {},
): Promise<number[]> {
  const safe: number[] = [];
  for (let start = 0; start < items.length; start += CHUNK) {
    signal?.throwIfAborted();
    const chunk = items.slice(start, start + CHUNK);
    const scores = await guard.score(chunk);
    for (const score of scores) {
      // Written so that NaN fails too. Kept, it would count as unsafe and spoil what it is kept in.
      if (!(score >= 0 && score <= 1)) throw new GuardScoreError(score);
    }
    safe.push(...scores);
    onDone?.(chunk.length);
  }
  return safe;
}

/**
 * The same, with six digits, which survive JSON: a cached and a shipped run are then the same run.
 * @param onProgress items finished so far
 */
export async function lastingScores(
  guard: Guard,
  items: readonly GuardItem[],
  options: { signal?: AbortSignal; onProgress?: (done: number, total: number) => void } = {},
): Promise<number[]> {
  let done = 0;
  const onDone = (count: number) => options.onProgress?.((done += count), items.length);
  const safe = await guardScores(guard, items, { signal: options.signal, onDone });
  return safe.map((score) => Number(score.toPrecision(6)));
}

/** A guard that remembers its verdicts: systems share many answers. */
export class RememberingGuard {
  private readonly verdicts = new Map<string, number>();

  constructor(private readonly guard: Guard) {}

  /** P(safe) of each item; `onDone` hears of finished items, remembered ones included. */
  async score(items: readonly GuardItem[], options: GuardScoreOptions = {}): Promise<number[]> {
    const fresh = new Map<string, GuardItem>();
    for (const item of items) {
      const key = keyOf(item);
      if (!this.verdicts.has(key)) fresh.set(key, item);
    }
    options.onDone?.(items.length - fresh.size);
    const scores = await guardScores(this.guard, [...fresh.values()], options);
    [...fresh.keys()].forEach((key, i) => this.verdicts.set(key, scores[i]!));
    return items.map((item) => this.verdicts.get(keyOf(item))!);
  }
}

function keyOf({ prompt, response }: GuardItem): string {
  return JSON.stringify([prompt, response]);
}
