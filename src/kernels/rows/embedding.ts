/** Embedding lookup in a dense table, f32 or f16. Formula in embedding.wgsl. */
import source from './embedding.wgsl?raw';
import { bind, spread, type Gpu, type Op, type Span } from '../gpu/gpu';
import { positive } from './reduce-lanes';
import { specialise } from '../gpu/wgsl';

export interface EmbeddingShape {
  dim: number;
  /** Rows of the table. */
  vocabulary: number;
  /** The table is a part of a larger one: this token's row comes first, others stay unwritten. */
  first?: number;
  /** How the table is stored; f16 in little-endian pairs, `dim` a multiple of 4. Default f32. */
  stored?: 'f32' | 'f16';
  /** Multiplies every row (default 1; some models scale their embeddings). */
  scale?: number;
}

export interface EmbeddingArgs {
  /** [vocabulary, dim] */
  table: GPUBuffer;
  /** u32 [rows] */
  token: GPUBuffer;
  /** [rows, dim], written. */
  y: GPUBuffer;
  span: Span;
}

export interface EmbeddingKernel {
  bind(args: EmbeddingArgs): Op;
}

const GROUP = 64;

/** @throws RangeError on a size below 1, or f16 rows of no whole vec4. */
export async function createEmbedding(gpu: Gpu, shape: EmbeddingShape): Promise<EmbeddingKernel> {
  const { dim, vocabulary, first, scale = 1 } = shape;
  positive('dim', dim);
  positive('vocabulary', vocabulary);
  const vec4 = dim % 4 === 0;
  const half = shape.stored === 'f16';
  if (half && !vec4) throw new RangeError(`f16 rows of ${dim} values are no whole vec4.`);
  const pipeline = await gpu.pipeline(
    'embedding',
    specialise(
      source,
      { DIM: dim, VOCABULARY: vocabulary, FIRST: first ?? 0, SCALE_F: scale, GROUP },
      { VEC4: vec4, PART: first !== undefined, HALF: half },
    ),
  );
  const perRow = vec4 ? dim / 4 : dim;
  return {
    bind: ({ table, token, y, span }) =>
      bind(gpu, 'embedding', pipeline, [table, token, y, span.buffer], () =>
        spread(Math.ceil((span.rows * perRow) / GROUP)),
      ),
  };
}
