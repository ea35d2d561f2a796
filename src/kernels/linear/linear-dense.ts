/** Linear layer with frozen f32 or f16 weights: forward and the gradient of its input. */
import type { Gpu, Op, Span } from '../gpu/gpu';
import fill from './linear-dense.fill.wgsl?raw';
import source from './linear-dense.wgsl?raw';
import {
  chooseTile,
  type ColumnSlice,
  LINEAR_VARIANTS,
  Product,
  requireMultiple,
  type LinearTuning,
  type LinearVariant,
  type SoftwareTile,
  type Tile,
} from './linear.tile';

/** How the weight lies in memory: rows of outputs [N, K], or rows of inputs [K, N]. */
export type DenseLayout = 'out_in' | 'in_out';

/** 32 rows would be a fifth faster on a software adapter, and take three times as long to compile. */
const WIDE_TILE: SoftwareTile = {
  quads: { rows: 16, columns: 8 },
  alone: { rows: 8, columns: 8 },
};

export interface LinearDenseShape {
  /** K. */
  inFeatures: number;
  /** N. */
  outFeatures: number;
  /** The outputs are columns of wider rows [rows, slice.of]: a part of a layer that was split. */
  slice?: ColumnSlice;
  layout: DenseLayout;
  /**
   * How the weight is stored; f16 in little-endian pairs, its inner dimension a multiple of 4. Needs no
   * `shader-f16`: values are unpacked to f32. Default f32.
   */
  stored?: 'f32' | 'f16';
  /** The forward adds a bias [N]. Default false. */
  bias?: boolean;
  /** Pipelines to make; default all four. */
  variants?: readonly LinearVariant[];
  /** Default: what the adapter is. */
  tuning?: LinearTuning;
  /** Instead of the tile that `tuning` stands for; autotuning and benchmarks choose it. */
  tile?: Tile;
}

export interface DenseWeight {
  /** [N, K] or [K, N], as `layout` says. */
  data: GPUBuffer;
  /** f32 [N]. */
  bias?: GPUBuffer;
}

export interface LinearDenseForward {
  /** [rows, K] */
  x: GPUBuffer;
  weight: DenseWeight;
  /** [rows, N], added to the product; another buffer than `y`. */
  residual?: GPUBuffer;
  /** [rows, N], overwritten on the span. */
  y: GPUBuffer;
  span: Span;
}

export interface LinearDenseBackward {
  /** [rows, N] */
  dy: GPUBuffer;
  weight: DenseWeight;
  /** [rows, K] */
  dx: GPUBuffer;
  /** Add to what `dx` holds instead of overwriting it. */
  accumulate: boolean;
  span: Span;
}

export interface LinearDenseKernel {
  readonly shape: Readonly<LinearDenseShape>;
  /** y = x · Wᵀ (+ bias) (+ residual) on the rows of the span. */
  bindForward(args: LinearDenseForward): Op;
  /** dx (+)= dy · W on the rows of the span. */
  bindBackward(args: LinearDenseBackward): Op;
  /** The same; a long reduction is shared out through `spare`, which nothing else needs meanwhile. */
  bindBackwardParts(args: LinearDenseBackward, spare: GPUBuffer): Op[];
  release(): void;
}

/**
 * Makes the pipelines of `shape.variants`. Layers of different sizes share compiled pipelines.
 * @throws RangeError on sizes that are no positive integers, or f16 rows of no whole vec4.
 */
export async function createLinearDense(
  gpu: Gpu,
  shape: LinearDenseShape,
): Promise<LinearDenseKernel> {
  const { inFeatures, outFeatures, layout, bias = false } = shape;
  requireMultiple('inFeatures', inFeatures, 1);
  requireMultiple('outFeatures', outFeatures, 1);
  const half = shape.stored === 'f16';
  if (half)
    requireMultiple('the inner dimension', layout === 'out_in' ? inFeatures : outFeatures, 4);

  const make = async (variant: LinearVariant): Promise<readonly [LinearVariant, Product]> => {
    const backward = variant.startsWith('backward');
    const size = backward
      ? { depth: outFeatures, width: inFeatures, xSlice: shape.slice }
      : { depth: inFeatures, width: outFeatures, ySlice: shape.slice };
    const across = backward === (layout === 'out_in');
    const flags = {
      ACROSS: across,
      PACKED: (across ? size.width : size.depth) % 4 === 0,
      HALF: half,
      BIAS: bias && !backward,
      BACKWARD: backward,
      RESIDUAL: variant === 'forward-residual',
    };
    const product = await Product.create(gpu, {
      label: `linear-dense ${variant} ${layout} ${inFeatures}x${outFeatures}`,
      source,
      fill,
      fetched: 4,
      shape: size,
      tile: shape.tile ?? chooseTile(gpu, size, WIDE_TILE, shape.tuning),
      accumulate: variant === 'backward-accumulate',
      bindings: { BIAS_BINDING: 5, RESIDUAL_BINDING: 5 + Number(flags.BIAS) },
      flags,
    });
    return [variant, product];
  };
  const products = new Map(await Promise.all((shape.variants ?? LINEAR_VARIANTS).map(make)));

  function product(variant: LinearVariant): Product {
    const found = products.get(variant);
    if (!found) throw new RangeError(`This linear layer was made without its ${variant} variant.`);
    return found;
  }

  const backward = ({ dy, weight, dx, accumulate, span }: LinearDenseBackward) => ({
    product: product(accumulate ? 'backward-accumulate' : 'backward'),
    operands: { x: dy, y: dx, rest: [weight.data], span },
  });

  return {
    shape,
    bindForward({ x, weight, residual, y, span }) {
      if (Boolean(weight.bias) !== bias) {
        throw new RangeError('The weight and the layer disagree about a bias.');
      }
      const rest = [weight.data];
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
