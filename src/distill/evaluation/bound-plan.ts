/**
 * Answers of the safe system to held-out prompts, by branch, for `measureBoundOf`: made once a set,
 * guard and strictness, whatever student is measured on them.
 */
import { generateWith, type Adaptation } from '../adapters/adaptation';
import type { ChatTokenizer } from '../data/chat';
import type { Domain } from '../data/dataset';
import type { StudentEngine } from '../engine-port';
import type { GuardCase } from '../target/guard-case';
import { guardScores, type GuardItem } from '../target/guard-scores';
import { refusalTrie } from '../target/paths';
import { hash32, Random } from '../statistics/prng';
import { replacedShare } from '../target/response-guard';
import { teacherSafety, type TeacherSettings, type RefusalTrie } from '../target/target';
import type { Guard, PromptItem } from '../types';
import type { Tokens } from '../../engine/types';

export interface BoundItem {
  id: string;
  prompt: Tokens;
  /** s(x), or 1 − û(x) in case B: the weight of the pass branch. */
  safe: number;
  /**
   * Answers of the frozen student: the pass branch in case A. In case B each is passed with its
   * `safe`; `logPi` is the log-probability of the whole answer, nats.
   */
  pass: readonly { tokens: Tokens; safe: number; logPi: number }[];
  /** Drawn refusals. */
  refusal: readonly Tokens[];
  /** s(x, r̄) of the drawn refusal; `safe` in case A, where the guard does not read it. */
  refusalSafe: number;
  /** log π(r̄_k | x) of every known refusal, whole, [K]. */
  baseRefusals: readonly number[];
}

export interface BoundPlan {
  guardCase: GuardCase['kind'];
  trie: RefusalTrie;
  items: readonly BoundItem[];
  /** Answers end here, in tokens. */
  maxNewTokens: number;
  stopTokens: readonly number[];
}

export interface BoundPlanInput {
  items: readonly PromptItem[];
  teacher: TeacherSettings;
  guardCase: GuardCase['kind'];
  /** Answers of the frozen student to each prompt. */
  samples: number;
  seed: number;
  maxNewTokens: number;
}

export interface BoundPlanDeps {
  engine: StudentEngine;
  chat: ChatTokenizer;
  guard: Guard;
  domain: Domain;
}

/** A branch lighter than this is not sampled; what it could add is added to the bands. */
const SKIPPED = 0.005;

/** @throws RangeError without prompts or samples; the signal's reason when aborted */
export async function planBound(
  input: BoundPlanInput,
  { engine, chat, guard, domain }: BoundPlanDeps,
  signal?: AbortSignal,
): Promise<BoundPlan> {
  const { items, samples, seed, maxNewTokens, guardCase } = input;
  if (items.length === 0 || !(samples >= 1)) {
    throw new RangeError('The bound needs at least one prompt and one answer to it.');
  }
  const trie = refusalTrie(chat, domain.refusals, maxNewTokens);
  const prompts = items.map((item) => chat.encodeChat({ user: item.prompt }));
  const teacher = async (pairs: readonly GuardItem[]) =>
    (await guardScores(guard, pairs, { signal })).map((raw) => teacherSafety(raw, input.teacher));
  const generated = await engine.generate(
    prompts.flatMap((prompt, i) =>
      Array.from({ length: samples }, (_, k) => ({
        prompt,
        stream: hash32('bound', items[i]!.id, k),
      })),
    ),
    { temperature: 1, seed, maxNewTokens, stopTokens: chat.stopTokens, signal },
  );
  const wording = items.map(({ id }) =>
    new Random('bound wording', seed, id).below(trie.strings.length),
  );
  const ofPrompt =
    guardCase === 'prompt' ? await teacher(items.map(({ prompt }) => ({ prompt }))) : null;
  const ofAnswers = ofPrompt
    ? null
    : await teacher(
        generated.map(({ tokens }, j) => ({
          prompt: items[Math.floor(j / samples)]!.prompt,
          response: chat.decode(tokens),
        })),
      );
  const ofRefusals = ofPrompt
    ? null
    : await teacher(
        items.map(({ prompt }, i) => ({ prompt, response: domain.refusals[wording[i]!]! })),
      );
  const base = await engine.scorePaths(
    prompts.map((prompt) => ({ prompt, paths: trie.strings })),
    undefined,
    signal,
  );
  return {
    guardCase,
    trie,
    maxNewTokens,
    stopTokens: chat.stopTokens,
    items: items.map(({ id }, i): BoundItem => {
      const answers = generated.slice(i * samples, (i + 1) * samples).map((answer, k) => ({
        tokens: answer.tokens,
        safe: ofPrompt?.[i] ?? ofAnswers![i * samples + k]!,
        logPi: sum(answer.logProbs),
      }));
      const safe = ofPrompt?.[i] ?? 1 - replacedShare(answers);
      return {
        id,
        prompt: prompts[i]!,
        safe,
        // In case B every answer counts, by its own s.
        pass: ofPrompt && safe <= SKIPPED ? [] : answers,
        refusal: 1 - safe <= SKIPPED ? [] : [trie.strings[wording[i]!]!],
        refusalSafe: ofRefusals?.[i] ?? safe,
        baseRefusals: base[i]!.map(sum),
      };
    }),
  };
}

/** One sampled answer of the adapted student to each of `prompts`, which stand for the plan's. */
export async function answersOfStudent(
  engine: StudentEngine,
  { items, maxNewTokens, stopTokens }: BoundPlan,
  prompts: readonly Tokens[],
  adaptation: Adaptation,
  seed: number,
  signal?: AbortSignal,
): Promise<number[][]> {
  const generated = await engine.generate(
    prompts.map((prompt, i) => ({ prompt, stream: hash32('bound student', items[i]!.id) })),
    { ...generateWith(adaptation), temperature: 1, seed, maxNewTokens, stopTokens, signal },
  );
  signal?.throwIfAborted();
  return generated.map(({ tokens }) => tokens);
}

/** Of a path's log-probabilities: that of the whole answer. */
export function sum(values: ArrayLike<number>): number {
  let total = 0;
  for (let i = 0; i < values.length; i++) total += values[i]!;
  return total;
}
