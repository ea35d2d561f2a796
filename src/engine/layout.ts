/**
 * Widths of the buffers that a pass over packed rows needs, in floats a row. The passes allocate by
 * these numbers and the planner adds them up, so that what is planned is what is allocated.
 */
import type { DecoderConfig } from '../formats/decoder/config';

/**
 * What a forward pass keeps for the backward pass: every layer's activations, only what enters each
 * layer (the rest is computed again), or nothing (inference).
 */
export type Keep = 'layers' | 'inputs' | 'none';

/** Activations of one layer by name. `k` and `v` of an inference pass are rows of a KV pool. */
export type ActivationName =
  | 'input'
  | 'q'
  | 'k'
  | 'v'
  | 'qUnnormed'
  | 'kUnnormed'
  | 'attended'
  | 'lse'
  | 'middle'
  | 'gate'
  | 'up'
  | 'attentionOutput'
  | 'mlpOutput';

/** Floats a row of each; 0 where the model has no such thing. */
export function activationWidths(config: DecoderConfig): Record<ActivationName, number> {
  const { dim, heads, kvHeads, headDim, ffnDim, qkNorm, outputNorms } = config;
  const q = heads * headDim;
  const kv = kvHeads * headDim;
  // The backward pass puts gradients of the attention's size where gate and up were.
  const ffn = Math.max(ffnDim, q, kv);
  return {
    input: dim,
    q,
    k: kv,
    v: kv,
    qUnnormed: qkNorm ? q : 0,
    kUnnormed: qkNorm ? kv : 0,
    attended: q,
    lse: heads,
    middle: dim,
    gate: ffn,
    up: ffn,
    attentionOutput: outputNorms ? dim : 0,
    mlpOutput: outputNorms ? dim : 0,
  };
}

/** Which of them each layer has a buffer of its own for; the others are shared by all layers. */
export function keptPerLayer(config: DecoderConfig, keep: Keep): ReadonlySet<ActivationName> {
  if (keep === 'none') return new Set();
  if (keep === 'inputs') return new Set(['input']);
  const kept = new Set(Object.keys(activationWidths(config)) as ActivationName[]);
  if (config.qkNorm) {
    // One norm and one rotation away from what came before them.
    kept.delete('q');
    kept.delete('k');
  }
  return kept;
}

/** Floats a row of what all layers share besides: of the forward pass, then of the backward pass. */
export function scratchWidths(config: DecoderConfig, keep: Keep) {
  const { dim, heads, kvHeads, headDim, ffnDim } = config;
  const inference = keep === 'none';
  return {
    normed: dim,
    hidden: Math.max(ffnDim, heads * headDim, dim),
    kRaw: inference ? kvHeads * headDim : 0,
    vRaw: inference ? kvHeads * headDim : 0,
    gradient: inference ? 0 : dim,
    stats: inference ? 0 : 2 * heads,
  };
}

/**
 * Bytes a row of each table of a packed batch: tokens; positions, keys, self and who sees a row, of
 * all rows and of those that were chosen; which these are.
 */
export const TABLE_BYTES = [4, ...[4, 16, 4, 16], ...[4, 16, 4, 16], 4];

/** Floats of the partial sums of dK and dV over one part of the queries. */
const partialFloats = ({ kvHeads, headDim }: DecoderConfig, prefix: number) =>
  2 * Math.max(1, prefix) * kvHeads * headDim;

/**
 * Parts that the query rows are split into for dK and dV of the prefix keys: enough to share out, and
 * few enough for their sums to fit where `middle` and `normed` were, whose turn is over then.
 */
export function prefixPartitions(config: DecoderConfig, rows: number, prefix: number): number {
  const fit = (rows * config.dim) / partialFloats(config, prefix);
  return Math.min(32, 2 ** Math.floor(Math.log2(Math.max(1, fit))));
}

/** Bytes of two buffers for those sums where there is no room even for one part; as a rule 0. */
export function partialBytes(config: DecoderConfig, rows: number, prefix: number): number {
  const bytes = prefixPartitions(config, rows, prefix) * partialFloats(config, prefix) * 4;
  return bytes <= rows * config.dim * 4 ? 0 : bytes;
}
