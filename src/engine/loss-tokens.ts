/** Losses on given tokens: likelihood, TaiLr, PPO. There is no teacher. */
import type { Gpu, Op } from '../kernels/gpu/gpu';
import type { TokenLossKernel } from '../kernels/loss/token-loss';
import type { LossTile, PassRows } from './loss-stage';
import type { PackedBatch } from './pack';
import { tokenRows } from './token-rows';
import type { TokenExample } from './types';

export class TokenLoss {
  readonly family = 'token';
  private readonly token: GPUBuffer;
  private readonly advantage: GPUBuffer;
  private readonly oldLogProb: GPUBuffer;
  private readonly main: Op;
  private readonly warm: Op | null;

  constructor(
    private readonly gpu: Gpu,
    kernels: { main: TokenLossKernel; warmUp: TokenLossKernel | null },
    tile: LossTile,
  ) {
    const storage = (label: string) => gpu.storage(`loss ${label}`, tile.capacity * 4);
    this.token = storage('tokens');
    this.advantage = storage('advantages');
    this.oldLogProb = storage('old log-probabilities');
    const { logits: studentLogits, coef, rowLoss, span } = tile;
    const { token, advantage, oldLogProb } = this;
    const args = { studentLogits, token, coef, advantage, oldLogProb, rowLoss, span };
    this.main = kernels.main.bind(args);
    this.warm = kernels.warmUp?.bind(args) ?? null;
  }

  /** @throws RangeError: see `tokenRows`, which wants `packed` unshared; and without a warm-up. */
  rows(packed: PackedBatch, examples: readonly TokenExample[], warmUp: boolean): PassRows {
    const rows = tokenRows(packed, examples);
    const loss = warmUp ? this.warm : this.main;
    if (!loss) throw new RangeError('This trainer was made without a warm-up.');
    return {
      count: rows.count,
      coef: rows.coef,
      load: (start, room) => {
        const end = Math.min(rows.count, start + room);
        this.gpu.write(this.token, rows.token.subarray(start, end));
        this.gpu.write(this.advantage, rows.advantage.subarray(start, end));
        this.gpu.write(this.oldLogProb, rows.oldLogProb.subarray(start, end));
        return end - start;
      },
      ops: () => [loss],
    };
  }

  release(): void {
    this.gpu.release(this.token, this.advantage, this.oldLogProb);
  }
}
