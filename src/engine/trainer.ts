/**
 * A soft prompt or an adapter, trained through the frozen model. A step is one packed batch: soft
 * prompt in front, forward, LM head with the losses, backward to what is trained, Adam. What its buffers are, a plan has decided (plan.ts); a batch that is too large for one pass
 * goes through in several, whose gradients add up. Nothing is allocated in a step, and eight bytes
 * of metrics come back.
 */
import type { LogProbKernel } from '../kernels/loss/divergence-logprob';
import { type Gpu, type Op, Span } from '../kernels/gpu/gpu';
import type { Adapter } from './adapter';
import { type BackwardKernels, BackwardPass } from './backward';
import { TeacherForcing } from './forcing';
import { ForwardPass } from './forward';
import type { DivergenceLoss } from './loss-divergence';
import { LossStage, type PassRows } from './loss-stage';
import type { TokenLoss } from './loss-tokens';
import { Optimiser, type OptimiserState } from './optimiser';
import { exampleRows, type PackedBatch, type PackInput } from './pack';
import { type Pass, packPasses } from './passes';
import type { MemoryPlan } from './plan';
import { tokenInput } from './token-rows';
import type { TrainerKernels, TrainerOptions } from './trainer-kernels';
import type {
  StepMetrics,
  StepOptions,
  Teacher,
  TeacherPath,
  TokenExample,
  TrainExample,
} from './types';
import type { DecoderWeights } from './weights';
import type { Submitter } from './work';

export type { TrainerOptions };

/** The parts of the engine that trainers share. */
export interface TrainerDeps {
  gpu: Gpu;
  weights: DecoderWeights;
  kernels: BackwardKernels;
  logprob: LogProbKernel;
  submitter: Submitter;
}

export class PromptTrainer {
  /** Bytes that this trainer holds on the GPU, weights not counted. */
  readonly gpuBytes: number;
  /** Floats of the values: [virtualTokens, dim], or as the adapter's layout says. */
  readonly valuesLength: number;

  private readonly gpu: Gpu;
  private readonly weights: DecoderWeights;
  private readonly submitter: Submitter;
  private readonly forward: ForwardPass;
  private readonly backward: BackwardPass;
  private readonly stage: LossStage;
  private readonly loss: DivergenceLoss | TokenLoss;
  private readonly forcing: TeacherForcing;
  private readonly optimiser: Optimiser;
  private readonly adapter: Adapter | null;
  /** Gradient of the values after a pass, and after a step. */
  private readonly gradientBuffer: GPUBuffer;
  /** Where the passes of a batch add up; null where there is one pass. */
  private readonly sum: { buffer: GPUBuffer; span: Span; first: Op; add: Op } | null;
  /** A soft prompt's own: master values, and their way to the forward pass, as they are or quantised. */
  private readonly prompt: { master: GPUBuffer; span: Span; plain: Op; quantised: Op } | null;

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
    const { virtualTokens: n, maxLossRows } = options;
    const { adapter, count, quant } = own;
    this.adapter = adapter;
    this.valuesLength = count;
    const adapted = adapter?.weights ?? weights;
    const sizes = { capacity: plan.rows, maxPrefix: n };
    const { keep } = plan;
    const pass = { ...sizes, keep, pool: null, choosing: true, label: 'train' };
    const forward = new ForwardPass(gpu, adapted, kernels, pass);
    const inside = adapter ? { adapter: { lowest: adapter.lowest } } : {};
    const backward = new BackwardPass(gpu, adapted, kernels, forward, { ...sizes, ...inside });
    const hasTeacher = options.objective.family === 'divergence';
    const parts = [submitter, forward, backward, plan, maxLossRows, hasTeacher] as const;
    this.stage = new LossStage(gpu, weights, kernels, ...parts);
    this.loss = own.losses(kernels, this.stage.tile);
    this.forcing = new TeacherForcing(gpu, weights, submitter, forward, this.stage.head, logprob);
    this.forward = forward;
    this.backward = backward;
    const passGradient = adapter?.gradient ?? backward.gradient;
    this.sum = null;
    if (own.adding && own.copying) {
      const buffer = gpu.storage('gradient sum', count * 4);
      const span = new Span(gpu, 'gradient rows');
      span.set(0, count / own.width);
      const args = { x: passGradient, y: buffer, span, place: span };
      this.sum = {
        buffer,
        span,
        first: own.copying.bindCopy(args),
        add: own.adding.bindAdd(args),
      };
    }
    this.gradientBuffer = this.sum?.buffer ?? passGradient;
    this.prompt = null;
    if (quant) {
      const master = gpu.storage('soft prompt', count * 4);
      const span = new Span(gpu, 'soft prompt');
      span.set(0, n);
      const copy = { x: master, y: forward.softPrompt, span };
      const plain = quant.bind({ ...copy, quantise: false });
      this.prompt = { master, span, plain, quantised: quant.bind({ ...copy, quantise: true }) };
    }
    const { allLoss, allCoef } = this.stage;
    const master = adapter?.values ?? this.prompt!.master;
    const buffers = { master, gradient: this.gradientBuffer, allLoss, allCoef };
    this.optimiser = new Optimiser(gpu, own.optimiser, count, buffers);
    this.gpuBytes = gpu.allocatedBytes - before;
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

