/**
 * A training step on the GPU: one batch, packed; the trained values enter, forward, LM head with the
 * losses, backward to what is trained, Adam. What its buffers are, a plan has decided (plan.ts); a
 * batch that is too large for one pass goes through in several, whose gradients add up. Nothing is
 * allocated in a step, and eight bytes of metrics come back.
 */
import type { LogProbKernel } from '../kernels/loss/divergence-logprob';
import { type Gpu, type Op, Span } from '../kernels/gpu/gpu';
import { type BackwardKernels, BackwardPass } from './backward';
import { TeacherForcing } from './forcing';
import { ForwardPass } from './forward';
import { LossStage } from './loss-stage';
import { Optimiser } from './optimiser';
import { exampleRows, packedAs, type PackedRows } from './pack';
import { type Pass, packPasses } from './passes';
import type { MemoryPlan } from './plan';
import type { Entry, Trainable } from './trainable/trainable';
import type { TrainerKernels } from './trainer-kernels';
import type {
  Batch,
  DivergenceBatch,
  Example,
  Gradient,
  OptimiserState,
  StepMetrics,
  StepOptions,
  TeacherPath,
  TrainerOptions,
} from './types';
import type { DecoderWeights } from './weights';
import type { Submitter } from './work';

/** The parts of the engine that trainers share. */
export interface TrainerDeps {
  gpu: Gpu;
  weights: DecoderWeights;
  kernels: BackwardKernels;
  logprob: LogProbKernel;
  submitter: Submitter;
}

export class Trainer {
  /** Bytes that this trainer holds on the GPU, weights not counted. */
  readonly gpuBytes: number;
  /** Floats of the values: a soft prompt's [n, dim], or as the adapter's layout says. */
  readonly valuesLength: number;

  private readonly gpu: Gpu;
  private readonly weights: DecoderWeights;
  private readonly submitter: Submitter;
  private readonly trainable: Trainable;
  /** Brings the values into the forward pass. */
  private readonly entry: Entry;
  private readonly forward: ForwardPass;
  private readonly backward: BackwardPass;
  private readonly stage: LossStage;
  private readonly forcing: TeacherForcing;
  private readonly optimiser: Optimiser;
  /** Gradient of the values after a pass, and after a step. */
  private readonly gradientBuffer: GPUBuffer;
  /** Where the passes of a batch add up; null where there is one pass. */
  private readonly sum: { buffer: GPUBuffer; span: Span; first: Op; add: Op } | null;

  constructor(
    { gpu, weights, kernels, logprob, submitter }: TrainerDeps,
    own: TrainerKernels,
    private readonly options: TrainerOptions,
    readonly plan: MemoryPlan,
  ) {
    const before = gpu.allocatedBytes;
    this.gpu = gpu;
    this.weights = weights;
    this.submitter = submitter;
    const { trainable } = own;
    this.trainable = trainable;
    const { length, rowWidth, prefixRows, reach } = trainable.size;
    this.valuesLength = length;
    const sizes = { capacity: plan.rows, maxPrefix: prefixRows };
    const { keep } = plan;
    const pass = { ...sizes, keep, pool: null, choosing: true, label: 'train' };
    const forward = new ForwardPass(gpu, trainable.weights, kernels, pass);
    const backward = new BackwardPass(gpu, trainable.weights, kernels, forward, {
      ...sizes,
      reach,
    });
    const parts = [submitter, forward, backward, plan, options.maxLossRows] as const;
    const hasTeacher = options.objective.family === 'divergence';
    const { makeLoss } = own;
    this.stage = new LossStage(gpu, weights, kernels, ...parts, { hasTeacher, makeLoss });
    this.forcing = new TeacherForcing(gpu, weights, submitter, forward, this.stage.head, logprob);
    this.forward = forward;
    this.backward = backward;
    this.entry = trainable.enter(forward);
    const passGradient = trainable.gradientOf(backward);
    this.sum = null;
    if (own.adding) {
      const buffer = gpu.storage('gradient sum', length * 4);
      const span = new Span(gpu, 'gradient rows');
      span.set(0, length / rowWidth);
      const args = { x: passGradient, y: buffer, span, place: span };
      const { copy, add } = own.adding;
      this.sum = { buffer, span, first: copy.bindCopy(args), add: add.bindAdd(args) };
    }
    this.gradientBuffer = this.sum?.buffer ?? passGradient;
    const { allLoss, allCoef } = this.stage;
    const buffers = { master: trainable.values, gradient: this.gradientBuffer, allLoss, allCoef };
    this.optimiser = new Optimiser(gpu, own.optimiser, length, buffers);
    this.gpuBytes = gpu.allocatedBytes - before + trainable.bytes;
  }

  /** See `ForwardPass.probe`. */
  get probe(): Op {
    return this.forward.probe();
  }

  /** Sets the values, [valuesLength], and resets Adam. */
  setValues(values: Float32Array): void {
    this.optimiser.setValues(values);
  }

  /** [valuesLength]. */
  readValues(): Promise<Float32Array> {
    return this.optimiser.readValues();
  }

  /** The values and Adam's state, in one read-back. */
  readState(): Promise<OptimiserState & { values: Float32Array }> {
    return this.optimiser.readState();
  }

  writeState(state: OptimiserState): void {
    this.optimiser.writeState(state);
  }

  /** What the frozen model, without what is trained, says along all paths. */
  async teach(examples: readonly Example[], signal?: AbortSignal): Promise<TeacherPath[][]> {
    this.trainable.enable(false);
    try {
      return await this.forcing.paths(examples, { hidden: true, signal });
    } finally {
      this.trainable.enable(true);
    }
  }

