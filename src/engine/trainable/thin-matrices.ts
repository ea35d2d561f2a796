/**
 * The values of an adapter inside the model: thin matrices in one buffer, as `adapterLayout` lays
 * them out, their gradients in a second one, and the rows in between that products with them need.
 */
import type { BufferPart, Gpu } from '../../kernels/gpu/gpu';
import { createLowRank, type LowRankKernel } from '../../kernels/linear/low-rank';
import type { LayerWeights } from '../weights';
import { type AdapterLayout, type AdapterSlice, SLICE_FLOATS } from './shape';

/** The layers of a model with an adapter inside. */
export interface Inside {
  matrices: ThinMatrices;
  layers: LayerWeights[];
  /** Off, the next submits are passes of the frozen model. */
  enable(on: boolean): void;
}

export class ThinMatrices {
  /** f32 [layout.length]. */
  readonly values: GPUBuffer;
  /** [layout.length], written by the last backward pass; null in inference. */
  readonly gradient: GPUBuffer | null;
  private readonly scratch = new Map<string, GPUBuffer>();

  private constructor(
    private readonly gpu: Gpu,
    readonly layout: AdapterLayout,
    private readonly rank: number,
    private readonly kernels: ReadonlyMap<number, LowRankKernel>,
    training: boolean,
  ) {
    this.values = gpu.storage('adapter values', layout.length * 4);
    this.gradient = training ? gpu.storage('adapter gradient', layout.length * 4) : null;
  }

  /** `rank`: rows of every matrix; `scale`: factor of `bindDown`. */
  static async create(
    gpu: Gpu,
    layout: AdapterLayout,
    { rank, scale, training }: { rank: number; scale: number; training: boolean },
  ): Promise<ThinMatrices> {
    const widths = [...new Set(layout.slices.map(({ width }) => width))];
    const kernels = await Promise.all(
      widths.map(
        async (width) => [width, await createLowRank(gpu, { rank, width, scale })] as const,
      ),
    );
    return new ThinMatrices(gpu, layout, rank, new Map(kernels), training);
  }

  /** Products with matrices of this width. */
  kernel(width: number): LowRankKernel {
    return this.kernels.get(width)!;
  }

  setScale(scale: number): void {
    for (const kernel of this.kernels.values()) kernel.setScale(scale);
  }

  /** @throws RangeError on another length than `layout.length`. */
  write(values: Float32Array): void {
    const { length } = this.layout;
    if (values.length !== length) {
      throw new RangeError(`This adapter has ${length} values, not ${values.length}.`);
    }
    this.gpu.write(this.values, values);
  }

  valuesOf(slice: AdapterSlice): BufferPart {
    return partOf(this.values, slice);
  }

  /** @throws RangeError where it was not made for training. */
  gradientOf(slice: AdapterSlice): BufferPart {
    if (!this.gradient) throw new RangeError('This adapter was not made for training.');
    return partOf(this.gradient, slice);
  }

  /**
   * [rows, rank] for as many rows as `like` has at `width` a row. One buffer serves all layers: what
   * is written to it is read by the next operations and then done with. `made` is told of a new one.
   */
  rows(
    name: string,
    like: GPUBuffer,
    width: number,
    made?: (buffer: GPUBuffer) => void,
  ): GPUBuffer {
    const rows = Math.floor(like.size / (4 * width));
    const key = `${name} ${rows}`;
    let buffer = this.scratch.get(key);
    if (!buffer) {
      buffer = this.gpu.storage(`adapter ${key}`, rows * this.rank * 4);
      this.scratch.set(key, buffer);
      made?.(buffer);
    }
    return buffer;
  }

  release(): void {
    for (const kernel of this.kernels.values()) kernel.release();
    this.gpu.release(this.values, this.gradient ?? undefined, ...this.scratch.values());
  }
}

function partOf(buffer: GPUBuffer, { offset, rows, width }: AdapterSlice): BufferPart {
  return { buffer, offset: offset * 4, size: Math.ceil((rows * width) / SLICE_FLOATS) * 256 };
}
