/** What the layers of a forward pass compute: buffers of their own where it stays, shared ones else. */
import type { DecoderConfig } from '../formats/decoder/config';
import type { Gpu } from '../kernels/gpu/gpu';
import { type ActivationName, activationWidths, type Keep, keptPerLayer } from './layout';
import type { DecoderWeights } from './weights';

/** Keys (after RoPE) and values of every layer, [rows, kvHeads · headDim]. */
export class KvPool {
  readonly keys: GPUBuffer[];
  readonly values: GPUBuffer[];

  constructor(
    private readonly gpu: Gpu,
    weights: DecoderWeights,
    readonly rows: number,
  ) {
    const { kvHeads, headDim } = weights.config;
    const bytes = rows * kvHeads * headDim * 4;
    this.keys = weights.layers.map((_, i) => gpu.storage(`layer ${i} key pool`, bytes));
    this.values = weights.layers.map((_, i) => gpu.storage(`layer ${i} value pool`, bytes));
  }

  release(): void {
    this.gpu.release(...this.keys, ...this.values);
  }
}

/** Activations of one layer, [capacity, …] f32; some may be shared by all layers. */
export interface LayerActivations {
  /** Residual stream that enters the layer, [rows, dim]. */
  input: GPUBuffer;
  /** Queries after RoPE, [rows, heads · headDim]. */
  q: GPUBuffer;
  /** Keys after RoPE and values, [rows, kvHeads · headDim]: of these rows, or the layer's pool. */
  k: GPUBuffer;
  v: GPUBuffer;
  /** Queries and keys before their norms, where the model has those. */
  unnormed: { q: GPUBuffer; k: GPUBuffer } | null;
  /** Attention output before o_proj, [rows, heads · headDim]. */
  attended: GPUBuffer;
  /** [rows, heads]. */
  lse: GPUBuffer;
  /** Residual stream between attention and MLP, [rows, dim]. */
  middle: GPUBuffer;
  /** [rows, ffnDim]. */
  gate: GPUBuffer;
  up: GPUBuffer;
  /** Outputs of attention and MLP before their norms, [rows, dim], where the model has those. */
  branches: { attention: GPUBuffer; mlp: GPUBuffer } | null;
}

/** Activations of every layer, from `floats`, which allocates so many floats for each row. */
export function allocateLayers(
  config: DecoderConfig,
  keep: Keep,
  pool: KvPool | null,
  floats: (name: string, width: number) => GPUBuffer,
): LayerActivations[] {
  const widths = activationWidths(config);
  const perLayer = keptPerLayer(config, keep);
  const shared = new Map<ActivationName, GPUBuffer>();
  const activation = (name: ActivationName): GPUBuffer => {
    if (perLayer.has(name)) return floats(name, widths[name]);
    const buffer = shared.get(name) ?? floats(name, widths[name]);
    shared.set(name, buffer);
    return buffer;
  };
  return Array.from({ length: config.layers }, (_, index) => ({
    input: activation('input'),
    q: activation('q'),
    k: pool ? pool.keys[index]! : activation('k'),
    v: pool ? pool.values[index]! : activation('v'),
    unnormed: config.qkNorm ? { q: activation('qUnnormed'), k: activation('kUnnormed') } : null,
    attended: activation('attended'),
    lse: activation('lse'),
    middle: activation('middle'),
    gate: activation('gate'),
    up: activation('up'),
    branches: config.outputNorms
      ? { attention: activation('attentionOutput'), mlp: activation('mlpOutput') }
      : null,
  }));
}
