/**
 * The training loop, the same for every objective and adapter: steps of the objective's family, with
 * probes and checkpoints in between. It can be paused, stepped, stopped, cancelled and resumed.
 */
import { DivergedError } from '../../engine/errors';
import { unshared } from '../../engine/pack';
import type { EngineObjective, Example, TrainerOptions } from '../../engine/types';
import { virtualTokens, type Adaptation } from '../adapters/adaptation';
import type { ChatTokenizer } from '../data/chat';
import { requireFit, type Checkpoint } from './checkpoint';
import { RunControl } from './control';
import { DistillationSteps, studentShare } from './distillation-steps';
import type { StudentEngine, StudentTrainer } from '../engine-port';
import { parametrisationOf, type Parametrisation } from '../adapters/parametrisation';
import { createLearner, type Learner } from './learner';
import { engineObjective } from '../objectives/position';
import type { ObjectiveSpec } from '../objectives/spec';
import { batchSizes, type Plan } from '../target/paths';
import { PolicySteps, type AnswerScorer } from './policy-steps';
import { learningRateAt, probesAt, quantisesAt } from './recipe';
import type { Steps } from './steps';
import type { PolicyNumbers, ProbeRecord, Recipe, StepRecord } from '../types';

export interface LiveNumbers {
  tokensPerSecond: number;
  secondsLeft: number;
  gpuBytes: number;
  /** Of the student's own answers, where it learns from them. */
  policy?: PolicyNumbers;
}

export interface TrainInput {
  recipe: Recipe;
  plan: Plan;
  engine: StudentEngine;
  chat: ChatTokenizer;
  /** Needed by objectives that learn from the student's own answers. */
  scoreAnswers?: AnswerScorer;
  /** A look at the student as it is after `step` steps. */
  probe?: (adaptation: Adaptation, step: number) => Promise<ProbeRecord>;
  /** Steps between probes, fewer at first; there is one at the start and one at the end. */
  probeEvery?: number;
  /** Seconds between checkpoints, where someone takes them; 0 for one after each step. */
  checkpointSeconds?: number;
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
  /**
   * Training waits for it. The lists of steps and probes go on growing afterwards: what is kept of
   * them must be copied.
   */
  onCheckpoint?: (checkpoint: Checkpoint) => void | Promise<void>;
  /** Called once: how to look at the student as it is, while training waits at its control's gate. */
  onStudent?: (look: () => Promise<Exclude<Adaptation, null>>) => void;
}

export interface TrainResult {
  status: 'finished' | 'stopped';
  steps: StepRecord[];
  probes: ProbeRecord[];
  /** Master values, not yet through the link. */
  values: Float32Array;
  /** What they are to the engine. */
  parametrisation: Parametrisation;
  gpuBytes: number;
  /** How the engine used memory, in words, where it says so. */
  memory?: string;
  seconds: { train: number; probe: number };
}

const TEACHER_BYTES = 192 * 1024 * 1024;
/** What a laptop's GPU has left beside a model, a browser and a desktop. */
const BUDGET_BYTES = 1024 * 1024 * 1024;

/**
 * Runs the recipe.
 * @throws the signal's reason when aborted; CheckpointError where the one to go on from is of another
 *   shape; whatever the engine throws
 */
export async function train(input: TrainInput, hooks: TrainHooks = {}): Promise<TrainResult> {
  const { recipe, engine, chat, resumeFrom } = input;
  const parametrisation = await parametrisationOf(recipe, engine, chat);
  if (resumeFrom) requireFit(resumeFrom, parametrisation.initial.length, engine.dim);
  const trainer = await engine.createTrainer({
    trainable: parametrisation.shape,
    ...lossesOf(recipe.objective),
    ...sizesOf(input),
    budgetBytes: input.budgetBytes ?? BUDGET_BYTES,
    clipNorm: recipe.clipNorm,
  });
  try {
    const learner = createLearner(trainer, parametrisation, recipe.clipNorm, {
      values: resumeFrom?.values ?? parametrisation.initial,
      optimiser: resumeFrom?.optimiser ?? null,
    });
    const result = await loop(input, trainer, learner, stepsOf(input, learner), hooks);
    return { ...result, parametrisation };
  } finally {
    trainer.destroy();
  }
}

/** Which losses the engine needs for an objective: its own, and its warm-up's where it has one. */
export function lossesOf(objective: ObjectiveSpec): Pick<TrainerOptions, 'objective' | 'warmUp'> {
  const warmUp = warmUpOf(objective);
  return { objective: engineObjective(objective), ...(warmUp && { warmUp }) };
}

/** KL, or likelihood where each row knows one token: for objectives that start cold. */
function warmUpOf(objective: ObjectiveSpec): EngineObjective | null {
  if (!('klWarmup' in objective) || objective.klWarmup === 0) return null;
  return objective.name === 'tailr'
    ? { family: 'token', objective: { name: 'likelihood' } }
    : { family: 'divergence', name: 'kl' };
}

