/**
 * A soft prompt: rows in front of the text. Its gradient is what the backward pass leaves on these
 * rows of the residual stream.
 */
import { type Gpu, Span } from '../../kernels/gpu/gpu';
import { createFakeQuant, type FakeQuantKernel } from '../../kernels/rows/fake-quant';
import type { BackwardPass } from '../backward';
import type { ForwardPass } from '../forward';
import type { DecoderWeights } from '../weights';
import { type SoftPromptShape, trainableSize, type TrainableSize } from './shape';
import type { Entry, Trainable } from './trainable';

export class SoftPrompt implements Trainable {
  readonly size: TrainableSize;
  readonly values: GPUBuffer;
  readonly bytes: number;
  private readonly span: Span;

  private constructor(
    private readonly gpu: Gpu,
    readonly weights: DecoderWeights,
    readonly shape: SoftPromptShape,
    private readonly quant: FakeQuantKernel,
  ) {
    this.size = trainableSize(shape, weights.config);
    this.values = gpu.storage('soft prompt', this.size.length * 4);
    this.bytes = this.values.size;
    this.span = new Span(gpu, 'soft prompt');
    this.span.set(0, shape.n);
  }

  /** @throws RangeError on a length that no soft prompt can have. */
  static async create(
    gpu: Gpu,
    frozen: DecoderWeights,
    shape: SoftPromptShape,
  ): Promise<SoftPrompt> {
    const quant = await createFakeQuant(gpu, { dim: frozen.config.dim });
    return new SoftPrompt(gpu, frozen, shape, quant);
  }

  enter(pass: ForwardPass): Entry {
    const copy = { x: this.values, y: pass.softPrompt, span: this.span };
    const bind = (quantise: boolean) => [this.quant.bind({ ...copy, quantise })];
    return { plain: bind(false), quantised: bind(true) };
  }

  /** The rows in front come first. */
  gradientOf(backward: BackwardPass): GPUBuffer {
    return backward.gradient;
  }

  /** The frozen model is what passes without these rows run through anyway. */
  enable(): void {}

  release(): void {
    this.span.release();
    this.gpu.release(this.values);
  }
}
