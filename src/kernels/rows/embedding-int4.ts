/** Embedding lookup in an int4 table, which a tied head can share. Formula in embedding-int4.wgsl. */
import source from './embedding-int4.wgsl?raw';
import { bind, spread, type Gpu, type Op, type Span } from '../gpu/gpu';
import type { Int4Weight } from '../linear/linear-int4';
import { positive } from './reduce-lanes';
import { specialise } from '../gpu/wgsl';

export interface EmbeddingInt4Shape {
  /** A multiple of 32 (the block size of the scales). */
  dim: number;
  /** Rows of the table. */
  vocabulary: number;
  /** The table is a part of a larger one: this token's row comes first, others stay unwritten. */
  first?: number;
  /** The table has zero points of its own; otherwise 8 throughout. */
  zeroPoints: boolean;
  /** Multiplies every row (default 1). */
  scale?: number;
}

export interface EmbeddingInt4Args {
  /** [vocabulary, dim] as an {@link Int4Weight} without bias. */
  table: Int4Weight;
  /** u32 [rows] */
  token: GPUBuffer;
  /** [rows, dim], written. */
  y: GPUBuffer;
  span: Span;
}

export interface EmbeddingInt4Kernel {
  bind(args: EmbeddingInt4Args): Op;
}

const GROUP = 64;

/** @throws RangeError on a size below 1 or a `dim` that is no multiple of 32. */
export async function createEmbeddingInt4(
  gpu: Gpu,
  shape: EmbeddingInt4Shape,
): Promise<EmbeddingInt4Kernel> {
  const { dim, vocabulary, first, zeroPoints, scale = 1 } = shape;
  positive('dim', dim);
  positive('vocabulary', vocabulary);
  if (dim % 32) throw new RangeError(`dim is ${dim}; it must be a multiple of 32.`);
  const sizes = { DIM: dim, VOCABULARY: vocabulary, FIRST: first ?? 0 };
  const flags = { ZERO_POINTS: zeroPoints, PART: first !== undefined };
  const code = specialise(source, { ...sizes, SCALE_F: scale, GROUP }, flags);
  const pipeline = await gpu.pipeline('embedding int4', code);
  return {
    bind({ table, token, y, span }) {
      const buffers = [span.buffer, table.data, table.scales, token, y];
      if (zeroPoints) {
        if (!table.zeroPoints) throw new RangeError('The table has no zero points.');
        buffers.push(table.zeroPoints);
      }
      return bind(gpu, 'embedding int4', pipeline, buffers, () =>
        spread(Math.ceil((span.rows * dim) / 8 / GROUP)),
      );
    },
  };
}