function warmsUpAt({ objective, steps }: Recipe, step: number): boolean {
  return 'klWarmup' in objective && step < Math.round(objective.klWarmup * steps);
}

/** What batches need at most, answers included that are not known yet. */
function sizesOf({ recipe, plan }: TrainInput) {
  const { objective, maxNewTokens } = recipe;
  const own = 'samples' in objective ? objective.samples : Math.ceil(studentShare(recipe));
  const answers = Array.from({ length: own }, () => new Array<number>(maxNewTokens).fill(0));
  const whole = ({ prompt, paths }: Example) => ({ prompt, paths: [...paths, ...answers] });
  const { family } = engineObjective(objective);
  return batchSizes(plan.examples, recipe, (input) =>
    family === 'token' ? unshared(whole(input)) : whole(input),
  );
}

function stepsOf(input: TrainInput, learner: Learner): Steps {
  const { recipe, plan, engine, chat, scoreAnswers, resumeFrom, teacherBytes } = input;
  const { objective } = recipe;
  const shared = { recipe, plan, engine, chat, learner };
  if (objective.name !== 'reinforce' && objective.name !== 'ppo') {
    return new DistillationSteps({ ...shared, teacherBytes: teacherBytes ?? TEACHER_BYTES });
  }
  if (!scoreAnswers) throw new RangeError(`${objective.name} needs a guard that reads answers.`);
  return new PolicySteps({
    ...shared,
    objective,
    scoreAnswers,
    ...(resumeFrom?.valueHead && { valueHead: resumeFrom.valueHead }),
  });
}

async function loop(
  input: TrainInput,
  trainer: StudentTrainer,
  learner: Learner,
  room: Steps,
  hooks: TrainHooks,
): Promise<Omit<TrainResult, 'parametrisation'>> {
  const { recipe, resumeFrom, checkpointSeconds = Infinity } = input;
  const steps = [...(resumeFrom?.steps ?? [])];
  const probes = [...(resumeFrom?.probes ?? [])];
  const control = hooks.control ?? new RunControl();
  const seconds = { train: 0, probe: 0 };
  const pace = new Pace();
  let status: TrainResult['status'] = 'finished';
  let step = resumeFrom?.step ?? 0;
  let keptAt = performance.now();

  const look = () => learner.adaptation(quantisesAt(recipe, step));
  const probe = async (adaptation?: Adaptation, at = step) => {
    if (!input.probe || probes.at(-1)?.step === at) return;
    const start = performance.now();
    const record = await input.probe(adaptation ?? (await look()), at);
    probes.push(record);
    hooks.onProbe?.(record);
    seconds.probe += (performance.now() - start) / 1000;
  };

  hooks.onStudent?.(look);
  // A student that answers slowly would keep everybody waiting for the first step: the look at where it
  // starts is taken behind that, at the same values.
  let start: Adaptation | undefined = step === 0 && input.probe ? await look() : undefined;
  while (step < recipe.steps) {
    if (!(await control.gate(hooks.signal))) {
      status = 'stopped';
      break;
    }
    const startedAt = performance.now();
    const learningRate = learningRateAt(recipe, step);
    const options = {
      learningRate,
      quantise: quantisesAt(recipe, step),
      warmUp: warmsUpAt(recipe, step),
    };
    const { rows, policy, ...metrics } = await room.next(step, options, hooks.signal);
    if (!Number.isFinite(metrics.loss)) throw new DivergedError();
    step++;
    const took = (performance.now() - startedAt) / 1000;
    seconds.train += took;
    const record: StepRecord = {
      step,
      ...metrics,
      learningRate,
      seconds: took,
      ...(policy && { policy }),
    };
    steps.push(record);
    hooks.onStep?.(record, {
      ...pace.after(took, rows + virtualTokens(recipe.adapter), recipe.steps - step),
      gpuBytes: trainer.gpuBytes,
      ...(policy && { policy }),
    });
    if (start) await probe(start, 0);
    start = undefined;
    if (input.probeEvery && probesAt(step, input.probeEvery)) await probe();
    const isDue = performance.now() - keptAt >= checkpointSeconds * 1000;
    if (hooks.onCheckpoint && isDue && (room.between?.(step) ?? true)) {
      const { valueHead } = room;
      await hooks.onCheckpoint({
        version: 2,
        recipe,
        step,
        ...(await learner.state()),
        steps,
        probes,
        ...(valueHead && { valueHead: structuredClone(valueHead) }),
      });
      keptAt = performance.now();
    }
  }
  await probe();
  return {
    status,
    steps,
    probes,
    values: await learner.read(),
    gpuBytes: trainer.gpuBytes,
    ...(trainer.plan && { memory: trainer.plan.sentence }),
    seconds,
  };
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
