import { UnsupportedModelError } from '../onnx/errors';

/** What config.json says about a decoder; the walk corrects the marked fields by the graph. */
export interface DecoderConfig {
  architecture: Architecture;
  layers: number;
  /** Width of the residual stream. */
  dim: number;
  /** Query heads. */
  heads: number;
  /** Key and value heads (GQA). */
  kvHeads: number;
  headDim: number;
  /** Width of the MLP. From the graph: whole blocks of quantised weights. */
  ffnDim: number;
  vocabSize: number;
  /** ε inside the square root of RMSNorm. */
  normEps: number;
  maxPositions: number;
  /** Base of the rotary frequencies; the file's own caches or frequencies are what counts. */
  ropeTheta?: number;
  /** Fields of rope_scaling, or of rope_parameters in newer files; absent: none. */
  ropeScaling?: ReadonlyMap<string, unknown>;
  /** What the MLP's gate goes through: SwiGLU or GeGLU (tanh approximation). */
  activation: 'silu' | 'gelu-tanh';
  /** RMSNorm of every query and key head before RoPE. */
  qkNorm: boolean;
  /** RMSNorm of the outputs of attention and MLP before they are added to the residual stream. */
  outputNorms: boolean;
  /** Factor of q·k. */
  attentionScale: number;
  /** c of c·tanh(score / c). From the graph: exporters drop it in some attention variants. */
  attentionSoftCap: number | null;
  /** c of c·tanh(logit / c). From the graph. */
  logitSoftCap: number | null;
  /** Factor of embedding rows. From the graph, where exporters round it. */
  embeddingScale: number;
  /** Positions that a layer's queries see, their own included; null: all before. From the graph. */
  windows: (number | null)[];
}

const ARCHITECTURES = ['llama', 'qwen2', 'qwen3', 'gemma2'] as const;
export type Architecture = (typeof ARCHITECTURES)[number];

/** Reads a parsed config.json. Throws {@link UnsupportedModelError} naming the field. */
export function parseDecoderConfig(json: unknown): DecoderConfig {
  if (typeof json !== 'object' || json === null) {
    throw new UnsupportedModelError('config.json holds no object.');
  }
  const fields = new Map<string, unknown>(Object.entries(json));
  const modelType = fields.get('model_type');
  const architecture = ARCHITECTURES.find((known) => known === modelType);
  if (architecture === undefined) {
    throw new UnsupportedModelError(
      `config.json says model_type ${JSON.stringify(modelType)}; only ${ARCHITECTURES.map((a) => `"${a}"`).join(', ')} can be trained.`,
    );
  }
  const gemma = architecture === 'gemma2';
  const size = (name: string, otherwise?: number): number => {
    const value = fields.get(name) ?? otherwise;
    const sane = typeof value === 'number' && Number.isInteger(value) && value > 0;
    if (!sane || value > 2 ** 24) {
      throw new UnsupportedModelError(`config.json has ${name} ${JSON.stringify(value)}.`);
    }
    return value;
  };
  /** A positive number, or null where it is absent. */
  const optional = (name: string): number | null => {
    const value = fields.get(name) ?? null;
    if (value === null || (typeof value === 'number' && value > 0)) return value;
    throw new UnsupportedModelError(`config.json has ${name} ${JSON.stringify(value)}.`);
  };
  const heads = size('num_attention_heads');
  const dim = size('hidden_size');
  const normEps = optional('rms_norm_eps');
  if (normEps === null || normEps >= 1) {
    throw new UnsupportedModelError(
      `config.json has rms_norm_eps ${JSON.stringify(fields.get('rms_norm_eps'))}.`,
    );
  }
  const layers = size('num_hidden_layers');
  const headDim = size('head_dim', dim / heads);
  const config: DecoderConfig = {
    architecture,
    layers,
    dim,
    heads,
    kvHeads: size('num_key_value_heads', heads),
    headDim,
    ffnDim: size('intermediate_size'),
    vocabSize: size('vocab_size'),
    normEps,
    maxPositions: size('max_position_embeddings'),
    activation: readActivation(fields, gemma),
    qkNorm: architecture === 'qwen3',
    outputNorms: gemma,
    attentionScale: ((gemma ? optional('query_pre_attn_scalar') : null) ?? headDim) ** -0.5,
    attentionSoftCap: gemma ? optional('attn_logit_softcapping') : null,
    logitSoftCap: gemma ? optional('final_logit_softcapping') : null,
    embeddingScale: gemma ? Math.sqrt(dim) : 1,
    windows: readWindows(fields, layers, gemma),
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
  const ropeTheta = fields.get('rope_theta') ?? inner(fields.get('rope_parameters'), 'rope_theta');
  if (typeof ropeTheta === 'number') config.ropeTheta = ropeTheta;
  const scaling = fields.get('rope_scaling') ?? fields.get('rope_parameters');
  if (typeof scaling === 'object' && scaling !== null) {
    config.ropeScaling = new Map<string, unknown>(Object.entries(scaling));
  }
  return config;
}

function inner(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  return new Map<string, unknown>(Object.entries(value)).get(name);
}

function readActivation(fields: Map<string, unknown>, gemma: boolean): 'silu' | 'gelu-tanh' {
  const name = gemma ? 'hidden_activation' : 'hidden_act';
  const value = fields.get(name) ?? (gemma ? 'gelu_pytorch_tanh' : 'silu');
  if (value === 'silu') return 'silu';
  if (value === 'gelu_pytorch_tanh') return 'gelu-tanh';
  throw new UnsupportedModelError(
    `config.json says ${name} ${JSON.stringify(value)}; "silu" and "gelu_pytorch_tanh" can be trained.`,
  );
}

/** Gemma 2 alternates; other families have a sliding window only where they say so. */
function readWindows(
  fields: Map<string, unknown>,
  layers: number,
  gemma: boolean,
): (number | null)[] {
  const window = fields.get('sliding_window');
  const used = gemma || fields.get('use_sliding_window') === true;
  if (!used || typeof window !== 'number') return new Array<null>(layers).fill(null);
  const types = fields.get('layer_types');
  return Array.from({ length: layers }, (_, layer) => {
    const type: unknown = Array.isArray(types) ? types[layer] : undefined;
    const slides = type === undefined ? gemma && layer % 2 === 0 : type === 'sliding_attention';
    return slides ? window : null;
  });
}
