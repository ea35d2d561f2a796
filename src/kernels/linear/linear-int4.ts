/** Linear layer with frozen int4 weights: forward and the gradient of its input. */
import type { Gpu, Op, Span } from '../gpu/gpu';
import fill from './linear-int4.fill.wgsl?raw';
import source from './linear-int4.wgsl?raw';
import {
  chooseTile,
  type ColumnSlice,
  LINEAR_VARIANTS,
  Product,
  type ProductOptions,
  requireMultiple,
  type LinearTuning,
  type LinearVariant,
  type SoftwareTile,
  type Tile,
} from './linear.tile';

/**
 * On a software adapter a step of a row of x, shared by a quad, costs a quarter of a load, and four
 * times that where nothing is shared; a step of a column, with its scale, costs less than a fifth.
 */
const WIDE_TILE: SoftwareTile = {
  quads: { rows: 16, columns: 16 },
  alone: { rows: 4, columns: 16 },
};

export interface LinearInt4Shape {
  /** K, a multiple of 32 (the block size of the scales). */
  inFeatures: number;
  /** N. */
  outFeatures: number;
  /** The outputs are columns of wider rows [rows, slice.of]: a part of a layer that was split. */
  slice?: ColumnSlice;
  /** The weight has zero points of its own; otherwise 8 throughout. Default false. */
  zeroPoints?: boolean;
  /** The forward adds a bias [N]. Default false. */
  bias?: boolean;
  /** Pipelines to make; default all four. */
  variants?: readonly LinearVariant[];
  /** Default: what the adapter is. */
  tuning?: LinearTuning;
  /** Instead of the tile that `tuning` stands for; autotuning and benchmarks choose it. */
  tile?: Tile;
}

export interface Int4Weight {
  /** u32 [N, K/8]: nibble i of word j of row n is input 8j + i of output n. */
  data: GPUBuffer;
  /** f32 [N, K/32]. */
  scales: GPUBuffer;
  /** u8 [N, ceil(K/32/2)], even block in the low nibble; the buffer is padded to words. */
  zeroPoints?: GPUBuffer;
  /** f32 [N]. */
  bias?: GPUBuffer;
}

export interface LinearInt4Forward {
  /** [rows, K] */
  x: GPUBuffer;
  weight: Int4Weight;
  /** [rows, N], added to the product; another buffer than `y`. */
  residual?: GPUBuffer;
  /** [rows, N], overwritten on the span. */
  y: GPUBuffer;
  span: Span;
}

export interface LinearInt4Backward {
  /** [rows, N] */
  dy: GPUBuffer;
  weight: Int4Weight;
  /** [rows, K] */
  dx: GPUBuffer;
  /** Add to what `dx` holds instead of overwriting it. */
  accumulate: boolean;
  span: Span;
}

export interface LinearInt4Kernel {
  readonly shape: Readonly<LinearInt4Shape>;
  /** y = x · Wᵀ (+ bias) (+ residual) on the rows of the span. */
  bindForward(args: LinearInt4Forward): Op;
  /** dx (+)= dy · W on the rows of the span. */
  bindBackward(args: LinearInt4Backward): Op;
  /** The same; a long reduction is shared out through `spare`, which nothing else needs meanwhile. */
  bindBackwardParts(args: LinearInt4Backward, spare: GPUBuffer): Op[];
  release(): void;
}

/** What one variant is to {@link Product}. */
function productOf(gpu: Gpu, shape: LinearInt4Shape, variant: LinearVariant): ProductOptions {
  const { inFeatures, outFeatures, zeroPoints = false, bias = false } = shape;
  const backward = variant.startsWith('backward');
  const size = backward
    ? { depth: outFeatures, width: inFeatures, xSlice: shape.slice }
    : { depth: inFeatures, width: outFeatures, ySlice: shape.slice };
  const flags = {
    BACKWARD: backward,
    ZERO_POINTS: zeroPoints,
    BIAS: bias && !backward,
    RESIDUAL: variant === 'forward-residual',
  };
  const biasBinding = 6 + Number(flags.ZERO_POINTS);
  return {
    label: `linear-int4 ${variant} ${inFeatures}x${outFeatures}`,
    source,
    fill,
    fetched: 8,
    shape: size,
    tile: shape.tile ?? chooseTile(gpu, size, WIDE_TILE, shape.tuning),
    accumulate: variant === 'backward-accumulate',
    bindings: {
      ZERO_POINTS_BINDING: 6,
      BIAS_BINDING: biasBinding,
      RESIDUAL_BINDING: biasBinding + Number(flags.BIAS),
    },
    flags,
  };
}

/** The WGSL of one variant, as `createLinearInt4` compiles it. */
export function linearInt4Code(gpu: Gpu, shape: LinearInt4Shape, variant: LinearVariant): string {
  return Product.code(productOf(gpu, shape, variant));
}

/**
 * Makes the pipelines of `shape.variants`. Layers of different sizes share compiled pipelines.
 * @throws RangeError on sizes that the layout cannot hold.
 */
export async function createLinearInt4(
  gpu: Gpu,
  shape: LinearInt4Shape,
): Promise<LinearInt4Kernel> {
  const { inFeatures, outFeatures, zeroPoints = false, bias = false } = shape;
  requireMultiple('inFeatures', inFeatures, 32);
  requireMultiple('outFeatures', outFeatures, 1);

  const make = async (variant: LinearVariant): Promise<readonly [LinearVariant, Product]> => [
    variant,
    await Product.create(gpu, productOf(gpu, shape, variant)),
  ];
  const products = new Map(await Promise.all((shape.variants ?? LINEAR_VARIANTS).map(make)));

  function product(variant: LinearVariant): Product {
    const found = products.get(variant);
    if (!found) throw new RangeError(`This linear layer was made without its ${variant} variant.`);
    return found;
  }
  function weightBuffers(weight: Int4Weight): GPUBuffer[] {
    if (Boolean(weight.zeroPoints) !== zeroPoints) {
      throw new RangeError('The weight and the layer disagree about zero points.');
    }
    return [weight.data, weight.scales, ...(weight.zeroPoints ? [weight.zeroPoints] : [])];
  }

  const backward = ({ dy, weight, dx, accumulate, span }: LinearInt4Backward) => ({
    product: product(accumulate ? 'backward-accumulate' : 'backward'),
    operands: { x: dy, y: dx, rest: weightBuffers(weight), span },
  });

  return {
    shape,
    bindForward({ x, weight, residual, y, span }) {
      if (Boolean(weight.bias) !== bias) {
        throw new RangeError('The weight and the layer disagree about a bias.');
      }
      const rest = weightBuffers(weight);
      if (weight.bias) rest.push(weight.bias);
      if (residual) rest.push(residual);
      return product(residual ? 'forward-residual' : 'forward').bind({ x, y, rest, span });
    },
    bindBackward(args) {
      const { product, operands } = backward(args);
      return product.bind(operands);
    },
    bindBackwardParts(args, spare) {
      const { product, operands } = backward(args);
      return product.bindParts(operands, spare);
    },
    release() {
      for (const made of products.values()) made.release();
    },
  };
}
