/**
 * A divergence of the model from a target at each position of given paths, over the whole vocabulary.
 * Forward only: no gradients, no optimiser, nothing kept for a backward pass.
 */
import type { Gpu } from '../kernels/gpu/gpu';
import { CancelledError } from './errors';
import type { ForwardPass } from './forward';
import type { ForwardKernels } from './forward-kernels';
import type { HeadStage } from './head';
import { LossHead, type LossMaker } from './loss-head';
import { packPasses } from './passes';
import type { DivergenceBatch } from './types';
import type { DecoderWeights } from './weights';
import type { Submitter } from './work';

export class DivergenceMeter {
  private readonly losses: LossHead;

  /** Works on the rows that `pass` chooses and the logits of `head`, which may serve others too. */
  constructor(
    private readonly gpu: Gpu,
    private readonly weights: DecoderWeights,
    kernels: ForwardKernels,
    private readonly submitter: Submitter,
    private readonly pass: ForwardPass,
    head: HeadStage,
    makeLoss: LossMaker,
  ) {
    const options = { hasTeacher: true, makeLoss };
    this.losses = new LossHead(gpu, weights, kernels, submitter, head, options);
  }

  /**
   * [examples][paths][T], behind `softPrompt` where there is one.
   * @throws SequenceTooLongError, RangeError where an example alone does not fit a pass
   * @throws TargetMismatchError, RangeError: see `lossRows`; CancelledError
   */
  async along(
    batch: DivergenceBatch,
    softPrompt?: Float32Array,
    signal?: AbortSignal,
  ): Promise<Float32Array[][]> {
    const { gpu, pass } = this;
    const { config, positions: room } = this.weights;
    const prefix = (softPrompt?.length ?? 0) / config.dim;
    const positions = Math.min(room, config.maxPositions);
    const limits = { prefix, rows: pass.capacity, positions, dim: config.dim };
    const result: Float32Array[][] = [];
    for (const { packed, rows } of packPasses(batch, limits)) {
      if (signal?.aborted) throw new CancelledError();
      if (softPrompt) gpu.write(pass.softPrompt, softPrompt);
      pass.load(packed, packed.prefix, packed.lossRows);
      this.submitter.run(pass.ops, 'divergence forward');
      const losses = await this.losses.losses(rows);
      for (const paths of packed.loss) {
        result.push(paths.map((indices) => Float32Array.from(indices, (index) => losses[index]!)));
      }
    }
    return result;
  }

  release(): void {
    this.losses.release();
  }
}
