import { UnsupportedModelError } from './errors';
import { shown } from '../shown';
import { type Architecture, ARCHITECTURES, FAMILIES, type Traits } from './families';

export type { Architecture };

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

/** No decoder has more layers: Llama 3.1 405B has 126. */
const MOST_LAYERS = 512;
const MOST_HEAD_DIM = 4096;
const MOST = 2 ** 24;

/** The fields of a parsed config.json, read one by one. */
class Fields {
  private readonly values: ReadonlyMap<string, unknown>;

  constructor(json: unknown) {
    if (typeof json !== 'object' || json === null) {
      throw new UnsupportedModelError('config.json holds no object.');
    }
    this.values = new Map<string, unknown>(Object.entries(json));
  }

  /** Undefined where the field is absent or null. */
  get(name: string): unknown {
    return this.values.get(name) ?? undefined;
  }

  wrong(name: string): UnsupportedModelError {
    return new UnsupportedModelError(`config.json has ${name} ${shown(this.values.get(name))}.`);
  }

  /** A whole number from 1 to `most`. */
  size(name: string, otherwise?: number, most = MOST): number {
    const value = this.get(name) ?? otherwise;
    const sane = typeof value === 'number' && Number.isInteger(value) && value > 0;
    if (sane && value <= most) return value;
    throw this.get(name) === undefined && otherwise !== undefined
      ? new UnsupportedModelError(`config.json has no ${name}, and it would be ${otherwise}.`)
      : this.wrong(name);
  }

  /** A positive number; null where the field is null, `otherwise` where it is absent. */
  optional(name: string, otherwise: number | null): number | null {
    if (!this.values.has(name)) return otherwise;
    const value = this.get(name) ?? null;
    if (value === null || (typeof value === 'number' && value > 0)) return value;
    throw this.wrong(name);
  }

  /** Undefined where the field is absent or null. */
  flag(name: string): boolean | undefined {
    const value = this.get(name);
    if (value === undefined || typeof value === 'boolean') return value;
    throw this.wrong(name);
  }
}

/** Reads a parsed config.json. Throws {@link UnsupportedModelError} naming the field. */
export function parseDecoderConfig(json: unknown): DecoderConfig {
  const fields = new Fields(json);
  const modelType = fields.get('model_type');
  const architecture = ARCHITECTURES.find((known) => known === modelType);
  if (architecture === undefined) {
    throw new UnsupportedModelError(
      `config.json says model_type ${shown(modelType)}; only ${ARCHITECTURES.map((a) => `"${a}"`).join(', ')} can be trained.`,
    );
  }
  const traits: Traits = FAMILIES[architecture];
  const { qkNorm, outputNorms, queryScalar, scaledEmbedding, softCaps } = traits;
  const heads = fields.size('num_attention_heads');
  const dim = fields.size('hidden_size');
  const normEps = fields.optional('rms_norm_eps', null);
  if (normEps === null || normEps >= 1) throw fields.wrong('rms_norm_eps');
  const layers = fields.size('num_hidden_layers', undefined, MOST_LAYERS);
  const headDim = fields.size('head_dim', traits.headDim ?? dim / heads, MOST_HEAD_DIM);
  const scalar = queryScalar && fields.optional('query_pre_attn_scalar', queryScalar);
  const config: DecoderConfig = {
    architecture,
    layers,
    dim,
    heads,
    kvHeads: fields.size('num_key_value_heads', heads),
    headDim,
    ffnDim: fields.size('intermediate_size'),
    vocabSize: fields.size('vocab_size'),
    normEps,
    maxPositions: fields.size('max_position_embeddings'),
    activation: readActivation(fields, traits),
    qkNorm,
    outputNorms,
    attentionScale: (scalar ?? headDim) ** -0.5,
    attentionSoftCap: softCaps && fields.optional('attn_logit_softcapping', softCaps.attention),
    logitSoftCap: softCaps && fields.optional('final_logit_softcapping', softCaps.logits),
    embeddingScale: scaledEmbedding ? Math.sqrt(dim) : 1,
    windows: readWindows(fields, layers, traits),
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

function readActivation(fields: Fields, { activation }: Traits): 'silu' | 'gelu-tanh' {
  const { field, otherwise } = activation;
  const value = fields.get(field) ?? otherwise;
  if (value === 'silu') return 'silu';
  if (value === 'gelu_pytorch_tanh') return 'gelu-tanh';
  throw new UnsupportedModelError(
    `config.json says ${field} ${shown(value)}; "silu" and "gelu_pytorch_tanh" can be trained.`,
  );
}

/** How many positions each layer sees: by `layer_types` where they are given, else by the family. */
function readWindows(fields: Fields, layers: number, { windows }: Traits): (number | null)[] {
  const all = new Array<null>(layers).fill(null);
  if (windows.kind === 'none') return all;
  if (windows.kind === 'upper' && fields.flag('use_sliding_window') !== true) return all;
  const window = fields.optional('sliding_window', windows.window);
  if (window === null) return all;
  if (!Number.isInteger(window)) throw fields.wrong('sliding_window');
  const slides = layerTypes(fields, layers) ?? slidingLayers(fields, windows);
  return all.map((_, layer) => (slides(layer) ? window : null));
}

type Slides = (layer: number) => boolean;

function slidingLayers(fields: Fields, rule: Traits['windows']): Slides {
  if (rule.kind !== 'upper') return (layer) => layer % 2 === 0;
  const value = fields.get('max_window_layers') ?? rule.maxWindowLayers;
  if (typeof value !== 'number') throw fields.wrong('max_window_layers');
  return (layer) => layer >= value;
}

function layerTypes(fields: Fields, layers: number): Slides | null {
  const types = fields.get('layer_types');
  if (types === undefined) return null;
  if (!Array.isArray(types) || types.length < layers) {
    throw new UnsupportedModelError(
      `config.json has layer_types ${shown(types)} for ${layers} layers.`,
    );
  }
  const strange: unknown = types
    .slice(0, layers)
    .find((type) => type !== 'sliding_attention' && type !== 'full_attention');
  if (strange !== undefined) {
    throw new UnsupportedModelError(
      `config.json has a layer type ${shown(strange)}; "full_attention" and "sliding_attention" can be trained.`,
    );
  }
  return (layer) => types[layer] === 'sliding_attention';
}
