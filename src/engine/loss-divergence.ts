/**
 * Divergences from the target's whole next-token distribution. The teacher's logits are made here,
 * from its cached hidden states, for the rows of a tile; a tile whose targets are all sparse needs
 * none.
 */
import type { DivergenceKernel } from '../kernels/loss/divergence';
import type { Gpu, Op } from '../kernels/gpu/gpu';
import type { ForwardKernels } from './forward-kernels';
import type { DivergenceRows, LossRows } from './loss-rows';
import { type Loss, type LossTile, withWarmUp } from './loss-head';
import { RHO_PER_ROW } from './plan';
import type { DecoderWeights } from './weights';

export class DivergenceLoss implements Loss {
  readonly family = 'divergence';
  private readonly posterior: GPUBuffer;
  private readonly rhoStart: GPUBuffer;
  private readonly rhoToken: GPUBuffer;
  private readonly rhoProb: GPUBuffer;
  private readonly teacherLogits: GPUBuffer;
  private readonly teacherOps: Op[];
  private readonly main: Op;
  private readonly warm: Op | null;
  /** Whether any of the rows last loaded reads the teacher. */
  private taught = true;

  constructor(
    private readonly gpu: Gpu,
    private readonly weights: DecoderWeights,
    { logitCap }: Pick<ForwardKernels, 'logitCap'>,
    kernels: { main: DivergenceKernel; warmUp: DivergenceKernel | null },
    private readonly tile: LossTile,
  ) {
    const { capacity, span } = tile;
    const storage = (label: string, count: number) => gpu.storage(`loss ${label}`, count * 4);
    if (!tile.teacherLogits) throw new RangeError('A divergence needs a tile with a teacher.');
    this.teacherLogits = tile.teacherLogits;
    this.posterior = storage('refusal posterior', capacity);
    this.rhoStart = storage('rho start', capacity + 1);
    this.rhoToken = storage('rho tokens', capacity * RHO_PER_ROW);
    this.rhoProb = storage('rho probabilities', capacity * RHO_PER_ROW);
    const { teacherLogits, rhoStart, rhoToken, rhoProb } = this;
    this.teacherOps = [
      ...weights.head.bindForward({ x: tile.spare, y: teacherLogits, span }),
      ...(logitCap ? [logitCap.bind({ y: teacherLogits, span })] : []),
    ];
    const { logits: studentLogits, coef, rowLoss } = tile;
    const target = { teacherLogits, w: this.posterior, rhoStart, rhoToken, rhoProb };
    const args = { studentLogits, ...target, coef, rowLoss, span };
    this.main = kernels.main.bind(args);
    this.warm = kernels.warmUp?.bind(args) ?? null;
  }

  /** @throws RangeError on rows of token losses, and where one row's sparse entries do not fit */
  load(rows: LossRows, start: number, room: number): number {
    if (rows.family !== 'divergence') throw new RangeError('This loss reads distributions.');
    const end = this.lastOf(rows, start, room);
    this.taught = this.write(rows, start, end);
    return end - start;
  }

  ops(warmUp: boolean): readonly Op[] {
    const loss = warmUp ? withWarmUp(this.warm) : this.main;
    return this.taught ? [...this.teacherOps, loss] : [loss];
  }

  release(): void {
    const { posterior, rhoStart, rhoToken, rhoProb } = this;
    this.gpu.release(posterior, rhoStart, rhoToken, rhoProb);
  }

  /** End of the rows from `start` on that fit together with their sparse entries. */
  private lastOf({ count, rhoStart }: DivergenceRows, start: number, room: number): number {
    const most = this.rhoToken.size / 4;
    const entriesUpTo = (end: number) => rhoStart[end]! - rhoStart[start]!;
    let end = Math.min(count, start + room);
    while (end > start && entriesUpTo(end) > most) end--;
    if (end > start) return end;
    throw new RangeError(
      `${entriesUpTo(start + 1)} sparse target entries of one position do not fit ${most}.`,
    );
  }

  /** Says whether any of the rows reads the teacher. */
  private write(rows: DivergenceRows, start: number, end: number): boolean {
    const { dim, vocabSize } = this.weights.config;
    const { gpu } = this;
    const [first, last] = [rows.rhoStart[start]!, rows.rhoStart[end]!];
    gpu.write(this.posterior, rows.posterior.subarray(start, end));
    gpu.write(
      this.rhoStart,
      rows.rhoStart.subarray(start, end + 1).map((at) => at - first),
    );
    gpu.write(this.rhoToken, rows.rhoToken.subarray(first, last));
    gpu.write(this.rhoProb, rows.rhoProb.subarray(first, last));
    const taught = rows.taught.subarray(start, end).some(Boolean);
    if (taught) gpu.write(this.tile.spare, rows.hidden.subarray(start * dim, end * dim));
    // What lies there is the last tile's scratch; the kernel gives these logits no weight.
    else gpu.clear(this.teacherLogits, (end - start) * vocabSize * 4);
    return taught;
  }
}
