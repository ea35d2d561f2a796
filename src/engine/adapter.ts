/**
 * LoRA and steering vectors on the GPU: their values in one buffer, and the frozen weights dressed
 * with them, so that every pass over those weights is a pass of the adapted model. Gradients go to
 * a second buffer of the same layout. Formulas in kernels/linear/low-rank.wgsl.
 */
import type { BufferPart, Gpu } from '../kernels/gpu/gpu';
import { createLowRank, type LowRankKernel } from '../kernels/linear/low-rank';
import {
  adapterLayout,
  type AdapterLayout,
  type AdapterShape,
  type AdapterSlice,
  SLICE_FLOATS,
} from './adapter-shape';
import type { DecoderWeights, LayerWeights, LinearLayer, Steering } from './weights';

export class Adapter {
  readonly layout: AdapterLayout;
  /** The frozen model with this adapter. */
  readonly weights: DecoderWeights;
  /** Values in the layout's order, [layout.length]. */
  readonly values: GPUBuffer;
  /** Gradient of the values, [layout.length]: written by the last backward pass; absent in inference. */
  readonly gradient: GPUBuffer | null;
  /** The lowest layer whose own gradients are wanted. */
  readonly lowest: number;

  private readonly kernels: ReadonlyMap<number, LowRankKernel>;
  private readonly scratch = new Map<string, GPUBuffer>();
  private on = true;

  private constructor(
    private readonly gpu: Gpu,
    frozen: DecoderWeights,
    readonly shape: AdapterShape,
    kernels: ReadonlyMap<number, LowRankKernel>,
    layout: AdapterLayout,
    training: boolean,
  ) {
    this.layout = layout;
    this.kernels = kernels;
    this.values = gpu.storage('adapter values', layout.length * 4);
    this.gradient = training ? gpu.storage('adapter gradient', layout.length * 4) : null;
    const first = layout.slices[0]!.layer;
    // A steering vector stands behind its layer, whose own inside it does not ask about.
    this.lowest = shape.kind === 'steering' ? first + 1 : 0;
    this.weights = {
      ...frozen,
      layers: frozen.layers.map((layer, index) => this.dress(layer, index)),
    };
  }

  /** @throws RangeError on a shape that this decoder cannot have. */
  static async create(
    gpu: Gpu,
    frozen: DecoderWeights,
    shape: AdapterShape,
    options: { training: boolean },
  ): Promise<Adapter> {
    const layout = adapterLayout(shape, frozen.config);
    const rank = shape.kind === 'lora' ? shape.rank : 1;
    const scale = scaleOf(shape);
    const widths = [...new Set(layout.slices.map(({ width }) => width))];
    const kernels = await Promise.all(
      widths.map(
        async (width) => [width, await createLowRank(gpu, { rank, width, scale })] as const,
      ),
    );
    return new Adapter(gpu, frozen, shape, new Map(kernels), layout, options.training);
  }

  /** @throws RangeError on another length than `layout.length`. */
  write(values: Float32Array): void {
    const { length } = this.layout;
    if (values.length !== length) {
      throw new RangeError(`This adapter has ${length} values, not ${values.length}.`);
    }
    this.gpu.write(this.values, values);
  }

  /** Off, the next submits are passes of the frozen model; its values stay. */
  enable(on: boolean): void {
    if (on === this.on) return;
    this.on = on;
    for (const kernel of this.kernels.values()) kernel.setScale(on ? scaleOf(this.shape) : 0);
    for (const [name, buffer] of this.scratch) if (name.startsWith('ones ')) this.fill(buffer);
  }

  release(): void {
    for (const kernel of this.kernels.values()) kernel.release();
    this.gpu.release(this.values, this.gradient ?? undefined, ...this.scratch.values());
  }

