/** What a KV cache of a decoder looks like, from its config.json. */
import { UnsupportedModelError } from '../../formats/decoder/errors';

export interface CacheShape {
  kvHeads: number;
  headDim: number;
  layers: number;
  vocabSize: number;
  /** Longest sequence, prefix included. */
  maxPositions: number;
}

/** @throws UnsupportedModelError naming the field that is missing or no size */
export function cacheShape(config: unknown): CacheShape {
  const fields = (config ?? {}) as Record<string, unknown>;
  const size = (name: string, otherwise?: number): number => {
    const value = fields[name] ?? otherwise;
    if (typeof value === 'number' && Number.isSafeInteger(value) && value > 0) return value;
    throw new UnsupportedModelError(`The model's config.json has no usable ${name}.`);
  };
  const heads = size('num_attention_heads');
  return {
    kvHeads: size('num_key_value_heads', heads),
    headDim: size('head_dim', size('hidden_size') / heads),
    layers: size('num_hidden_layers'),
    vocabSize: size('vocab_size'),
    maxPositions: size('max_position_embeddings'),
  };
}
