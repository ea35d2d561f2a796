/**
 * A whole run: prepare, train, quantise as the link does, evaluate exactly those values, write the
 * link. The trainer worker and the command line both call this and nothing else.
 */
import { encodeShare, type SharedRecipe } from '../../formats/share/share-link';
import type { Adaptation } from '../adapters/adaptation';
import { isTrained } from '../adapters/adapter-spec';
import type { Checkpoint } from './checkpoint';
import { holdOut, limitItems } from '../data/dataset';
import { promptsOfDifference, untrainedSteering } from '../adapters/difference';
import { evaluate, type EvaluateDeps } from '../evaluation/evaluate';
import { measureExtras, type ExtraOptions } from '../evaluation/extras';
import { objectiveKey } from '../objectives/spec';
import { hash32 } from '../statistics/prng';
import { probe, PROBE_COUNTS } from './probe';
import { EVALUATION_SEED, sameRecipe } from './recipe';
import { train, type TrainHooks, type TrainResult } from './trainer';
import { answerScorer, planRun, type TrainingDataDeps } from './training-data';
import type {
  Evaluation,
  PromptItem,
  Recipe,
  RunEnvironment,
  RunRecord,
  SystemName,
} from '../types';

export interface RunDeps extends EvaluateDeps, TrainingDataDeps {
  sets: Readonly<Partial<Record<'wording' | 'intent', readonly PromptItem[]>>>;
  environment: RunEnvironment;
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
  /** Seconds between checkpoints; 0 for one after each step. */
  checkpointSeconds?: number;
  resumeFrom?: Checkpoint;
  /** Measured on *wording*, where that set is given; nothing by default. */
  extras?: ExtraOptions;
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

/**
 * Runs `recipe` from the data to the link. Ended early by its control it still gives a record, with
 * status 'stopped', scored as it stood.
 * @throws the signal's reason when aborted; RangeError for a checkpoint of another recipe or other
 *   prompts than the recipe names; errors of the engine, the guards and the data
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
  if (recipe.data?.hash !== deps.imported?.hash) {
    throw new RangeError(
      recipe.data
        ? `The imported prompts of “${recipe.data.name}” are not here.`
        : 'The recipe names none of the imported prompts that are here.',
    );
  }
  const createdAt = new Date().toISOString();
  const clock = new Clock();
  const trained = isTrained(recipe.adapter)
    ? await trainAdapter(recipe, deps, hooks, options, clock)
    : await clock.time('prepare', () => untrained(recipe, deps, hooks.signal));
  const { adaptation } = trained;
  const values = adaptation?.values ?? new Float32Array();
  const evaluations = await clock.time('evaluate', () =>
    evaluateAll(recipe, deps, adaptation, hooks, options),
  );
  const { wording } = deps.sets;
  const extras =
    options.extras && wording
      ? await clock.time('extras', () =>
          measureExtras(recipe, adaptation, wording, deps, options.extras!, hooks.signal),
        )
      : {};
  const share = trained.linked && (await shareText(recipe, deps, trained.linked, evaluations));
  return {
    id: `${createdAt.slice(0, 19).replace(/\D/g, '')}-${hash32(share ?? runKey(recipe)).toString(36)}`,
    createdAt,
    recipe,
    modelId: deps.ids.student,
    environment: { ...deps.environment, ...(trained.memory && { memory: trained.memory }) },
    steps: trained.steps,
    probes: trained.probes,
    values,
    dim: deps.engine.dim,
    evaluations,
    ...(deps.imported && {
      trainedOn: { prompts: trained.prompts, tooLong: deps.imported.tooLong },
    }),
    ...extras,
    seconds: clock.seconds,
    share,
    status: trained.status,
  };
}

/** What training leaves to be evaluated and kept. */
interface Trained extends Pick<TrainResult, 'status' | 'steps' | 'probes' | 'memory'> {
  adaptation: Adaptation;
  /** What a link carries of a soft prompt: its vectors, or what is trained of a small form. */
  linked: Float32Array | null;
  /** How many it was made from, without those that were held out. */
  prompts: number;
}

async function trainAdapter(
  recipe: Recipe,
  deps: RunDeps,
  hooks: RunHooks,
  options: RunOptions,
  clock: Clock,
): Promise<Trained> {
  const { engine, chat, domain, train: items } = deps;
  const { held, rest } = holdOut(items, PROBE_COUNTS);
  // A set too small to spare probes trains on everything.
  const [indices, probes] =
    rest.length >= held.length ? [rest, held] : [items.map((_, i) => i), held];
  const probeItems = probes.map((i) => items[i]!);
  const plan = await clock.time('prepare', () => planRun(recipe, indices, deps, hooks));
  const probeEvery = options.probeEvery ?? DEFAULT_PROBE_EVERY;
  const { signal } = hooks;
  const result = await train(
    {
      recipe,
      plan,
      engine,
      chat,
      scoreAnswers: answerScorer(deps.guard, chat, items, recipe),
      checkpointSeconds: options.checkpointSeconds,
      resumeFrom: options.resumeFrom,
      ...(probeEvery > 0 && {
        probeEvery,
        probe: (adaptation: Adaptation, step: number) => {
          const { judge } = deps;
          const { refusals } = domain;
          const { maxNewTokens } = recipe;
          return probe(
            { items: probeItems, engine, chat, judge, refusals, maxNewTokens, signal },
            adaptation,
            step,
          );
        },
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
  clock.add('train', result.seconds.train);
  clock.add('probe', result.seconds.probe);
  const { parametrisation, values } = result;
  const quantised = parametrisation.quantised(values);
  const linked = recipe.adapter.kind === 'soft-prompt' ? quantised : null;
  const prompts = indices.length;
  return { ...result, adaptation: parametrisation.adaptation(quantised), linked, prompts };
}

/** Adapters that nothing is learned for. */
async function untrained(recipe: Recipe, deps: RunDeps, signal?: AbortSignal): Promise<Trained> {
  const { adapter } = recipe;
  const adaptation =
    adapter.kind === 'steering'
      ? await untrainedSteering(adapter, deps.train, recipe, deps, signal)
      : null;
  const prompts = adapter.kind === 'steering' ? promptsOfDifference(adapter, deps.train) : 0;
  return { status: 'finished', steps: [], probes: [], adaptation, linked: null, prompts };
}

async function evaluateAll(
  recipe: Recipe,
  deps: RunDeps,
  adaptation: Adaptation,
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
        adaptation,
        ...(recipe.adapter.kind === 'preamble' && { adapterSystem: deps.domain.preamble }),
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
  values: Float32Array,
  evaluations: readonly Evaluation[],
): Promise<string | null> {
  if (recipe.adapter.kind !== 'soft-prompt') return null;
  const { n, form, size } = recipe.adapter;
  const claimed = evaluations.find(
    ({ set, temperature, systems }) => set === 'wording' && temperature === 1 && systems.adapter,
  )?.systems.adapter?.scores;
  const measured =
    claimed && claimed.safety.judge.n > 0 && claimed.overRefusal.n > 0 && claimed.usefulness.n > 0;
  return encodeShare({
    modelId: ids.student,
    templateHash: await chat.templateHash(),
    n,
    d: engine.dim,
    ...(form === 'full' ? {} : { small: { form, size } }),
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
    values,
  });
}

function runKey(recipe: Recipe): string {
  return JSON.stringify(recipe);
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
