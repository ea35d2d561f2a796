/**
 * From the residual stream to the losses of chosen rows: LM head, then the loss; a tile of rows at a
 * time, because logits are wide. What a loss is made of beside the student's logits, its family knows:
 * loss-divergence.ts, loss-tokens.ts.
 */
import type { Gpu, Op, Span } from '../kernels/gpu/gpu';
import type { ForwardKernels } from './forward-kernels';
import type { HeadStage } from './head';
import type { LossRows } from './loss-rows';
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

export interface LossOptions {
  /** Whether any loss row may read the teacher. */
  hasTeacher: boolean;
  makeLoss: LossMaker;
}

export class LossHead {
  readonly loss: Loss;
  readonly tile: LossTile;
  private readonly owned: GPUBuffer[] = [];

  /** Works on the rows and logits of `head`, whose rows are a pass's outputs in their order. */
  constructor(
    private readonly gpu: Gpu,
    weights: DecoderWeights,
    kernels: ForwardKernels,
    private readonly submitter: Submitter,
    private readonly head: HeadStage,
    { hasTeacher, makeLoss }: LossOptions,
  ) {
    const storage = (label: string, floats: number) => {
      const buffer = gpu.storage(`loss ${label}`, floats * 4);
      this.owned.push(buffer);
      return buffer;
    };
    const { capacity, span, logits } = head;
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
  }

  /** Makes the next rows from `start` the tile's; returns how many fit. */
  load(rows: LossRows, start: number): number {
    const count = this.loss.load(rows, start, this.tile.capacity);
    this.head.choose(Uint32Array.from({ length: count }, (_, row) => start + row));
    this.gpu.write(this.tile.coef, rows.coef.subarray(start, start + count));
    return count;
  }

  /** From the residual stream to the losses of the rows last loaded, and the logits' gradients. */
  ops(warmUp: boolean): readonly Op[] {
    return [...this.head.ops, ...this.loss.ops(warmUp)];
  }

  /** The loss of each of `rows`, not weighted. */
  async losses(rows: LossRows): Promise<Float32Array> {
    const losses = new Float32Array(rows.count);
    for (let start = 0; start < rows.count;) {
      const count = this.load(rows, start);
      this.submitter.run(this.ops(false), 'losses');
      losses.set(await this.gpu.readFloats(this.tile.rowLoss, count), start);
      start += count;
    }
    return losses;
  }

  release(): void {
    this.loss.release();
    this.gpu.release(...this.owned);
  }
}
