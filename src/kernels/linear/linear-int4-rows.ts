/**
 * Linear layer with frozen int4 weights for a few rows, forward only: what decoding asks for. The
 * tiles of linear-int4.ts would compute rows that are not there. Formula in linear-int4-rows.wgsl.
 */
import { bind, type Gpu, type Op } from '../gpu/gpu';
import lanesSource from '../rows/reduce-lanes.wgsl?raw';
import source from './linear-int4-rows.wgsl?raw';
import type { LinearInt4Forward } from './linear-int4';
import { type ColumnSlice, requireMultiple } from './linear.tile';
import { unroll } from './linear.unroll';
import { specialise } from '../gpu/wgsl';

/** How much a lane and a workgroup do. */
export interface RowsTile {
  /** Rows that a lane holds. */
  rows: number;
  /** Outputs that a lane holds, a multiple of 4. */
  columns: number;
  /** Lanes of a workgroup; a power of two, at least 4. */
  lanes: number;
  /** The lanes share the inputs of the same outputs, instead of having outputs of their own. */
  split: boolean;
}

export interface LinearInt4RowsShape {
  /** K, a multiple of 32 (the block size of the scales). */
  inFeatures: number;
  /** N. */
  outFeatures: number;
  /** The outputs are columns of wider rows [rows, slice.of]: a part of a layer that was split. */
  slice?: ColumnSlice;
  /** The weight has zero points of its own; otherwise 8 throughout. Default false. */
  zeroPoints?: boolean;
  /** A bias [N] is added. Default false. */
  bias?: boolean;
  /** A residual [rows, N] is added. Default false. */
  residual?: boolean;
  /** Default: {@link rowsTile} for one row. */
  tile?: RowsTile;
}

export interface LinearInt4RowsKernel {
  /** y = x · Wᵀ (+ bias) (+ residual) on the rows of the span. */
  bind(args: LinearInt4Forward): Op;
  release(): void;
}

/**
 * The tile for up to `rows` rows. A software adapter works through one lane after another and needs
 * no neighbouring reads; a graphics card does, and has registers for fewer sums.
 */
export function rowsTile(gpu: Gpu, rows: number): RowsTile {
  const held = rows <= 1 ? 1 : 4;
  return gpu.description.isFallbackAdapter
    ? { rows: held, columns: held === 1 ? 8 : 4, lanes: 4, split: false }
    : { rows: held, columns: 4, lanes: 32, split: true };
}

/** The WGSL that `createLinearInt4Rows` compiles. */
export function linearInt4RowsCode(gpu: Gpu, shape: LinearInt4RowsShape): string {
  const { zeroPoints = false, bias = false, residual = false, tile = rowsTile(gpu, 1) } = shape;
  const sizes = { ROWS: tile.rows, COLUMNS: tile.columns, GROUPS: tile.columns / 4 };
  const biasBinding = 6 + Number(zeroPoints);
  const code = specialise(
    source.replace(/^\/\/#include lanes$/m, () => lanesSource),
    {
      ...sizes,
      LANES: tile.lanes,
      ZERO_POINTS_BINDING: 6,
      BIAS_BINDING: biasBinding,
      RESIDUAL_BINDING: biasBinding + Number(bias),
    },
    {
      SPLIT: tile.split,
      SUBGROUPS: gpu.subgroups,
      ONE_SUBGROUP: tile.lanes === 4,
      ZERO_POINTS: zeroPoints,
      BIAS: bias,
      RESIDUAL: residual,
    },
  );
  return unroll(code, sizes);
}

/**
 * Layers of different sizes share compiled pipelines.
 * @throws RangeError on sizes that the layout cannot hold.
 */
export async function createLinearInt4Rows(
  gpu: Gpu,
  shape: LinearInt4RowsShape,
): Promise<LinearInt4RowsKernel> {
  const { inFeatures, outFeatures, zeroPoints = false, bias = false, residual = false } = shape;
  const { slice = { first: 0, of: outFeatures }, tile = rowsTile(gpu, 1) } = shape;
  requireMultiple('inFeatures', inFeatures, 32);
  requireMultiple('outFeatures', outFeatures, 1);
  requireMultiple('columns', tile.columns, 4);
  requireMultiple('rows', tile.rows, 1);
  const label = `linear-int4 rows ${inFeatures}x${outFeatures}`;
  const pipeline = await gpu.pipeline(label, linearInt4RowsCode(gpu, shape));
  const uniform = gpu.uniform(`${label} shape`, 16);
  gpu.write(uniform, new Uint32Array([inFeatures, outFeatures, slice.of, slice.first]));
  const across = Math.ceil(outFeatures / (tile.columns * (tile.split ? 1 : tile.lanes)));
  return {
    bind({ x, weight, residual: added, y, span }) {
      if (Boolean(weight.zeroPoints) !== zeroPoints) {
        throw new RangeError('The weight and the layer disagree about zero points.');
      }
      if (Boolean(weight.bias) !== bias || Boolean(added) !== residual) {
        throw new RangeError('The arguments and the layer disagree about a bias or a residual.');
      }
      const buffers = [span.buffer, uniform, x, y, weight.data, weight.scales];
      for (const buffer of [weight.zeroPoints, weight.bias, added])
        if (buffer) buffers.push(buffer);
      return bind(gpu, label, pipeline, buffers, () => [
        across,
        Math.ceil(span.rows / tile.rows),
        1,
      ]);
    },
    release: () => gpu.release(uniform),
  };
}
