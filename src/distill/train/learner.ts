/**
 * What is trained, behind one face: a soft prompt or an adapter whose values and Adam live on the
 * GPU, or a small form of a soft prompt, whose few values live here (METHOD.md §10).
 */
import { projectBackward } from '../../formats/share/sign-projection';
import { adamUpdate, clipScale } from './adam';
import type { Adaptation } from '../adapters/adaptation';
import type { StudentTrainer } from '../engine-port';
import type { Parametrisation } from '../adapters/parametrisation';
import type { Batch, Example, OptimiserState, StepMetrics, TeacherPath } from '../../engine/types';

export interface LearnerOptions {
  learningRate: number;
  /** Through the quantisation of a link. */
  quantise: boolean;
  warmUp: boolean;
}

export interface Learner {
  step(batch: Batch, options: LearnerOptions): Promise<StepMetrics>;
  /** The frozen student along paths. */
  teach(examples: readonly Example[]): Promise<TeacherPath[][]>;
  /** The student as it is now along paths. */
  along(examples: readonly Example[], quantise: boolean): Promise<TeacherPath[][]>;
  /** The student as it is now, for sampling from it. */
  adaptation(quantise: boolean): Promise<Exclude<Adaptation, null>>;
  /** Master values. */
  read(): Promise<Float32Array>;
  /** What another learner can go on from. */
  state(): Promise<LearnerState>;
}

/** Where a learner starts, or goes on. */
export interface LearnerState {
  /** Master values. */
  values: Float32Array;
  /** Null where the engine does not hand it out. */
  optimiser: OptimiserState | null;
}

export function createLearner(
  trainer: StudentTrainer,
  parametrisation: Parametrisation,
  clipNorm: number,
  start: LearnerState,
): Learner {
  return parametrisation.small
    ? new SmallLearner(trainer, parametrisation, parametrisation.small, clipNorm, start)
    : new GpuLearner(trainer, parametrisation, start);
}

class GpuLearner implements Learner {
  constructor(
    private readonly trainer: StudentTrainer,
    private readonly parametrisation: Parametrisation,
    { values, optimiser }: LearnerState,
  ) {
    trainer.setValues(values);
    if (optimiser) trainer.writeState?.(optimiser);
  }

  step(batch: Batch, { learningRate, quantise, warmUp }: LearnerOptions): Promise<StepMetrics> {
    const fakeQuantise = this.fakeQuantise(quantise);
    return this.trainer.step(batch, { learningRate, fakeQuantise, warmUp });
  }

  teach(examples: readonly Example[]): Promise<TeacherPath[][]> {
    return this.trainer.teach(examples);
  }

  along(examples: readonly Example[], quantise: boolean): Promise<TeacherPath[][]> {
    return this.trainer.along(examples, { fakeQuantise: this.fakeQuantise(quantise) });
  }

  /** A link carries soft prompts only. */
  private fakeQuantise(quantise: boolean): boolean {
    return quantise && this.parametrisation.shape.kind === 'soft-prompt';
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

  async state(): Promise<LearnerState> {
    const state = await this.trainer.readState?.();
    if (!state) return { values: await this.read(), optimiser: null };
    const { values, ...optimiser } = state;
    return { values, optimiser };
  }
}

/** θ and its Adam on the CPU; the engine gives the gradient of the whole prompt. */
class SmallLearner implements Learner {
  private theta: Float32Array;
  private readonly optimiser: OptimiserState;

  constructor(
    private readonly trainer: StudentTrainer,
    private readonly parametrisation: Parametrisation,
    private readonly small: NonNullable<Parametrisation['small']>,
    private readonly clipNorm: number,
    { values, optimiser }: LearnerState,
  ) {
    this.theta = values.slice();
    const zeros = () => new Float32Array(values.length);
    this.optimiser = optimiser
      ? structuredClone(optimiser)
      : { first: zeros(), second: zeros(), updates: 0 };
  }

  async step(
    batch: Batch,
    { learningRate, quantise, warmUp }: LearnerOptions,
  ): Promise<StepMetrics> {
    this.place(quantise);
    const whole = await this.trainer.gradient(batch, { warmUp });
    const { loss } = whole;
    if (!Number.isFinite(loss) || !Number.isFinite(whole.gradientNorm))
      return { loss, gradientNorm: whole.gradientNorm };
    const gradient = projectBackward(this.small.projection, whole.gradient);
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

  teach(examples: readonly Example[]): Promise<TeacherPath[][]> {
    return this.trainer.teach(examples);
  }

  along(examples: readonly Example[], quantise: boolean): Promise<TeacherPath[][]> {
    this.place(quantise);
    return this.trainer.along(examples);
  }

  async adaptation(quantise: boolean): Promise<Exclude<Adaptation, null>> {
    return this.parametrisation.adaptation(this.present(quantise));
  }

  async read(): Promise<Float32Array> {
    return this.theta.slice();
  }

  async state(): Promise<LearnerState> {
    return structuredClone({ values: this.theta, optimiser: this.optimiser });
  }

  private present(quantise: boolean): Float32Array {
    return quantise ? this.parametrisation.quantised(this.theta) : this.theta;
  }

  private place(quantise: boolean): void {
    this.trainer.setValues(this.parametrisation.adaptation(this.present(quantise)).values);
  }
}
