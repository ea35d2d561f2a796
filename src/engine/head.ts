/**
 * From the residual stream to logits: chosen rows, final norm, LM head. Logits are wide, so they are
 * made for at most `capacity` rows at a time.
 */
import { type Gpu, type Op, Span } from '../kernels/gpu/gpu';
import type { ForwardKernels } from './forward-kernels';
import type { DecoderWeights } from './weights';

/** The most bytes that the logits of a pass without gradients take. */
const LOGITS_BYTES = 32e6;

/** Rows of logits that fit those, and a buffer of the device. */
export function logitsRows(vocabSize: number, wanted: number, bindingBytes: number): number {
  const bytes = Math.min(LOGITS_BYTES, bindingBytes);
  return Math.max(1, Math.min(wanted, Math.floor(bytes / (vocabSize * 4))));
}

export class HeadStage {
  /** Row of the residual stream that each logits row is made from, u32 [capacity]. */
  readonly index: GPUBuffer;
  /** The chosen rows of the residual stream, [capacity, dim]. */
  readonly chosen: GPUBuffer;
  /** After the final norm, [capacity, dim]. */
  readonly hidden: GPUBuffer;
  /** [capacity, vocabSize]. */
  readonly logits: GPUBuffer;
  /** A copy of the capped logits, which their backward pass needs; null where nothing caps them. */
  readonly capped: GPUBuffer | null;
  readonly span: Span;
  readonly ops: Op[];

  private readonly ownsLogits: boolean;
  private chosenRows = 0;

  constructor(
    private readonly gpu: Gpu,
    weights: DecoderWeights,
    kernels: ForwardKernels,
    residual: GPUBuffer,
    readonly capacity: number,
    label: string,
    /** `logits`: a buffer for them that others use as well, at other times; `few`: for few rows too. */
    options: { keepCapped?: boolean; logits?: GPUBuffer; few?: boolean } = {},
  ) {
    const { dim, vocabSize } = weights.config;
    this.index = gpu.storage(`${label} index`, capacity * 4);
    this.chosen = gpu.storage(`${label} chosen`, capacity * dim * 4);
    this.hidden = gpu.storage(`${label} hidden`, capacity * dim * 4);
    this.logits = options.logits ?? gpu.storage(`${label} logits`, capacity * vocabSize * 4);
    this.ownsLogits = options.logits === undefined;
    this.span = new Span(gpu, label);
    this.capped =
      kernels.logitCap && options.keepCapped
        ? gpu.storage(`${label} capped logits`, capacity * vocabSize * 4)
        : null;
    const { index, chosen, hidden, logits, span } = this;
    this.ops = [
      kernels.rows.bindGather({ x: residual, y: chosen, index, span }),
      kernels.norm.bind({ x: chosen, weight: weights.finalNorm, y: hidden, span }),
      ...weights.head.bindForward({
        ...{ x: hidden, y: logits, span },
        ...(options.few && { rowsNow: () => this.chosenRows }),
      }),
      ...(kernels.logitCap
        ? [kernels.logitCap.bind({ y: logits, kept: this.capped ?? undefined, span })]
        : []),
    ];
  }

  /** Chooses the rows of the next run. */
  choose(rows: Uint32Array): void {
    if (rows.length > this.capacity) {
      throw new RangeError(`${rows.length} logits rows do not fit ${this.capacity}.`);
    }
    this.chosenRows = rows.length;
    this.gpu.write(this.index, rows);
    this.span.set(0, rows.length);
  }

  release(): void {
    this.gpu.release(this.index, this.chosen, this.hidden);
    if (this.ownsLogits) this.gpu.release(this.logits);
    if (this.capped) this.gpu.release(this.capped);
    this.span.release();
  }
}
