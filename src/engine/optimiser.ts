/** Adam over the trained values; two metrics of the step come with it. */
import { ADAM_DEFAULTS, type AdamKernel, createAdam } from '../kernels/adam/adam';
import { type Gpu, type Op, Span } from '../kernels/gpu/gpu';
import { createReduce, type ReduceKernel } from '../kernels/rows/reduce';
import { DivergedError } from './errors';
import type { OptimiserState, StepMetrics } from './types';

/** Metrics buffer: loss, squared norm of the gradient. */
const SLOT = { loss: 0, squaredNorm: 1 };

export interface OptimiserKernels {
  adam: AdamKernel;
  reduce: ReduceKernel;
}

/** Kernels for `count` values; `Optimiser.release` frees what they own. */
export async function createOptimiserKernels(gpu: Gpu, count: number): Promise<OptimiserKernels> {
  const [reduce, adam] = await Promise.all([
    createReduce(gpu, { slots: 2 }),
    createAdam(gpu, { count, normSlot: SLOT.squaredNorm }),
  ]);
  return { reduce, adam };
}

export interface OptimiserBuffers {
  /** The values, [count]. */
  master: GPUBuffer;
  /** Their gradient, in its first `count` floats. */
  gradient: GPUBuffer;
  allLoss: GPUBuffer;
  allCoef: GPUBuffer;
}

export class Optimiser {
  private readonly master: GPUBuffer;
  private readonly moment1: GPUBuffer;
  private readonly moment2: GPUBuffer;
  private readonly metrics: GPUBuffer;
  private readonly losses: Span;
  private readonly parameters: Span;
  readonly metricsOps: Op[];
  readonly adamOp: Op;
  private updates = 0;

  constructor(
    private readonly gpu: Gpu,
    private readonly kernels: OptimiserKernels,
    private readonly count: number,
    { master, gradient, allLoss, allCoef }: OptimiserBuffers,
  ) {
    this.master = master;
    this.moment1 = gpu.storage('optimiser first moment', count * 4);
    this.moment2 = gpu.storage('optimiser second moment', count * 4);
    this.metrics = gpu.storage('optimiser metrics', 16);
    this.losses = new Span(gpu, 'losses');
    this.parameters = new Span(gpu, 'parameters');
    this.parameters.set(0, count);
    const { adam, reduce } = kernels;
    const { metrics } = this;
    const loss = { x: allLoss, y: allCoef, span: this.losses };
    const norm = { x: gradient, span: this.parameters };
    this.metricsOps = [
      ...reduce.bindDot({ ...loss, metrics, slot: SLOT.loss }),
      ...reduce.bindSquares({ ...norm, metrics, slot: SLOT.squaredNorm }),
    ];
    const { moment1: m, moment2: v } = this;
    this.adamOp = adam.bind({ parameter: master, gradient, m, v, metrics });
  }

  /** Sets the values, [count], and starts Adam afresh. */
  setValues(values: Float32Array): void {
    if (values.length !== this.count) {
      throw new RangeError(`${this.count} values are trained here, not ${values.length}.`);
    }
    this.gpu.write(this.master, values);
    const zeros = new Float32Array(this.count);
    this.writeState({ first: zeros, second: zeros, updates: 0 });
  }

  readValues(): Promise<Float32Array> {
    return this.gpu.readFloats(this.master, this.count);
  }

  /** The values and Adam's state, in one read-back. */
  async readState(): Promise<OptimiserState & { values: Float32Array }> {
    const { master, moment1, moment2, updates } = this;
    const read = await this.gpu.readFloatsOf([master, moment1, moment2], this.count);
    const [values, first, second] = read as [Float32Array, Float32Array, Float32Array];
    return { values, first, second, updates };
  }

  writeState(state: OptimiserState): void {
    this.gpu.write(this.moment1, state.first);
    this.gpu.write(this.moment2, state.second);
    this.updates = state.updates;
  }

  /** Settings of the update that comes next. */
  begin(learningRate: number, clipNorm: number): void {
    this.updates++;
    this.kernels.adam.set({ ...ADAM_DEFAULTS, lr: learningRate, maxNorm: clipNorm }, this.updates);
  }

  /** Says how many losses of the batch the metrics count. */
  countLosses(count: number): void {
    this.losses.set(0, count);
  }

  /** @throws DivergedError where they are not numbers any more. */
  async readMetrics(): Promise<StepMetrics> {
    const metrics = await this.gpu.readFloats(this.metrics, 2);
    const loss = metrics[SLOT.loss]!;
    const gradientNorm = Math.sqrt(metrics[SLOT.squaredNorm]!);
    if (!Number.isFinite(loss) || !Number.isFinite(gradientNorm)) throw new DivergedError();
    return { loss, gradientNorm };
  }

  release(): void {
    this.kernels.adam.release();
    this.kernels.reduce.release();
    this.losses.release();
    this.parameters.release();
    this.gpu.release(this.moment1, this.moment2, this.metrics);
  }
}
