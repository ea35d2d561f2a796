/** Losses on given tokens: likelihood, TaiLr, PPO. There is no teacher. */
import type { Gpu, Op } from '../kernels/gpu/gpu';
import type { TokenLossKernel } from '../kernels/loss/token-loss';
import type { LossRows } from './loss-rows';
import { type Loss, type LossTile, withWarmUp } from './loss-head';

export class TokenLoss implements Loss {
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

  /** @throws RangeError on rows of divergences */
  load(rows: LossRows, start: number, room: number): number {
    if (rows.family !== 'token') throw new RangeError('This loss reads tokens.');
    const end = Math.min(rows.count, start + room);
    this.gpu.write(this.token, rows.token.subarray(start, end));
    this.gpu.write(this.advantage, rows.advantage.subarray(start, end));
    this.gpu.write(this.oldLogProb, rows.oldLogProb.subarray(start, end));
    return end - start;
  }

  ops(warmUp: boolean): readonly Op[] {
    return [warmUp ? withWarmUp(this.warm) : this.main];
  }

  release(): void {
    this.gpu.release(this.token, this.advantage, this.oldLogProb);
  }
}
