/**
 * What a run trains on: prepared data of the guard case, from a cache or newly made, and the plan
 * that a recipe makes of it.
 */
import type { ChatTokenizer } from '../data/chat';
import type { EvaluateDeps } from '../evaluation/evaluate';
import { OBJECTIVES } from '../objectives/catalogue';
import { RememberingGuard } from '../target/guard-scores';
import {
  checkLength,
  batchSizes,
  plan,
  refusalTrie,
  type Plan,
  type PlannedPath,
} from '../target/paths';
import type { AnswerScorer } from './policy-steps';
import {
  parsePrepared,
  prepare,
  preparedKey,
  preparedKeyText,
  scorePrompts,
  type PreparedData,
  type PreparedKey,
  type PrepareHooks,
} from './prepare';
import {
  AnswerSupply,
  parsePartial,
  partialKeyText,
  type PartialAnswers,
} from '../target/answer-supply';
import {
  parseResponses,
  planResponses,
  prepareResponses,
  responsesKeyText,
  type ResponsesKey,
} from '../target/responses';
import { teacherSafety } from '../target/target';
import type { Guard, PromptItem, Recipe } from '../types';

export interface TrainingDataDeps extends Pick<
  EvaluateDeps,
  'engine' | 'chat' | 'guard' | 'domain' | 'ids'
> {
  train: readonly PromptItem[];
  /** The imported set in `train`, by its `contentHash`; absent where all are bundled. */
  imported?: { hash: string; tooLong: number };
  /**
   * Prepared data that may fit, shipped or kept under this name, unchecked; tried in order.
   */
  prepared?: readonly ((name: string) => Promise<unknown>)[];
  /** Keeps newly made data under its name. */
  savePrepared?: (name: string, data: unknown) => Promise<void>;
  /** Every answer is drawn before the first step: someone wants the whole. */
  wholePrepared?: boolean;
}

/** Whether the objective learns from the student's own answers, and so needs nothing prepared. */
export function learnsFromItself({ objective }: Pick<Recipe, 'objective'>): boolean {
  return OBJECTIVES[objective.name].needs.answers === 'student';
}

/**
 * @param indices of the training set: what is not held out
 * @throws PromptTooLongError; the signal's reason when aborted
 */
export async function planRun(
  recipe: Recipe,
  indices: readonly number[],
  deps: TrainingDataDeps,
  hooks: PrepareHooks = {},
): Promise<Plan> {
  const { train, engine, chat, domain, ids } = deps;
  const { guardCase, maxNewTokens } = recipe;
  if (learnsFromItself(recipe)) return planPrompts(recipe, indices, deps);
  const key = preparedKey(train, ids, maxNewTokens, chat);
  const planned = (data: PreparedData | PartialAnswers) =>
    plan(train, indices, data, recipe, chat, domain.refusals, engine.maxPositions);
  if (guardCase.kind === 'prompt') {
    const name = preparedKeyText(key);
    const parse = (value: unknown) => parsePrepared(value, key, train.length, engine.vocabSize);
    if (deps.wholePrepared) {
      return planned(await keptOr(name, deps, parse, () => prepare(train, key, deps, hooks)));
    }
    const whole = await kept(name, deps, parse);
    if (whole) return planned(whole);
    const data = await startPartial(key, deps, hooks);
    const { savePrepared } = deps;
    const supply = new AnswerSupply(
      train,
      data,
      {
        ...{ engine, chat },
        ...(savePrepared && { save: (drawn) => savePrepared(partialKeyText(key), drawn) }),
      },
      hooks.onProgress,
    );
    const made = planned(data);
    made.draw = (positions, ahead, signal) => supply.draw(made, positions, ahead, signal);
    return made;
  }
  const answersKey: ResponsesKey = { ...key, answers: guardCase.samples };
  const data = await keptOr(
    responsesKeyText(answersKey),
    deps,
    (value) => parseResponses(value, answersKey, train.length, engine.vocabSize),
    () => prepareResponses(train, answersKey, deps, hooks),
  );
  return planResponses(
    train,
    indices,
    data,
    recipe,
    guardCase,
    chat,
    domain.refusals,
    engine.maxPositions,
  );
}

/** The answers that are there, or none yet, with the guard's score of every prompt. */
async function startPartial(
  key: PreparedKey,
  deps: TrainingDataDeps,
  hooks: PrepareHooks,
): Promise<PartialAnswers> {
  const { train, engine, guard } = deps;
  const parse = (value: unknown) => parsePartial(value, key, train.length, engine.vocabSize);
  return keptOr(partialKeyText(key), deps, parse, async () => {
    const safe = await scorePrompts(train, guard, hooks);
    return { version: 1, key, safe, samples: train.map(() => null) };
  });
}

async function keptOr<T>(
  name: string,
  deps: TrainingDataDeps,
  parse: (value: unknown) => T,
  make: () => Promise<T>,
): Promise<T> {
  const found = await kept(name, deps, parse);
  if (found !== null) return found;
  const data = await make();
  await deps.savePrepared?.(name, data);
  return data;
}

/** The first of the kept data that fits; null where none does. */
async function kept<T>(
  name: string,
  { prepared }: TrainingDataDeps,
  parse: (value: unknown) => T,
): Promise<T | null> {
  for (const source of prepared ?? []) {
    const value = await source(name);
    if (value === null || value === undefined) continue;
    try {
      return parse(value);
    } catch {
      // Made for something else: it is a cache, so make it again.
    }
  }
  return null;
}

/** Prompts alone: the student answers them while it trains. */
function planPrompts(
  recipe: Recipe,
  indices: readonly number[],
  { train, engine, chat, domain }: TrainingDataDeps,
): Plan {
  const { maxNewTokens } = recipe;
  const longest: PlannedPath = {
    kind: 'student',
    weight: 1,
    tokens: new Array<number>(maxNewTokens).fill(0),
  };
  const examples = indices.map((index) => {
    const { id, prompt: text } = train[index]!;
    const prompt = chat.encodeChat({ user: text });
    checkLength(id, prompt, [longest], recipe, engine.maxPositions);
    return { index, prompt, safe: 1, paths: [] };
  });
  const trie = refusalTrie(chat, domain.refusals, maxNewTokens);
  return { trie, examples, ...batchSizes(examples, recipe) };
}

/** The response guard's s(x, r), strictness and clip applied. */
export function answerScorer(
  guard: Guard,
  chat: ChatTokenizer,
  train: readonly PromptItem[],
  recipe: Recipe,
): AnswerScorer {
  const remembering = new RememberingGuard(guard);
  return async (answers, signal) => {
    const pairs = answers.map(({ index, tokens }) => ({
      prompt: train[index]!.prompt,
      response: chat.decode(tokens),
    }));
    const raw = await remembering.score(pairs, { signal });
    return raw.map((safe) => teacherSafety(safe, recipe));
  };
}