  /** What the model says along all paths with the present values, quantised as in steps or not. */
  along(
    examples: readonly Example[],
    { fakeQuantise = false, signal }: { fakeQuantise?: boolean; signal?: AbortSignal } = {},
  ): Promise<TeacherPath[][]> {
    const resident = { rows: this.trainable.size.prefixRows, enter: this.entering(fakeQuantise) };
    return this.forcing.paths(examples, { resident, hidden: true, signal });
  }

  /**
   * One optimiser step. Resolves when the GPU is done.
   * @throws RangeError on a batch of another family than the trainer's objective, one that does not
   *   fit, a target that lacks its teacher, or a warm-up that there is not
   * @throws TargetMismatchError, DivergedError
   */
  step(batch: Batch, options: StepOptions): Promise<StepMetrics> {
    return this.update(this.passes(batch, options.warmUp), options);
  }

  /**
   * Loss and gradient at the present values, [valuesLength]; nothing is updated.
   * @throws as `step`
   */
  gradient(batch: Batch, { warmUp = false } = {}): Promise<Gradient> {
    return this.gradientOver(this.passes(batch, warmUp), warmUp);
  }

  /**
   * Milliseconds of one gradient by phase, each waited for on its own; for benchmarks. `prefix`
   * false leaves the soft prompt out, which is what its cost is compared with. `clock` may count
   * something else than wall time.
   */
  async measure(
    batch: DivergenceBatch,
    prefix = true,
    clock: () => number | Promise<number> = () => performance.now(),
  ): Promise<Record<'forward' | 'head' | 'backward', number>> {
    const { queue } = this.gpu.device;
    const timed = async (submit: () => void) => {
      await queue.onSubmittedWorkDone();
      const start = await clock();
      submit();
      await queue.onSubmittedWorkDone();
      return (await clock()) - start;
    };
    const spent = { forward: 0, head: 0, backward: 0 };
    let first = 0;
    const n = prefix ? this.trainable.size.prefixRows : 0;
    for (const { packed, rows } of this.passes(batch, false, n)) {
      this.load(packed);
      spent.forward += await timed(() => this.submitForward(false));
      spent.head += await timed(() => this.stage.submit(rows, first, false));
      spent.backward += await timed(() => this.submitter.run(this.backward.ops, 'backward'));
      first += rows.count;
    }
    return spent;
  }

  destroy(): void {
    this.optimiser.release();
    this.forward.release();
    this.backward.release();
    this.stage.release();
    this.forcing.release();
    this.trainable.release();
    this.sum?.span.release();
    this.gpu.release(this.sum?.buffer);
  }

  private passes(batch: Batch, warmUp = false, prefix = this.trainable.size.prefixRows): Pass[] {
    const { family } = this.options.objective;
    if (batch.family !== family) {
      throw new RangeError(`This trainer is for ${family} losses, not for ${batch.family} losses.`);
    }
    if (warmUp && !this.options.warmUp) {
      throw new RangeError('This trainer was made without a warm-up.');
    }
    const { config, positions: room } = this.weights;
    const { rows } = this.plan;
    const positions = Math.min(room, config.maxPositions);
    const passes = packPasses(batch, { prefix, rows, positions, dim: config.dim });
    if (passes.length > 1 && !this.sum) {
      const wanted = packedAs(batch).reduce((sum, example) => sum + exampleRows(example), 0);
      throw new RangeError(
        `A batch of ${wanted} positions does not fit the ${rows - prefix} that were planned.`,
      );
    }
    return passes;
  }

  private async update(
    passes: readonly Pass[],
    { learningRate, fakeQuantise, warmUp = false }: StepOptions,
  ): Promise<StepMetrics> {
    this.optimiser.begin(learningRate, this.options.clipNorm);
    this.submitGradient(passes, fakeQuantise, warmUp);
    this.gpu.run([...this.optimiser.metricsOps, this.optimiser.adamOp], 'optimiser');
    return this.optimiser.readMetrics();
  }

  private async gradientOver(passes: readonly Pass[], warmUp: boolean): Promise<Gradient> {
    this.submitGradient(passes, false, warmUp);
    this.gpu.run(this.optimiser.metricsOps, 'metrics');
    const [metrics, gradient] = await Promise.all([
      this.optimiser.readMetrics(),
      this.gpu.readFloats(this.gradientBuffer, this.valuesLength),
    ]);
    return { ...metrics, gradient };
  }

  private submitGradient(passes: readonly Pass[], fakeQuantise: boolean, warmUp: boolean): void {
    let first = 0;
    for (const [i, { packed, rows }] of passes.entries()) {
      this.load(packed);
      this.submitForward(fakeQuantise);
      this.stage.submit(rows, first, warmUp);
      const sum = this.sum ? [i === 0 ? this.sum.first : this.sum.add] : [];
      this.submitter.run([...this.backward.ops, ...sum], 'backward');
      first += rows.count;
    }
    this.optimiser.countLosses(first);
  }

  private load(packed: PackedRows): void {
    this.forward.load(packed, packed.prefix, packed.lossRows);
  }

  private submitForward(fakeQuantise: boolean, label = 'forward'): void {
    this.submitter.run([...this.entering(fakeQuantise), ...this.forward.ops], label);
  }

  private entering(fakeQuantise: boolean): readonly Op[] {
    return fakeQuantise ? this.entry.quantised : this.entry.plain;
  }
}
