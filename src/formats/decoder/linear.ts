/** Frozen linear layers as files store them; their tensors have not been read. */
import type { TensorRef } from './tensor';

/** A frozen linear layer y = x·Wᵀ + bias, as the file stores it. */
export type Linear = Int4Linear | DenseLinear;

/**
 * Block-quantised weights of MatMulNBits: byte j of block b of output row n holds elements 2j (low
 * nibble) and 2j + 1 (high nibble) of that block; w = (q − zeroPoint) · scale.
 */
export interface Int4Linear {
  kind: 'int4';
  outFeatures: number;
  inFeatures: number;
  /** Inputs that share a scale; the last block of a row may be longer than the inputs are. */
  blockSize: number;
  /** uint8 [outFeatures, ⌈inFeatures / blockSize⌉, blockSize / 2]. */
  data: TensorRef;
  /** float32 or float16 [outFeatures, ⌈inFeatures / blockSize⌉]; may be negative. */
  scales: TensorRef;
  /** uint8 [outFeatures, ⌈blocks / 2⌉], low nibble = even block. Absent: 8 everywhere. */
  zeroPoints?: TensorRef;
  /** float32 or float16 [outFeatures]. */
  bias?: TensorRef;
  /**
   * MatMulNBits `accuracy_level`; 4 lets CPU kernels round activations to int8, so that runtime
   * logits differ from these weights' exact ones.
   */
  accuracyLevel: number;
}

export interface DenseLinear {
  kind: 'dense';
  /** How `data` lies: [outFeatures, inFeatures] or [inFeatures, outFeatures]. */
  layout: 'out_in' | 'in_out';
  outFeatures: number;
  inFeatures: number;
  dtype: 'f32' | 'f16';
  data: TensorRef;
  bias?: TensorRef;
}
