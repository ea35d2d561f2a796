/** A decoder's weights by role, as tensors that have not been read. */
import type { DecoderConfig } from './config';
import type { Int4Linear, Linear } from './linear';
import type { TensorRef } from './tensor';

/** A float tensor outside the linear layers. */
export interface DenseTensor {
  dtype: 'f32' | 'f16';
  data: TensorRef;
}

/** The token embedding, [vocabSize, dim]; separate from the head even where models tie them. */
export type EmbeddingTable =
  | ({ kind: 'dense' } & DenseTensor)
  /** Rows quantised like an {@link Int4Linear} with outFeatures = vocabSize, inFeatures = dim. */
  | { kind: 'int4'; table: Int4Linear };

export interface DecoderLayer {
  /** RMSNorm weight [dim]. */
  inputNorm: DenseTensor;
  /** [heads · headDim, dim]. */
  q: Linear;
  /** [kvHeads · headDim, dim]. */
  k: Linear;
  v: Linear;
  /** [dim, heads · headDim]. */
  o: Linear;
  /** RMSNorm weight [dim] before the MLP. */
  postNorm: DenseTensor;
  /** [ffnDim, dim]. */
  gate: Linear;
  up: Linear;
  /** [dim, ffnDim]. */
  down: Linear;
}

export interface DecoderModel {
  config: DecoderConfig;
  embedding: EmbeddingTable;
  layers: DecoderLayer[];
  finalNorm: DenseTensor;
  /** [vocabSize, dim]. */
  head: Linear;
  /** cos and sin of the rotary angles, [positions, headDim / 2], half-split rotation. */
  cosCache: DenseTensor;
  sinCache: DenseTensor;
  /** Positions in the caches. */
  cachePositions: number;
}
