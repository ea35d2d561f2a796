/**
 * A whole run: prepare, train, quantise as the link does, evaluate exactly those values, write the
 * link. The trainer worker and the command line both call this and nothing else.
 */
import { dequantiseRows, quantiseRows } from '../formats/prompt-quant';
import { encodeShare, type SharedRecipe } from '../formats/share-link';
import type { Checkpoint } from './checkpoint';
import { holdOut, limitItems } from './dataset';
import { evaluate, type EvaluateDeps } from './evaluate';
import { objectiveKey } from './objectives/spec';
import { plan } from './paths';
import {
  parsePrepared,
  prepare,
  preparedKey,
  type PreparedData,
  type PreparedKey,
} from './prepare';
import { hash32 } from './prng';
import { probe, PROBE_COUNTS } from './probe';
import { EVALUATION_SEED, quantisesAt, sameRecipe } from './recipe';
import { train, type TrainHooks } from './trainer';
import type {
  Evaluation,
  PromptItem,
  Recipe,
  RunEnvironment,
  RunRecord,
  SystemName,
} from './types';

export interface RunDeps extends EvaluateDeps {
  train: readonly PromptItem[];
  sets: Readonly<Partial<Record<'wording' | 'intent', readonly PromptItem[]>>>;
  environment: RunEnvironment;
  /** Prepared data that may fit, shipped or cached, unchecked; tried in order. */
  prepared?: readonly (() => Promise<unknown>)[];
  savePrepared?: (key: PreparedKey, data: PreparedData) => Promise<void>;
}

export interface EvaluationRequest {
  set: 'wording' | 'intent';
  temperature: 0 | 1;
  systems: readonly SystemName[];
}

export interface RunOptions {
  evaluations?: readonly EvaluationRequest[];
  /** Evaluate at most this many prompts of each label; 0 = all. */
  limit?: number;
  /** Steps between probes; 0 = none. */
  probeEvery?: number;
  checkpointEvery?: number;
  resumeFrom?: Checkpoint;
}

export type RunPhase = 'guard' | 'sample' | 'train' | 'evaluate';

export interface RunHooks extends TrainHooks {
  onProgress?: (phase: RunPhase, done: number, total: number) => void;
}

const ALL_SYSTEMS: readonly SystemName[] = ['base', 'preamble', 'guarded', 'adapter'];

/** The reported evaluation: sampled, both sets, all four systems. */
export const DEFAULT_EVALUATIONS: readonly EvaluationRequest[] = [
  { set: 'wording', temperature: 1, systems: ALL_SYSTEMS },
  { set: 'intent', temperature: 1, systems: ALL_SYSTEMS },
];
const DEFAULT_PROBE_EVERY = 25;

/** The values that a link carries for `prompt`, [n, dim]. */
export function throughLink(prompt: Float32Array, dim: number): Float32Array {
  return dequantiseRows(quantiseRows(prompt, prompt.length / dim, dim));
}

/**
 * Runs `recipe` from the data to the link. Ended early by its control it still gives a record, with
 * status 'stopped', scored as it stood.
 * @throws the signal's reason when aborted; RangeError for a checkpoint of another recipe; errors of
 *   the engine, the guards and the data
 */
export async function distil(
  recipe: Recipe,
  deps: RunDeps,
  hooks: RunHooks = {},
  options: RunOptions = {},
): Promise<RunRecord> {
  if (options.resumeFrom && !sameRecipe(options.resumeFrom.recipe, recipe)) {
    throw new RangeError('The checkpoint belongs to another recipe.');
  }
  const createdAt = new Date().toISOString();
  const clock = new Clock();
  const { engine, chat, domain, ids } = deps;

  const prepared = await clock.time('prepare', () => preparedFor(recipe, deps, hooks));
  const { held, rest } = holdOut(deps.train, PROBE_COUNTS);
  // A set too small to spare probes trains on everything.
  const [indices, probes] =
    rest.length >= held.length ? [rest, held] : [deps.train.map((_, i) => i), held];
  const probeItems = probes.map((i) => deps.train[i]!);
  const probeEvery = options.probeEvery ?? DEFAULT_PROBE_EVERY;
  const trained = await train(
    {
      recipe,
      plan: plan(deps.train, indices, prepared, recipe, chat, domain.refusals, engine.maxPositions),
      engine,
      chat,
      checkpointEvery: options.checkpointEvery,
      resumeFrom: options.resumeFrom,
      ...(probeEvery > 0 && {
        probeEvery,
        probe: (prompt: Float32Array, step: number) =>
          probe(
            {
              items: probeItems,
              engine,
              chat,
              judge: deps.judge,
              refusals: domain.refusals,
              maxNewTokens: recipe.maxNewTokens,
              signal: hooks.signal,
            },
            quantisesAt(recipe, step) ? throughLink(prompt, engine.dim) : prompt,
            step,
          ),
      }),
    },
    {
      ...hooks,
      onStep: (record, live) => {
        hooks.onStep?.(record, live);
        hooks.onProgress?.('train', record.step, recipe.steps);
      },
    },
  );
  clock.add('train', trained.seconds.train);
  clock.add('probe', trained.seconds.probe);

  const values = throughLink(trained.values, engine.dim);
  const evaluations = await clock.time('evaluate', () =>
    evaluateAll(recipe, deps, values, hooks, options),
  );
  const share = await shareText(recipe, deps, values, evaluations);
  return {
    id: `${createdAt.slice(0, 19).replace(/\D/g, '')}-${hash32(share).toString(36)}`,
    createdAt,
    recipe,
    modelId: ids.student,
    environment: { ...deps.environment, ...(trained.memory && { memory: trained.memory }) },
    steps: trained.steps,
    probes: trained.probes,
    values,
    dim: engine.dim,
    evaluations,
    seconds: clock.seconds,
    share,
    status: trained.status,
  };
}

