/**
 * From the residual stream to the loss and back: losses of the loss rows (loss-head.ts), then the
 * gradient of the residual stream, a tile of rows at a time.
 */
import type { Gpu, Op } from '../kernels/gpu/gpu';
import type { BackwardPass } from './backward';
import type { ForwardPass } from './forward';
import type { ForwardKernels } from './forward-kernels';
import { HeadStage } from './head';
import { LossHead, type LossOptions } from './loss-head';
import type { LossRows } from './loss-rows';
import type { MemoryPlan } from './plan';
import type { DecoderWeights } from './weights';
import type { Submitter } from './work';

export class LossStage {
  readonly head: HeadStage;
  /** Loss and weight of each loss row of the whole batch, [lossRows]. */
  readonly allLoss: GPUBuffer;
  readonly allCoef: GPUBuffer;

  private readonly losses: LossHead;
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
    options: LossOptions,
  ) {
    const head = new HeadStage(gpu, weights, kernels, forward.output, capacity, 'train head', {
      keepCapped: true,
    });
    this.head = head;
    this.allLoss = gpu.storage('loss all row losses', lossRows * 4);
    this.allCoef = gpu.storage('loss all coefficients', lossRows * 4);
    this.losses = new LossHead(gpu, weights, kernels, submitter, head, options);
    const { spare, teacherLogits } = this.losses.tile;
    const { span, capped, logits } = head;
    // What the logits were made from is done with: the gradients go there.
    const dHidden = head.hidden;
    const dChosen = spare;
    const norm = { x: head.chosen, weight: weights.finalNorm, dy: dHidden, dx: dChosen };
    const { logitCap } = kernels;
    this.backOps = [
      ...(logitCap && capped ? [logitCap.bindBackward({ dy: logits, kept: capped, span })] : []),
      ...weights.head.bindBackward({
        ...{ dy: logits, dx: dHidden, accumulate: false, span },
        spare: teacherLogits ?? undefined,
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
      const count = this.losses.load(rows, start);
      this.submitter.run([...this.losses.ops(warmUp), ...this.backOps], 'loss');
      this.gpu.copy(this.losses.tile.rowLoss, this.allLoss, count * 4, (first + start) * 4);
      start += count;
    }
    this.gpu.write(this.allCoef, rows.coef, first * 4);
  }

  release(): void {
    this.losses.release();
    this.head.release();
    this.gpu.release(this.allLoss, this.allCoef);
  }
}
