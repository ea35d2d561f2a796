import { UnsupportedModelError } from './errors';

/** What config.json says about a decoder, checked against the graph where it can be. */
export interface DecoderConfig {
  architecture: 'llama';
  layers: number;
  /** Width of the residual stream. */
  dim: number;
  /** Query heads. */
  heads: number;
  /** Key and value heads (GQA). */
  kvHeads: number;
  headDim: number;
  ffnDim: number;
  vocabSize: number;
  /** ε inside the square root of RMSNorm. */
  normEps: number;
  maxPositions: number;
  /** Base of the rotary frequencies; the file's cos and sin caches are what counts. */
  ropeTheta?: number;
}

/** Reads a parsed config.json. Throws {@link UnsupportedModelError} naming the field. */
export function parseDecoderConfig(json: unknown): DecoderConfig {
  if (typeof json !== 'object' || json === null) {
    throw new UnsupportedModelError('config.json holds no object.');
  }
  const fields = new Map<string, unknown>(Object.entries(json));
  const modelType = fields.get('model_type');
  if (modelType !== 'llama') {
    throw new UnsupportedModelError(
      `config.json says model_type ${JSON.stringify(modelType)}; only "llama" can be trained.`,
    );
  }
  const activation = fields.get('hidden_act') ?? 'silu';
  if (activation !== 'silu') {
    throw new UnsupportedModelError(
      `config.json says hidden_act ${JSON.stringify(activation)}; only "silu" can be trained.`,
    );
  }
  const size = (name: string, otherwise?: number): number => {
    const value = fields.get(name) ?? otherwise;
    const sane = typeof value === 'number' && Number.isInteger(value) && value > 0;
    if (!sane || value > 2 ** 24) {
      throw new UnsupportedModelError(`config.json has ${name} ${JSON.stringify(value)}.`);
    }
    return value;
  };
  const heads = size('num_attention_heads');
  const dim = size('hidden_size');
  const normEps = fields.get('rms_norm_eps');
  if (typeof normEps !== 'number' || !(normEps > 0 && normEps < 1)) {
    throw new UnsupportedModelError(`config.json has rms_norm_eps ${JSON.stringify(normEps)}.`);
  }
  const config: DecoderConfig = {
    architecture: 'llama',
    layers: size('num_hidden_layers'),
    dim,
    heads,
    kvHeads: size('num_key_value_heads', heads),
    headDim: size('head_dim', dim / heads),
    ffnDim: size('intermediate_size'),
    vocabSize: size('vocab_size'),
    normEps,
    maxPositions: size('max_position_embeddings'),
  };
  if (config.heads % config.kvHeads !== 0) {
    throw new UnsupportedModelError(
      `config.json has ${config.heads} query heads, no multiple of ${config.kvHeads} key heads.`,
    );
  }
  if (config.headDim % 2 !== 0) {
    throw new UnsupportedModelError(`config.json has an odd head_dim, ${config.headDim}.`);
  }
  // Newer exporters put rope_theta inside rope_parameters.
  const nested = fields.get('rope_parameters');
  const inner =
    typeof nested === 'object' && nested !== null
      ? new Map<string, unknown>(Object.entries(nested)).get('rope_theta')
      : undefined;
  const ropeTheta = fields.get('rope_theta') ?? inner;
  if (typeof ropeTheta === 'number') config.ropeTheta = ropeTheta;
  return config;
}
