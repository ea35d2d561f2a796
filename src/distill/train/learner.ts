/**
 * What is trained, behind one face: a soft prompt or an adapter whose values and Adam live on the
 * GPU, or a small form of a soft prompt, whose few values live here (METHOD.md §10).
 */
import { projectBackward } from '../../formats/share/sign-projection';
import { adamUpdate, BETA1, clipScale } from './adam';
import type { Adaptation } from '../adapters/adaptation';
import type { OptimiserState, PathsOfPrompt, PromptTrainer } from '../engine-port';
import type { Parametrisation } from '../adapters/parametrisation';
import type {
  StepMetrics,
  Teacher,
  TeacherPath,
  TokenExample,
  TrainExample,
} from '../../engine/types';

/** What one step trains on, ready for the engine. */
export type StepWork =
  | { kind: 'divergence'; examples: readonly TrainExample[]; teacher: Teacher }
  | { kind: 'token'; examples: readonly TokenExample[] };

export interface LearnerOptions {
  learningRate: number;
  /** Through the quantisation of a link. */
  quantise: boolean;
  warmUp: boolean;
}

export interface Learner {
  step(work: StepWork, options: LearnerOptions): Promise<StepMetrics>;
  /** The frozen student along paths. */
  teach(examples: readonly PathsOfPrompt[]): Promise<TeacherPath[][]>;
  /** The student as it is now along paths. */
  along(examples: readonly PathsOfPrompt[], quantise: boolean): Promise<TeacherPath[][]>;
  /** The student as it is now, for sampling from it. */
  adaptation(quantise: boolean): Promise<Exclude<Adaptation, null>>;
  /** Master values. */
  read(): Promise<Float32Array>;
  /** Null where the engine does not hand it out. */
  state(): Promise<OptimiserState | null>;
}

/** Where a learner starts, or goes on. */
export interface LearnerStart {
  values: Float32Array;
  optimiser: OptimiserState | null;
}

export function createLearner(
  trainer: PromptTrainer,
  parametrisation: Parametrisation,
  clipNorm: number,
  start: LearnerStart,
): Learner {
  return parametrisation.small
    ? new SmallLearner(trainer, parametrisation, parametrisation.small, clipNorm, start)
    : new GpuLearner(trainer, parametrisation, start);
}

class GpuLearner implements Learner {
  constructor(
    private readonly trainer: PromptTrainer,
    private readonly parametrisation: Parametrisation,
    { values, optimiser }: LearnerStart,
  ) {
    trainer.setValues(values);
    if (optimiser) trainer.writeState?.(optimiser);
  }

  step(work: StepWork, { learningRate, quantise, warmUp }: LearnerOptions): Promise<StepMetrics> {
    const fakeQuantise = this.fakeQuantise(quantise);
    return run(this.trainer, work, { learningRate, fakeQuantise, warmUp });
  }

  teach(examples: readonly PathsOfPrompt[]): Promise<TeacherPath[][]> {
    return this.trainer.teach(examples);
  }

  along(examples: readonly PathsOfPrompt[], quantise: boolean): Promise<TeacherPath[][]> {
    return this.trainer.along(examples, { fakeQuantise: this.fakeQuantise(quantise) });
  }

  /** A link carries soft prompts only. */
  private fakeQuantise(quantise: boolean): boolean {
    return quantise && this.parametrisation.shape === null;
  }

  async adaptation(quantise: boolean): Promise<Exclude<Adaptation, null>> {
    const values = await this.read();
    return this.parametrisation.adaptation(
      quantise ? this.parametrisation.quantised(values) : values,
    );
  }

  read(): Promise<Float32Array> {
    return this.trainer.readValues();
  }

  async state(): Promise<OptimiserState | null> {
    return (await this.trainer.readState?.()) ?? null;
  }
}

/**
 * θ and its Adam on the CPU. The engine gives the gradient of the whole prompt: its own optimiser
 * starts afresh at each step, so that its first moment is (1 − β₁) times the gradient, and its rate
 * is 0.
 */
class SmallLearner implements Learner {
  private theta: Float32Array;
  private readonly optimiser: OptimiserState;

  constructor(
    private readonly trainer: PromptTrainer,
    private readonly parametrisation: Parametrisation,
    private readonly small: NonNullable<Parametrisation['small']>,
    private readonly clipNorm: number,
    { values, optimiser }: LearnerStart,
  ) {
    this.theta = values.slice();
    const zeros = () => new Float32Array(values.length);
    this.optimiser = optimiser
      ? structuredClone(optimiser)
      : { first: zeros(), second: zeros(), updates: 0 };
  }

  async step(
    work: StepWork,
    { learningRate, quantise, warmUp }: LearnerOptions,
  ): Promise<StepMetrics> {
    if (!this.trainer.readState) throw new RangeError('This engine does not give its gradient.');
    this.place(quantise);
    const { loss, gradientNorm: promptNorm } = await run(this.trainer, work, {
      learningRate: 0,
      fakeQuantise: false,
      warmUp,
    });
    if (!Number.isFinite(loss) || !Number.isFinite(promptNorm)) {
      return { loss, gradientNorm: promptNorm };
    }
    const { first } = await this.trainer.readState();
    const gradient = projectBackward(
      this.small.projection,
      first.map((moment) => moment / (1 - BETA1)),
    );
    const gradientNorm = Math.sqrt(gradient.reduce((sum, g) => sum + g * g, 0));
    const scale = clipScale(gradientNorm, this.clipNorm);
    adamUpdate(
      { values: this.theta, ...this.optimiser },
      gradient.map((g) => g * scale),
      learningRate,
      ++this.optimiser.updates,
    );
    return { loss, gradientNorm };
  }

  teach(examples: readonly PathsOfPrompt[]): Promise<TeacherPath[][]> {
    return this.trainer.teach(examples);
  }

  along(examples: readonly PathsOfPrompt[], quantise: boolean): Promise<TeacherPath[][]> {
    this.place(quantise);
    return this.trainer.along(examples);
  }

  async adaptation(quantise: boolean): Promise<Exclude<Adaptation, null>> {
    return this.parametrisation.adaptation(this.present(quantise));
  }

  async read(): Promise<Float32Array> {
    return this.theta.slice();
  }

  async state(): Promise<OptimiserState> {
    return structuredClone(this.optimiser);
  }

  private present(quantise: boolean): Float32Array {
    return quantise ? this.parametrisation.quantised(this.theta) : this.theta;
  }

  private place(quantise: boolean): void {
    this.trainer.setValues(this.parametrisation.adaptation(this.present(quantise)).values);
  }
}

function run(
  trainer: PromptTrainer,
  work: StepWork,
  options: { learningRate: number; fakeQuantise: boolean; warmUp: boolean },
): Promise<StepMetrics> {
  return work.kind === 'token'
    ? trainer.stepTokens(work.examples, options)
    : trainer.step(work.examples, work.teacher, options);
}
