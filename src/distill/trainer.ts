/**
 * The training loop: seeded batches, targets from the cached teacher, one optimiser step each,
 * probes and checkpoints in between. It can be paused, stepped, stopped, cancelled and resumed.
 */
import { DivergedError } from '../engine/errors';
import type { Divergence, Tokens } from '../engine/types';
import { virtualTokens } from './adaptation';
import type { ChatTokenizer } from './chat';
import type { Checkpoint } from './checkpoint';
import { RunControl } from './control';
import type { PromptTrainer, StudentEngine } from './engine-port';
import { EpochOrder, trainExample, type Plan } from './paths';
import { Random } from './prng';
import { learningRateAt, probesAt, quantisesAt } from './recipe';
import { TeacherCache, type TaughtExample } from './teacher-cache';
import type { ProbeRecord, Recipe, StepRecord } from './types';

export interface LiveNumbers {
  tokensPerSecond: number;
  secondsLeft: number;
  gpuBytes: number;
}

export interface TrainInput {
  recipe: Recipe;
  plan: Plan;
  engine: StudentEngine;
  chat: ChatTokenizer;
  /** A look at the student with this prompt after `step` steps. */
  probe?: (prompt: Float32Array, step: number) => Promise<ProbeRecord>;
  /** Steps between probes, fewer at first; there is one at the start and one at the end. */
  probeEvery?: number;
  /** Steps between checkpoints. */
  checkpointEvery?: number;
  resumeFrom?: Checkpoint;
  /** Bytes of teacher states to keep between epochs. */
  teacherBytes?: number;
  /** Most GPU bytes that a step may take beside the weights. */
  budgetBytes?: number;
}

export interface TrainHooks {
  signal?: AbortSignal;
  control?: RunControl;
  onStep?: (record: StepRecord, live: LiveNumbers) => void;
  onProbe?: (record: ProbeRecord) => void;
  onCheckpoint?: (checkpoint: Checkpoint) => void;
}

export interface TrainResult {
  status: 'finished' | 'stopped';
  steps: StepRecord[];
  probes: ProbeRecord[];
  /** Master values, not yet through the link, [virtualTokens, dim]. */
  values: Float32Array;
  gpuBytes: number;
  /** How the engine used memory, in words, where it says so. */
  memory?: string;
  seconds: { train: number; probe: number };
}

const TEACHER_BYTES = 192 * 1024 * 1024;
/** What a laptop's GPU has left beside a model, a browser and a desktop. */
const BUDGET_BYTES = 1024 * 1024 * 1024;

/** Distinct ordinary tokens, drawn by the seed: the prompt starts as their embeddings. */
export function initialTokens(chat: ChatTokenizer, vocabSize: number, recipe: Recipe): Tokens {
  const order = new Random('initial', recipe.seed).permutation(vocabSize);
  const known = chat.vocabSize;
  const ordinary = [...order].filter((id) => id < known && !chat.specialTokens.has(id));
  return Array.from(
    { length: virtualTokens(recipe.adapter) },
    (_, i) => ordinary[i % ordinary.length]!,
  );
}

/**
 * Runs the recipe.
 * @throws the signal's reason when aborted; whatever the engine throws
 */
export async function train(input: TrainInput, hooks: TrainHooks = {}): Promise<TrainResult> {
  const { recipe, plan, engine, chat } = input;
  const trainer = await engine.createTrainer({
    virtualTokens: virtualTokens(recipe.adapter),
    objective: { family: 'divergence', name: divergenceOf(recipe) },
    maxRows: plan.maxRows,
    maxLossRows: plan.maxLossRows,
    maxExampleRows: plan.maxExampleRows,
    budgetBytes: input.budgetBytes ?? BUDGET_BYTES,
    clipNorm: recipe.clipNorm,
  });
  try {
    const resumed = input.resumeFrom;
    if (resumed) {
      trainer.setValues(resumed.values);
      if (resumed.optimiser) trainer.writeState?.(resumed.optimiser);
    } else {
      const tokens = initialTokens(chat, engine.vocabSize, recipe);
      trainer.setValues(await engine.embeddingRows(tokens));
    }
    return await loop(input, trainer, hooks);
  } finally {
    trainer.destroy();
  }
}

function divergenceOf({ adapter, objective, guardCase }: Recipe): Divergence {
  const { name } = objective;
  const known = name === 'tv' || name === 'kl' || name === 'reverse-kl' || name === 'js';
  if (!known || adapter.kind !== 'soft-prompt' || guardCase.kind !== 'prompt') {
    throw new RangeError('This recipe cannot be trained yet.');
  }
  return name;
}