  readState(): Promise<OptimiserState> {
    return this.optimiser.readState();
  }

  writeState(state: OptimiserState): void {
    this.optimiser.writeState(state);
  }

  /** What the frozen model, without what is trained, says along all paths. */
  async teach(examples: readonly PackInput[], signal?: AbortSignal): Promise<TeacherPath[][]> {
    this.adapter?.enable(false);
    try {
      return await this.forcing.paths(examples, { hidden: true, signal });
    } finally {
      this.adapter?.enable(true);
    }
  }

  /** What the model says along all paths with the present values, quantised as in steps or not. */
  along(
    examples: readonly PackInput[],
    { fakeQuantise = false, signal }: { fakeQuantise?: boolean; signal?: AbortSignal } = {},
  ): Promise<TeacherPath[][]> {
    const { prompt, options } = this;
    const place = prompt && (fakeQuantise ? prompt.quantised : prompt.plain);
    const resident = place ? { rows: options.virtualTokens, place } : undefined;
    return this.forcing.paths(examples, { resident, hidden: true, signal });
  }

  /**
   * One optimiser step of a divergence. Resolves when the GPU is done.
   * @throws RangeError on a trainer of token losses, or where a target lacks its teacher
   */
  step(
    examples: readonly TrainExample[],
    teacher: Teacher,
    options: StepOptions,
  ): Promise<StepMetrics> {
    return this.update(this.divergencePasses(examples, teacher, options.warmUp), options);
  }

  /**
   * One optimiser step of a loss on tokens. Resolves when the GPU is done.
   * @throws RangeError on a trainer of divergences
   */
  stepTokens(examples: readonly TokenExample[], options: StepOptions): Promise<StepMetrics> {
    return this.update(this.tokenPasses(examples, options.warmUp), options);
  }

  /** Loss and gradient at the present values, without an update. */
  gradient(
    examples: readonly TrainExample[],
    teacher: Teacher,
    warmUp = false,
  ): Promise<{ loss: number; gradient: Float32Array }> {
    return this.gradientOf(this.divergencePasses(examples, teacher, warmUp));
  }

  gradientTokens(
    examples: readonly TokenExample[],
    warmUp = false,
  ): Promise<{ loss: number; gradient: Float32Array }> {
    return this.gradientOf(this.tokenPasses(examples, warmUp));
  }

  /**
   * Milliseconds of one gradient by phase, each waited for on its own; for benchmarks. `prefix`
   * false leaves the soft prompt out, which is what its cost is compared with. `clock` may count
   * something else than wall time.
   */
  async measure(
    examples: readonly TrainExample[],
    teacher: Teacher,
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
    const n = prefix ? this.options.virtualTokens : 0;
    for (const pass of this.divergencePasses(examples, teacher, false, n)) {
      this.load(pass.packed);
      spent.forward += await timed(() => this.submitForward(false));
      spent.head += await timed(() => this.stage.submit(pass.rows, first));
      spent.backward += await timed(() => this.submitter.run(this.backward.ops, 'backward'));
      first += pass.rows.count;
    }
    return spent;
  }