  private dress(layer: LayerWeights, index: number): LayerWeights {
    const own = this.layout.slices.filter((slice) => slice.layer === index);
    const vector = own.find(({ part }) => part === 'v');
    const dressed: LayerWeights = { ...layer };
    if (vector) dressed.steering = this.steering(vector);
    for (const a of own) {
      if (a.part !== 'a' || !a.target) continue;
      const b = own.find(({ part, target }) => part === 'b' && target === a.target)!;
      dressed[a.target] = this.lora(layer[a.target], a, b);
    }
    return dressed;
  }

  private steering(slice: AdapterSlice): Steering {
    const kernel = this.kernels.get(slice.width)!;
    const h = (buffer: GPUBuffer) => this.rows('ones', buffer, slice.width);
    return {
      bindAdd: ({ y, span }) => kernel.bindUp({ h: h(y), m: this.part(slice), y, span }),
      bindGradient: ({ dy, span }) =>
        kernel.bindOuter({ h: h(dy), x: dy, g: this.gradientPart(slice), span }),
    };
  }

  private lora(base: LinearLayer, a: AdapterSlice, b: AdapterSlice): LinearLayer {
    const { inFeatures, outFeatures } = base;
    const down = this.kernels.get(inFeatures)!;
    const up = this.kernels.get(outFeatures)!;
    return {
      inFeatures,
      outFeatures,
      adapted: true,
      prepare: (variants) => base.prepare(variants),
      bindForward: (args) => {
        const { x, y, span } = args;
        const h = this.rows('h', y, outFeatures);
        return [
          ...base.bindForward(args),
          down.bindDown({ x, m: this.part(a), h, span }),
          up.bindUp({ h, m: this.part(b), y, span }),
        ];
      },
      bindBackward: (args) => {
        const { dy, dx, x, span } = args;
        if (!x) throw new RangeError('The gradient of LoRA needs the input of its layer.');
        const h = this.rows('h', dx, inFeatures);
        const g = this.rows('g', dx, inFeatures);
        return [
          ...base.bindBackward(args),
          down.bindDown({ x, m: this.part(a), h, span }),
          up.bindDown({ x: dy, m: this.part(b), h: g, span }),
          down.bindOuter({ h: g, x, g: this.gradientPart(a), span }),
          up.bindOuter({ h, x: dy, g: this.gradientPart(b), span }),
          down.bindUp({ h: g, m: this.part(a), y: dx, span }),
        ];
      },
    };
  }

  private part(slice: AdapterSlice): BufferPart {
    return partOf(this.values, slice);
  }

  private gradientPart(slice: AdapterSlice): BufferPart {
    if (!this.gradient) throw new RangeError('This adapter was not made for training.');
    return partOf(this.gradient, slice);
  }

  /**
   * [rows, rank] for as many rows as `like` has at `width` a row. One buffer serves all layers: what
   * is written to it is read by the next operations and then done with.
   */
  private rows(name: 'h' | 'g' | 'ones', like: GPUBuffer, width: number): GPUBuffer {
    const rank = this.shape.kind === 'lora' ? this.shape.rank : 1;
    const rows = Math.floor(like.size / (4 * width));
    const key = `${name} ${rows}`;
    let buffer = this.scratch.get(key);
    if (!buffer) {
      buffer = this.gpu.storage(`adapter ${key}`, rows * rank * 4);
      this.scratch.set(key, buffer);
      if (name === 'ones') this.fill(buffer);
    }
    return buffer;
  }

  private fill(buffer: GPUBuffer): void {
    this.gpu.write(buffer, new Float32Array(buffer.size / 4).fill(this.on ? 1 : 0));
  }
}

function scaleOf(shape: AdapterShape): number {
  return shape.kind === 'lora' ? shape.alpha / shape.rank : 1;
}

function partOf(buffer: GPUBuffer, { offset, rows, width }: AdapterSlice): BufferPart {
  return { buffer, offset: offset * 4, size: Math.ceil((rows * width) / SLICE_FLOATS) * 256 };
}
