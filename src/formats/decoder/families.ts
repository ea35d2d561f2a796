/**
 * What sets the families apart that can be trained: where each differs from Llama, and what stands
 * for fields that its config.json leaves out. As in transformers, configuration_*.py and
 * modeling_*.py of each family, version 5.
 */

export const ARCHITECTURES = ['llama', 'qwen2', 'qwen3', 'gemma2'] as const;
/** `model_type` of config.json. */
export type Architecture = (typeof ARCHITECTURES)[number];

/** Which layers see a window only, where config.json has no `layer_types`. */
export type WindowRule =
  /** No layer, whatever config.json says. */
  | { kind: 'none' }
  /** Where `use_sliding_window` is true: layers from `max_window_layers` on. */
  | { kind: 'upper'; window: number; maxWindowLayers: number }
  /** Every second layer, the first one included. */
  | { kind: 'alternating'; window: number };

export interface Traits {
  /** Which field names the MLP's activation, and what it is without. */
  activation: { field: 'hidden_act' | 'hidden_activation'; otherwise: string };
  /** Without `head_dim`; null: the width of the residual stream over the number of heads. */
  headDim: number | null;
  /** RMSNorm of every query and key head before RoPE. */
  qkNorm: boolean;
  /** RMSNorm of the outputs of attention and MLP before they are added. */
  outputNorms: boolean;
  /** Embedding rows are multiplied by the root of their width. */
  scaledEmbedding: boolean;
  /** `query_pre_attn_scalar` without the field; null: the head's width, and no such field. */
  queryScalar: number | null;
  /** tanh caps of scores and logits without their fields; null: no such fields. */
  softCaps: { attention: number; logits: number } | null;
  windows: WindowRule;
}

const LLAMA: Traits = {
  activation: { field: 'hidden_act', otherwise: 'silu' },
  headDim: null,
  qkNorm: false,
  outputNorms: false,
  scaledEmbedding: false,
  queryScalar: null,
  softCaps: null,
  windows: { kind: 'none' },
};

const QWEN_WINDOWS: WindowRule = { kind: 'upper', window: 4096, maxWindowLayers: 28 };

export const FAMILIES = {
  llama: LLAMA,
  qwen2: { ...LLAMA, windows: QWEN_WINDOWS },
  qwen3: { ...LLAMA, headDim: 128, qkNorm: true, windows: QWEN_WINDOWS },
  gemma2: {
    activation: { field: 'hidden_activation', otherwise: 'gelu_pytorch_tanh' },
    headDim: 256,
    qkNorm: false,
    outputNorms: true,
    scaledEmbedding: true,
    queryScalar: 256,
    softCaps: { attention: 50, logits: 30 },
    windows: { kind: 'alternating', window: 4096 },
  },
} as const satisfies Record<Architecture, Traits>;