  /** The divergence at each position of each path, [examples][paths][T]; forward only. */
  async divergence(
    examples: readonly TrainExample[],
    teacher: Teacher,
    signal?: AbortSignal,
  ): Promise<Float32Array[][]> {
    const result: Float32Array[][] = [];
    for (const { packed, rows } of this.divergencePasses(examples, teacher)) {
      signal?.throwIfAborted();
      this.load(packed);
      this.submitForward(false, 'divergence forward');
      const losses = await this.stage.losses(rows);
      for (const paths of packed.loss) {
        result.push(paths.map((indices) => Float32Array.from(indices, (index) => losses[index]!)));
      }
    }
    return result;
  }

  destroy(): void {
    this.optimiser.release();
    this.forward.release();
    this.backward.release();
    this.loss.release();
    this.stage.release();
    this.forcing.release();
    this.adapter?.release();
    this.sum?.span.release();
    this.prompt?.span.release();
    this.gpu.release(this.sum?.buffer, this.prompt?.master);
  }

  private divergencePasses(
    examples: readonly TrainExample[],
    teacher: Teacher,
    warmUp = false,
    prefix = this.options.virtualTokens,
  ): Pass[] {
    const { loss } = this;
    if (loss.family !== 'divergence') throw new RangeError('This trainer is for token losses.');
    const inputs = examples.map(({ prompt, paths }) => ({
      prompt,
      paths: paths.map((path) => path.tokens),
    }));
    return this.passes(inputs, prefix, (packed, ...span) =>
      loss.rows(packed, examples.slice(...span), teacher.slice(...span), warmUp),
    );
  }

  private tokenPasses(examples: readonly TokenExample[], warmUp = false): Pass[] {
    const { loss } = this;
    if (loss.family !== 'token') throw new RangeError('This trainer is for divergences.');
    const inputs = examples.map(tokenInput);
    return this.passes(inputs, this.options.virtualTokens, (packed, ...span) =>
      loss.rows(packed, examples.slice(...span), warmUp),
    );
  }

  private passes(
    inputs: readonly PackInput[],
    prefix: number,
    rowsOf: (packed: PackedBatch, from: number, to: number) => PassRows,
  ): Pass[] {
    const { config, positions } = this.weights;
    const { rows } = this.plan;
    const room = Math.min(positions, config.maxPositions);
    const passes = packPasses(inputs, { prefix, rows, positions: room }, rowsOf);
    if (passes.length > 1 && !this.sum) {
      const wanted = inputs.reduce((sum, input) => sum + exampleRows(input), 0);
      throw new RangeError(
        `A batch of ${wanted} positions does not fit the ${rows - prefix} that were planned.`,
      );
    }
    return passes;
  }

  private async update(
    passes: readonly Pass[],
    { learningRate, fakeQuantise }: StepOptions,
  ): Promise<StepMetrics> {
    this.optimiser.begin(learningRate, this.options.clipNorm);
    this.submitGradient(passes, fakeQuantise);
    this.gpu.run([...this.optimiser.metricsOps, this.optimiser.adamOp], 'optimiser');
    return this.optimiser.readMetrics();
  }

  private async gradientOf(
    passes: readonly Pass[],
  ): Promise<{ loss: number; gradient: Float32Array }> {
    this.submitGradient(passes, false);
    this.gpu.run(this.optimiser.metricsOps, 'metrics');
    const { loss } = await this.optimiser.readMetrics();
    return { loss, gradient: await this.gpu.readFloats(this.gradientBuffer, this.valuesLength) };
  }

  private submitGradient(passes: readonly Pass[], fakeQuantise: boolean): void {
    let first = 0;
    for (const [i, { packed, rows }] of passes.entries()) {
      this.load(packed);
      this.submitForward(fakeQuantise);
      this.stage.submit(rows, first);
      const sum = this.sum ? [i === 0 ? this.sum.first : this.sum.add] : [];
      this.submitter.run([...this.backward.ops, ...sum], 'backward');
      first += rows.count;
    }
    this.optimiser.countLosses(first);
  }

  private load(packed: PackedBatch): void {
    this.forward.load(packed, packed.prefix, packed.lossRows);
  }

  private submitForward(fakeQuantise: boolean, label = 'forward'): void {
    const { prompt } = this;
    const place = prompt ? [fakeQuantise ? prompt.quantised : prompt.plain] : [];
    this.submitter.run([...place, ...this.forward.ops], label);
  }
}
