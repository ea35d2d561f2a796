/**
 * From the residual stream to the loss and back: LM head on the loss rows, their losses, gradient of
 * the residual stream; a tile of rows at a time, because logits are wide. What a loss is made of
 * beside the student's logits, its family knows: loss-divergence.ts, loss-tokens.ts.
 */
import type { Gpu, Op, Span } from '../kernels/gpu/gpu';
import type { BackwardPass } from './backward';
import type { ForwardPass } from './forward';
import type { ForwardKernels } from './forward-kernels';
import { HeadStage } from './head';
import type { LossRows } from './loss-rows';
import type { MemoryPlan } from './plan';
import type { DecoderWeights } from './weights';
import type { Submitter } from './work';

/** The rows whose logits exist at a time, and what every family reads and writes of them. */
export interface LossTile {
  /** Most rows. */
  capacity: number;
  span: Span;
  /** The student's, [capacity, vocabSize]; the loss puts their gradients there. */
  logits: GPUBuffer;
  /** Weight of each row in the total loss, [capacity]. */
  coef: GPUBuffer;
  /** Loss of each row, written by the family, [capacity]. */
  rowLoss: GPUBuffer;
  /** [capacity, dim], free until the losses are made. */
  spare: GPUBuffer;
  /** The teacher's logits, [capacity, vocabSize], free again from then on; null without a teacher. */
  teacherLogits: GPUBuffer | null;
}

/** A family's losses on the GPU, bound to a tile. */
export interface Loss {
  readonly family: LossRows['family'];
  /** Puts rows from `start` on, at most `room`, where the kernel reads them; returns how many. */
  load(rows: LossRows, start: number, room: number): number;
  /**
   * From the logits of the rows last loaded to their losses and gradients.
   * @throws RangeError on a warm-up that the trainer was made without
   */
  ops(warmUp: boolean): readonly Op[];
  release(): void;
}

/** Makes the losses of a tile of logits. */
export type LossMaker = (kernels: ForwardKernels, tile: LossTile) => Loss;

/** @throws RangeError where there is none */
export function withWarmUp(warm: Op | null): Op {
  if (!warm) throw new RangeError('This trainer was made without a warm-up.');
  return warm;
}

export class LossStage {
  readonly head: HeadStage;
  readonly loss: Loss;
  /** Loss and weight of each loss row of the whole batch, [lossRows]. */
  readonly allLoss: GPUBuffer;
  readonly allCoef: GPUBuffer;

  private readonly tile: LossTile;
  private readonly owned: GPUBuffer[] = [];
  /** The pass has an output for loss rows only, in their order. */
  private readonly order: Uint32Array;
  private readonly backOps: Op[];

  constructor(
    private readonly gpu: Gpu,
    weights: DecoderWeights,
    kernels: ForwardKernels,
    private readonly submitter: Submitter,
    forward: ForwardPass,
    backward: BackwardPass,
    { logitsRows: capacity }: Pick<MemoryPlan, 'logitsRows'>,
    private readonly lossRows: number,
    { hasTeacher, makeLoss }: { hasTeacher: boolean; makeLoss: LossMaker },
  ) {
    const storage = (label: string, floats: number) => {
      const buffer = gpu.storage(`loss ${label}`, floats * 4);
      this.owned.push(buffer);
      return buffer;
    };
    const head = new HeadStage(gpu, weights, kernels, forward.output, capacity, 'train head', {
      keepCapped: true,
    });
    this.head = head;
    this.order = Uint32Array.from({ length: lossRows }, (_, row) => row);
    this.allLoss = storage('all row losses', lossRows);
    this.allCoef = storage('all coefficients', lossRows);
    const { span, capped, logits } = head;
    this.tile = {
      capacity,
      span,
      logits,
      coef: storage('coefficients', capacity),
      rowLoss: storage('row losses', capacity),
      spare: storage('rows', capacity * weights.config.dim),
      teacherLogits: hasTeacher
        ? storage('teacher logits', capacity * weights.config.vocabSize)
        : null,
    };
    this.loss = makeLoss(kernels, this.tile);
    // What the logits were made from is done with: the gradients go there.
    const dHidden = head.hidden;
    const dChosen = this.tile.spare;
    const norm = { x: head.chosen, weight: weights.finalNorm, dy: dHidden, dx: dChosen };
    const { logitCap } = kernels;
    this.backOps = [
      ...(logitCap && capped ? [logitCap.bindBackward({ dy: logits, kept: capped, span })] : []),
      ...weights.head.bindBackward({
        ...{ dy: logits, dx: dHidden, accumulate: false, span },
        spare: this.tile.teacherLogits ?? undefined,
      }),
      kernels.norm.bindBackward({ ...norm, accumulate: false, span }),
      kernels.rows.bindScatter({ x: dChosen, y: backward.gradient, index: head.index, span }),
    ];
  }

  /**
   * Submits loss and gradient of `rows`, which are the batch's loss rows from `first` on.
   * @throws RangeError where they do not fit.
   */
  submit(rows: LossRows, first: number, warmUp: boolean): void {
    if (first + rows.count > this.lossRows) {
      throw new RangeError(`${first + rows.count} loss rows do not fit ${this.lossRows}.`);
    }
    for (let start = 0; start < rows.count;) {
      const count = this.load(rows, start);
      this.submitter.run([...this.head.ops, ...this.loss.ops(warmUp), ...this.backOps], 'loss');
      this.gpu.copy(this.tile.rowLoss, this.allLoss, count * 4, (first + start) * 4);
      start += count;
    }
    this.gpu.write(this.allCoef, rows.coef, first * 4);
  }

  /** The loss of each of `rows`, not weighted. */
  async losses(rows: LossRows): Promise<Float32Array> {
    const losses = new Float32Array(rows.count);
    for (let start = 0; start < rows.count;) {
      const count = this.load(rows, start);
      this.submitter.run([...this.head.ops, ...this.loss.ops(false)], 'losses');
      losses.set(await this.gpu.readFloats(this.tile.rowLoss, count), start);
      start += count;
    }
    return losses;
  }

  release(): void {
    this.loss.release();
    this.head.release();
    this.gpu.release(...this.owned);
  }

  /** Makes the next rows from `start` the tile's; returns how many fit. */
  private load(rows: LossRows, start: number): number {
    const count = this.loss.load(rows, start, this.tile.capacity);
    this.head.choose(this.order.subarray(start, start + count));
    this.gpu.write(this.tile.coef, rows.coef.subarray(start, start + count));
    return count;
  }
}