async function loop(
  input: TrainInput,
  trainer: PromptTrainer,
  hooks: TrainHooks,
): Promise<TrainResult> {
  const { recipe, plan, resumeFrom } = input;
  const steps = [...(resumeFrom?.steps ?? [])];
  const probes = [...(resumeFrom?.probes ?? [])];
  const control = hooks.control ?? new RunControl();
  const order = new EpochOrder(plan.examples.length, recipe.batchSize, recipe.seed);
  const cache = new TeacherCache(input.teacherBytes ?? TEACHER_BYTES);
  const seconds = { train: 0, probe: 0 };
  const pace = new Pace();
  let status: TrainResult['status'] = 'finished';
  let step = resumeFrom?.step ?? 0;

  const probe = async () => {
    if (!input.probe || probes.at(-1)?.step === step) return;
    const start = performance.now();
    const record = await input.probe(await trainer.readValues(), step);
    probes.push(record);
    hooks.onProbe?.(record);
    seconds.probe += (performance.now() - start) / 1000;
  };

  await probe();
  while (step < recipe.steps) {
    if (!(await control.gate(hooks.signal))) {
      status = 'stopped';
      break;
    }
    const start = performance.now();
    const batch = order.batch(step).map((index) => plan.examples[index]!);
    const taught = await teach(batch, trainer, cache, plan, recipe);
    hooks.signal?.throwIfAborted();
    const learningRate = learningRateAt(recipe, step);
    const metrics = await trainer.step(
      taught.map(({ example }) => example),
      taught.map(({ teacher }) => teacher),
      { learningRate, fakeQuantise: quantisesAt(recipe, step) },
    );
    if (!Number.isFinite(metrics.loss)) {
      throw new DivergedError();
    }
    step++;
    const took = (performance.now() - start) / 1000;
    seconds.train += took;
    const record: StepRecord = { step, ...metrics, learningRate, seconds: took };
    steps.push(record);
    const rows = taught.reduce((sum, { example }) => sum + rowsOf(example), 0);
    hooks.onStep?.(record, {
      ...pace.after(took, rows + virtualTokens(recipe.adapter), recipe.steps - step),
      gpuBytes: trainer.gpuBytes,
    });
    if (input.probeEvery && probesAt(step, input.probeEvery)) await probe();
    if (hooks.onCheckpoint && input.checkpointEvery && step % input.checkpointEvery === 0) {
      hooks.onCheckpoint({
        version: 2,
        recipe,
        step,
        values: await trainer.readValues(),
        optimiser: (await trainer.readState?.()) ?? null,
        steps: [...steps],
        probes: [...probes],
      });
    }
  }
  await probe();
  return {
    status,
    steps,
    probes,
    values: await trainer.readValues(),
    gpuBytes: trainer.gpuBytes,
    ...(trainer.plan && { memory: trainer.plan.sentence }),
    seconds,
  };
}

/** The batch with its targets; one teacher pass for the examples that the cache does not have. */
async function teach(
  batch: readonly Plan['examples'][number][],
  trainer: PromptTrainer,
  cache: TeacherCache,
  plan: Plan,
  recipe: Recipe,
): Promise<TaughtExample[]> {
  const known = new Map<number, TaughtExample>();
  const fresh = new Map<number, (typeof batch)[number]>();
  for (const planned of batch) {
    const entry = cache.get(planned.index);
    if (entry) known.set(planned.index, entry);
    else fresh.set(planned.index, planned);
  }
  if (fresh.size > 0) {
    const list = [...fresh.values()];
    const answers = await trainer.teach(
      list.map(({ prompt, paths }) => ({ prompt, paths: paths.map(({ tokens }) => tokens) })),
    );
    for (const [i, planned] of list.entries()) {
      const teacher = answers[i]!;
      const entry = { example: trainExample(planned, teacher, plan.trie, recipe), teacher };
      known.set(planned.index, entry);
      cache.set(planned.index, entry);
    }
  }
  return batch.map(({ index }) => known.get(index)!);
}

function rowsOf({ prompt, paths }: TaughtExample['example']): number {
  return paths.reduce((sum, { tokens }) => sum + tokens.length, prompt.length);
}

/** Tokens a second and seconds left, from a mean that forgets the slow first steps. */
class Pace {
  private secondsPerStep = 0;
  private rowsPerStep = 0;

  after(seconds: number, rows: number, stepsLeft: number) {
    const keep = this.secondsPerStep === 0 ? 0 : 0.8;
    this.secondsPerStep = keep * this.secondsPerStep + (1 - keep) * seconds;
    this.rowsPerStep = keep * this.rowsPerStep + (1 - keep) * rows;
    return {
      tokensPerSecond: this.rowsPerStep / this.secondsPerStep,
      secondsLeft: this.secondsPerStep * stepsLeft,
    };
  }
}
