/**
 * Case B's data and plans (METHOD.md §3.2): m answers of the frozen student to every training prompt,
 * the response guard's P(safe) of each, and the paths that they become. Plain JSON, like prepared
 * data of case A, and made once: neither depends on the recipe's seed, strictness or objective.
 */
import { unshared } from '../../engine/pack';
import type { ChatTokenizer } from '../data/chat';
import type { GuardCase } from './guard-case';
import { lastingScores } from './guard-scores';
import {
  checkLength,
  batchSizes,
  refusalTrie,
  thinned,
  type Plan,
  type PlannedExample,
} from './paths';
import {
  isAnswer,
  keyedData,
  keyPath,
  PreparedDataError,
  type PrepareDeps,
  type PrepareHooks,
  type PreparedKey,
} from '../train/prepare';
import { hash32, Random } from '../statistics/prng';
import { responsePaths, type ScoredAnswer } from './response-guard';
import { teacherSafety } from './target';
import type { PromptItem, Recipe } from '../types';

export interface ResponsesKey extends PreparedKey {
  /** m, answers a prompt. */
  answers: number;
}

export interface PreparedResponses {
  version: 1;
  key: ResponsesKey;
  /** Sampled at temperature 1, as tokens, [prompts][m]. */
  samples: number[][][];
  /** The guard's raw P(safe) of prompt and answer, [prompts][m]. */
  safe: number[][];
}

/** The key as one line, for caches. */
export function responsesKeyText(key: ResponsesKey): string {
  return `responses-1/${keyPath(key)}/${key.answers}`;
}

/**
 * Samples and scores m answers to each of `items`. The first answer is the one that case A has.
 * @throws the signal's reason when aborted
 */
export async function prepareResponses(
  items: readonly PromptItem[],
  key: ResponsesKey,
  deps: PrepareDeps,
  hooks: PrepareHooks = {},
): Promise<PreparedResponses> {
  const { answers: m } = key;
  const generated = await deps.engine.generate(
    items.flatMap((item) => {
      const prompt = deps.chat.encodeChat({ user: item.prompt });
      return Array.from({ length: m }, (_, k) => {
        return {
          prompt,
          stream: k === 0 ? hash32('prepare', item.id) : hash32('prepare', item.id, k),
        };
      });
    }),
    {
      temperature: 1,
      seed: key.seed,
      maxNewTokens: key.maxNewTokens,
      stopTokens: deps.chat.stopTokens,
      signal: hooks.signal,
      onProgress: (done, total) => hooks.onProgress?.('sample', done, total),
    },
  );
  const pairs = generated.map(({ tokens }, i) => ({
    prompt: items[Math.floor(i / m)]!.prompt,
    response: deps.chat.decode(tokens),
  }));
  const safe = await lastingScores(deps.guard, pairs, {
    signal: hooks.signal,
    onProgress: (done, total) => hooks.onProgress?.('guard', done, total),
  });
  hooks.signal?.throwIfAborted();
  const grouped = <T>(flat: readonly T[]) => items.map((_, i) => flat.slice(i * m, (i + 1) * m));
  return {
    version: 1,
    key,
    samples: grouped(generated.map(({ tokens }) => tokens)),
    safe: grouped(safe),
  };
}

/**
 * Checks data that was cached or shipped against what is to be trained.
 * @throws PreparedDataError
 */
export function parseResponses(
  value: unknown,
  key: ResponsesKey,
  count: number,
  vocabSize: number,
): PreparedResponses {
  const { safe, samples } = keyedData<PreparedResponses>(value, key);
  const isGrid = (grid: unknown, isEntry: (entry: unknown) => boolean) =>
    Array.isArray(grid) &&
    grid.length === count &&
    grid.every(
      (row: unknown) => Array.isArray(row) && row.length === key.answers && row.every(isEntry),
    );
  const isSample = (sample: unknown) => isAnswer(sample, key.maxNewTokens, vocabSize);
  const isScore = (s: unknown) => typeof s === 'number' && s >= 0 && s <= 1;
  if (!isGrid(samples, isSample)) {
    throw new PreparedDataError(
      `Prepared answers must be ${key.answers} for each of ${count} prompts, in tokens of this student.`,
    );
  }
  if (!isGrid(safe, isScore)) {
    throw new PreparedDataError('Prepared answers need one score from 0 to 1 each.');
  }
  return { version: 1, key, samples: samples as number[][][], safe: safe as number[][] };
}

/** Accepted answers that one example trains on; more of them cost as much as other prompts would. */
const MAX_ACCEPTED = 1;

/**
 * Plans the paths of the items at `indices`. What is accepted and which wording refuses is drawn
 * once by (seed, id). `recipe`'s strictness, temperature and clip apply to each s(x, r).
 * @throws PromptTooLongError; RangeError for a guard case that reads prompts only
 */
export function planResponses(
  items: readonly PromptItem[],
  indices: readonly number[],
  prepared: PreparedResponses,
  recipe: Recipe,
  guardCase: GuardCase,
  chat: ChatTokenizer,
  refusals: readonly string[],
  maxPositions: number,
): Plan {
  if (guardCase.kind !== 'response') throw new RangeError('Case A is planned by paths.ts.');
  const trie = refusalTrie(chat, refusals, recipe.maxNewTokens);
  const examples = indices.map((index): PlannedExample => {
    const { id, prompt: text } = items[index]!;
    const scored = prepared.samples[index]!.map((tokens, k): ScoredAnswer => {
      return { tokens, safe: teacherSafety(prepared.safe[index]![k]!, recipe) };
    });
    const wording = new Random('wording', recipe.seed, id).below(trie.strings.length);
    const { safe, paths } = responsePaths(
      scored,
      trie.strings[wording]!,
      guardCase.sampling,
      new Random('accept', recipe.seed, id),
      MAX_ACCEPTED,
    );
    const prompt = chat.encodeChat({ user: text });
    const kept = thinned(paths, recipe.seed, id);
    checkLength(id, prompt, kept, recipe, maxPositions);
    return { index, prompt, safe, paths: kept };
  });
  return { trie, examples, ...batchSizes(examples, recipe, unshared) };
}
