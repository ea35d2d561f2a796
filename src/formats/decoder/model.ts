/** A decoder's weights by role, as tensors that have not been read. */
import type { DecoderConfig } from './config';
import type { Int4Linear, Linear } from './linear';
import type { TensorRef } from './tensor';

/** A float tensor outside the linear layers. */
export interface DenseTensor {
  dtype: 'f32' | 'f16';
  data: TensorRef;
  /** Added to every value: Gemma's "+1" where the exporter did not bake it in. */
  offset?: number;
}

/** The token embedding, [vocabSize, dim]; separate from the head even where models tie them. */
export type EmbeddingTable =
  | ({ kind: 'dense' } & DenseTensor)
  /** Rows quantised like an {@link Int4Linear} with outFeatures = vocabSize, inFeatures = dim. */
  | { kind: 'int4'; table: Int4Linear };

/** Angles of the half-split rotation. */
export type Rotary =
  /**
   * cos and sin, [positions, headDim / 2], or [positions, headDim] with both halves alike where
   * `repeated`; any scaling is baked in.
   */
  | {
      kind: 'caches';
      cos: DenseTensor;
      sin: DenseTensor;
      positions: number;
      repeated: boolean;
    }
  /** The graph turns position · inverse [headDim / 2] into cos and sin, both times `scale`. */
  | { kind: 'frequencies'; inverse: DenseTensor; scale: number; positions: number }
  /** The graph computes frequencies from constants: these are config.json's, [headDim / 2]. */
  | { kind: 'computed'; inverse: Float32Array; scale: number; positions: number };

export interface DecoderLayer {
  /** RMSNorm weight [dim]. */
  inputNorm: DenseTensor;
  /** [heads · headDim, dim]. */
  q: Linear;
  /** [kvHeads · headDim, dim]. */
  k: Linear;
  v: Linear;
  /** RMSNorm weights [headDim] of every query and key head before RoPE. */
  qNorm?: DenseTensor;
  kNorm?: DenseTensor;
  /** [dim, heads · headDim]. */
  o: Linear;
  /** RMSNorm weight [dim] of attention's output before it is added. */
  attentionNorm?: DenseTensor;
  /** RMSNorm weight [dim] before the MLP. */
  postNorm: DenseTensor;
  /** [ffnDim, dim]. */
  gate: Linear;
  up: Linear;
  /** [dim, ffnDim]. */
  down: Linear;
  /** RMSNorm weight [dim] of the MLP's output before it is added. */
  mlpNorm?: DenseTensor;
}

export interface DecoderModel {
  config: DecoderConfig;
  embedding: EmbeddingTable;
  layers: DecoderLayer[];
  finalNorm: DenseTensor;
  /** [vocabSize, dim]. */
  head: Linear;
  rotary: Rotary;
}

/** Do both come from the same stored tensors? */
export function sameRotary(a: Rotary, b: Rotary): boolean {
  if (a.kind === 'caches' && b.kind === 'caches') {
    return a.cos.data === b.cos.data && a.sin.data === b.sin.data;
  }
  if (a.kind === 'computed' && b.kind === 'computed') return a.scale === b.scale;
  if (a.kind !== 'frequencies' || b.kind !== 'frequencies') return false;
  return a.inverse.data === b.inverse.data && a.scale === b.scale;
}
