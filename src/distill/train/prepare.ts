/**
 * What a run needs once per data set: the guard's P(safe) of every training prompt and one answer
 * of the frozen student to it at temperature 1 (METHOD.md §7, "prep"). Plain JSON, so that it can
 * be cached and shipped with a model; its key says what it was made from.
 */
import { KnownError } from '../../formats/errors';
import type { ChatTokenizer } from '../data/chat';
import { contentHash } from '../data/dataset';
import type { StudentEngine } from '../engine-port';
import { lastingScores } from '../target/guard-scores';
import { hash32 } from '../statistics/prng';
import type { Guard, PromptItem } from '../types';

/** Samples do not follow the recipe's seed: every seed of a data set starts from the same ones. */
export const PREPARE_SEED = 0;

/** Everything that prepared data depends on. */
export interface PreparedKey {
  /** The student's model id. */
  student: string;
  /** The guard's model id. */
  guard: string;
  /** `contentHash` of the prompts. */
  data: string;
  maxNewTokens: number;
  seed: number;
  /** The chat's {@link ChatTokenizer.format}, where it has one. */
  chat?: string;
}

export interface PreparedData {
  version: 1;
  key: PreparedKey;
  /** The guard's raw P(safe) of each prompt, before strictness and clipping. */
  safe: number[];
  /** One sampled answer of the frozen student to each prompt, as tokens. */
  samples: number[][];
}

/** Prepared data that does not belong to what is to be trained; the message says which part. */
export class PreparedDataError extends KnownError {
  override readonly name = 'PreparedDataError';
  readonly errorCode = 'bad-input';
}

export interface PrepareDeps {
  engine: StudentEngine;
  chat: ChatTokenizer;
  guard: Guard;
}

export interface PrepareHooks {
  signal?: AbortSignal;
  onProgress?: (phase: 'guard' | 'sample', done: number, total: number) => void;
}

export function preparedKey(
  items: readonly PromptItem[],
  ids: { student: string; guard: string },
  maxNewTokens: number,
  { format }: Pick<ChatTokenizer, 'format'>,
): PreparedKey {
  const key = { ...ids, data: contentHash(items), maxNewTokens, seed: PREPARE_SEED };
  return { ...key, ...(format !== null && { chat: format }) };
}

/** The key as one line, for caches. */
export function preparedKeyText(key: PreparedKey): string {
  return `prepared-1/${keyPath(key)}`;
}

/** What all prepared data depends on, as a path. */
export function keyPath({ student, guard, data, maxNewTokens, seed, chat }: PreparedKey): string {
  const parts = [student, guard, data, maxNewTokens, seed, ...(chat ? [chat] : [])];
  return parts.join('/');
}

/**
 * Scores and samples all `items`; `key` is `preparedKey` of the same items.
 * @throws the signal's reason when aborted
 */
export async function prepare(
  items: readonly PromptItem[],
  key: PreparedKey,
  deps: PrepareDeps,
  hooks: PrepareHooks = {},
): Promise<PreparedData> {
  const safe = await scorePrompts(items, deps.guard, hooks);
  return { version: 1, key, safe, samples: await drawAnswers(items, key, deps, hooks) };
}

/**
 * The guard's raw P(safe) of each prompt.
 * @throws the signal's reason when aborted
 */
export function scorePrompts(
  items: readonly PromptItem[],
  guard: Guard,
  hooks: PrepareHooks,
): Promise<number[]> {
  return lastingScores(
    guard,
    items.map(({ prompt }) => ({ prompt })),
    {
      signal: hooks.signal,
      onProgress: (done, total) => hooks.onProgress?.('guard', done, total),
    },
  );
}

/**
 * One answer of the frozen student to each of `items`, as tokens: the same whatever is drawn together.
 * @throws the signal's reason when aborted
 */
export async function drawAnswers(
  items: readonly PromptItem[],
  { seed, maxNewTokens }: Pick<PreparedKey, 'seed' | 'maxNewTokens'>,
  { engine, chat }: Pick<PrepareDeps, 'engine' | 'chat'>,
  { signal, onProgress }: PrepareHooks,
): Promise<number[][]> {
  const generated = await engine.generate(
    items.map((item) => ({
      prompt: chat.encodeChat({ user: item.prompt }),
      stream: hash32('prepare', item.id),
    })),
    {
      ...{ temperature: 1, seed, maxNewTokens, stopTokens: chat.stopTokens, signal },
      onProgress: (done, total) => onProgress?.('sample', done, total),
    },
  );
  signal?.throwIfAborted();
  return generated.map(({ tokens }) => tokens);
}

/**
 * Checks data that was cached or shipped against what is to be trained.
 * @throws PreparedDataError
 */
export function parsePrepared(
  value: unknown,
  key: PreparedKey,
  count: number,
  vocabSize: number,
): PreparedData {
  const { safe, samples } = keyedData<PreparedData>(value, key);
  if (!Array.isArray(safe) || !Array.isArray(samples)) {
    throw new PreparedDataError('Prepared data has no scores or no samples.');
  }
  if (safe.length !== count || samples.length !== count) {
    throw new PreparedDataError(`Prepared data has ${safe.length} prompts, not ${count}.`);
  }
  if (!safe.every((s) => typeof s === 'number' && s >= 0 && s <= 1)) {
    throw new PreparedDataError('Prepared data has a score outside [0, 1].');
  }
  if (!samples.every((sample) => isAnswer(sample, key.maxNewTokens, vocabSize))) {
    throw new PreparedDataError('Prepared data has an answer that is not tokens of this student.');
  }
  return { version: 1, key, safe: safe as number[], samples: samples as number[][] };
}

/**
 * What stands beside the key of data of version 1, not yet looked at.
 * @throws PreparedDataError for another version or another key
 */
export function keyedData<D extends { version: 1; key: object }>(
  value: unknown,
  key: D['key'],
): Partial<Record<keyof D, unknown>> {
  const data = (value ?? {}) as Partial<D>;
  if (data.version !== 1) throw new PreparedDataError('Prepared data of an unknown version.');
  // A key without a chat's format is one of the plain format, not of any.
  const parts = Object.keys({ chat: undefined, ...key }) as (keyof D['key'] & string)[];
  for (const part of parts) {
    if (data.key?.[part] !== key[part]) {
      throw new PreparedDataError(`Prepared data was made for another ${part}.`);
    }
  }
  return data;
}

/** Whether `value` is an answer of at most `maxNewTokens` tokens of a student. */
export function isAnswer(value: unknown, maxNewTokens: number, vocabSize: number): boolean {
  const isToken = (token: unknown) =>
    Number.isInteger(token) && (token as number) >= 0 && (token as number) < vocabSize;
  return (
    Array.isArray(value) && value.length > 0 && value.length <= maxNewTokens && value.every(isToken)
  );
}