/** Prepared data that fits, or newly made. */
async function preparedFor(recipe: Recipe, deps: RunDeps, hooks: RunHooks): Promise<PreparedData> {
  const key = preparedKey(deps.train, deps.ids, recipe.maxNewTokens);
  for (const source of deps.prepared ?? []) {
    const value = await source();
    if (value === null || value === undefined) continue;
    try {
      return parsePrepared(value, key, deps.train.length, deps.engine.vocabSize);
    } catch {
      // Made for something else: it is a cache, so make it again.
    }
  }
  const data = await prepare(deps.train, key, deps, {
    signal: hooks.signal,
    onProgress: hooks.onProgress,
  });
  await deps.savePrepared?.(key, data);
  return data;
}

async function evaluateAll(
  recipe: Recipe,
  deps: RunDeps,
  prompt: Float32Array,
  hooks: RunHooks,
  options: RunOptions,
): Promise<Evaluation[]> {
  const requests = options.evaluations ?? DEFAULT_EVALUATIONS;
  const evaluations: Evaluation[] = [];
  for (const [index, { set, temperature, systems }] of requests.entries()) {
    const items = deps.sets[set];
    if (!items) continue;
    const evaluation = await evaluate(
      {
        set,
        items: limitItems(items, options.limit ?? 0),
        systems,
        temperature,
        seed: EVALUATION_SEED,
        maxNewTokens: recipe.maxNewTokens,
        adaptation: { kind: 'soft-prompt', values: prompt },
        teacher: recipe,
        guardCase: recipe.guardCase,
      },
      deps,
      {
        signal: hooks.signal,
        // One bar for all evaluations: each is an equal share of it.
        onProgress: (done, total) =>
          hooks.onProgress?.('evaluate', index * total + done, requests.length * total),
      },
    );
    evaluations.push(evaluation);
  }
  return evaluations;
}

/** The text after `/p#`, with the scores of the sampled *wording* evaluation where there is one. */
async function shareText(
  recipe: Recipe,
  { chat, engine, ids }: RunDeps,
  prompt: Float32Array,
  evaluations: readonly Evaluation[],
): Promise<string> {
  const claimed = evaluations.find(
    ({ set, temperature, systems }) => set === 'wording' && temperature === 1 && systems.adapter,
  )?.systems.adapter?.scores;
  const measured =
    claimed && claimed.safety.judge.n > 0 && claimed.overRefusal.n > 0 && claimed.usefulness.n > 0;
  return encodeShare({
    modelId: ids.student,
    templateHash: await chat.templateHash(),
    n: prompt.length / engine.dim,
    d: engine.dim,
    placement: 'before-bos',
    recipe: sharedRecipe(recipe),
    scores: measured
      ? {
          safety: claimed.safety.judge.value,
          overRefusal: claimed.overRefusal.value,
          usefulness: claimed.usefulness.value,
          n: claimed.safety.judge.n,
        }
      : null,
    values: prompt,
  });
}

/** Plain TV and KL on a prompt guard are names; the rest travels whole. */
export function sharedRecipe(recipe: Recipe): SharedRecipe {
  const { objective, guardCase, ...rest } = recipe;
  const name = objective.name === 'tv' || objective.name === 'kl' ? objective.name : null;
  const plain = name !== null && objectiveKey(objective) === name ? name : objective;
  return { ...rest, objective: plain, ...(guardCase.kind === 'prompt' ? {} : { guardCase }) };
}

/** Seconds by phase. */
class Clock {
  readonly seconds: Record<string, number> = {};

  add(phase: string, seconds: number): void {
    this.seconds[phase] = (this.seconds[phase] ?? 0) + seconds;
  }

  async time<T>(phase: string, work: () => Promise<T>): Promise<T> {
    const start = performance.now();
    try {
      return await work();
    } finally {
      this.add(phase, (performance.now() - start) / 1000);
    }
  }
}
