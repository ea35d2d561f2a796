/** Pipelines of the forward pass, made once for a model. */
import type { DecoderConfig } from '../formats/decoder/config';
import {
  type AttentionKernel,
  type AttentionShape,
  createAttention,
} from '../kernels/attention/attention';
import { createEmbedding } from '../kernels/rows/embedding';
import { createEmbeddingInt4 } from '../kernels/rows/embedding-int4';
import type { Gpu, Op, Span } from '../kernels/gpu/gpu';
import { createRmsNorm, type RmsNormKernel } from '../kernels/rows/rmsnorm';
import { createRope, type RopeKernel } from '../kernels/rows/rope';
import { createRows, type RowsKernel } from '../kernels/rows/rows';
import { createSoftCap, type SoftCapKernel } from '../kernels/rows/soft-cap';
import { createSwiglu, type SwigluKernel } from '../kernels/rows/swiglu';
import type { DecoderWeights } from './weights';

/** Looks tokens up in the model's table, times its factor. */
export interface EmbeddingLayer {
  /** `token` u32 [rows] to `y` [rows, dim]. */
  bind(args: { token: GPUBuffer; y: GPUBuffer; span: Span }): Op[];
}

/** Pipelines of the forward pass, shared by every pass over one model. */
export interface ForwardKernels {
  /** One for each layer; layers of the same window share theirs. */
  attention: AttentionKernel[];
  embedding: EmbeddingLayer;
  norm: RmsNormKernel;
  /** RMSNorm of single heads (Qwen 3); null in other models. */
  headNorm: RmsNormKernel | null;
  /** Soft cap of the logits (Gemma 2); null in other models. */
  logitCap: SoftCapKernel | null;
  ropeQ: RopeKernel;
  ropeK: RopeKernel;
  rows: RowsKernel;
  kvRows: RowsKernel;
  swiglu: SwigluKernel;
}

export async function createForwardKernels(
  gpu: Gpu,
  weights: DecoderWeights,
): Promise<ForwardKernels> {
  const { config } = weights;
  const { dim, heads, kvHeads, headDim, ffnDim, vocabSize, normEps, logitSoftCap } = config;
  const residual = config.outputNorms;
  const linears = weights.layers.flatMap((layer) => [
    ...[layer.q, layer.k, layer.v, layer.gate, layer.up].map((l) => l.prepare(['forward'])),
    ...[layer.o, layer.down].map((l) => l.prepare([residual ? 'forward' : 'forward-residual'])),
  ]);
  const [attention, embedding, norm, headNorm, logitCap, ...others] = await Promise.all([
    perWindow(weights.config, (shape) => createAttention(gpu, shape)),
    createEmbeddingLayer(gpu, weights),
    createRmsNorm(gpu, { dim, eps: normEps, residual }),
    config.qkNorm ? createRmsNorm(gpu, { dim: headDim, eps: normEps }) : null,
    logitSoftCap === null ? null : createSoftCap(gpu, { dim: vocabSize, cap: logitSoftCap }),
    createRope(gpu, { heads, headDim }),
    createRope(gpu, { heads: kvHeads, headDim }),
    createRows(gpu, { dim }),
    createRows(gpu, { dim: kvHeads * headDim }),
    createSwiglu(gpu, { dim: ffnDim, activation: config.activation }),
    weights.head.prepare(['forward']),
    ...linears,
  ]);
  const [ropeQ, ropeK, rows, kvRows, swiglu] = others;
  const made = { attention, embedding, norm, headNorm, logitCap };
  return { ...made, ropeQ, ropeK, rows, kvRows, swiglu };
}

async function createEmbeddingLayer(
  gpu: Gpu,
  { config, embedding }: DecoderWeights,
): Promise<EmbeddingLayer> {
  const { dim, vocabSize, embeddingScale: scale } = config;
  const shapeOf = ({ first, rows: vocabulary }: { first: number; rows: number }) => ({
    dim,
    vocabulary,
    scale,
    ...(vocabulary < vocabSize && { first }),
  });
  if (embedding.kind === 'dense') {
    const { stored } = embedding;
    const kernels = await Promise.all(
      embedding.parts.map((part) => createEmbedding(gpu, { ...shapeOf(part), stored })),
    );
    return {
      bind: (args) =>
        embedding.parts.map(({ weight: table }, i) => kernels[i]!.bind({ table, ...args })),
    };
  }
  const kernels = await Promise.all(
    embedding.parts.map((part) => {
      const zeroPoints = part.weight.zeroPoints !== undefined;
      return createEmbeddingInt4(gpu, { ...shapeOf(part), zeroPoints });
    }),
  );
  return {
    bind: (args) =>
      embedding.parts.map(({ weight: table }, i) => kernels[i]!.bind({ table, ...args })),
  };
}

/** One kernel a layer, made once for each window that there is. */
export async function perWindow<K>(
  config: DecoderConfig,
  create: (shape: AttentionShape) => Promise<K>,
): Promise<K[]> {
  const { heads, kvHeads, headDim, attentionScale: scale, attentionSoftCap } = config;
  const made = new Map<number | null, Promise<K>>();
  return Promise.all(
    config.windows.map((window) => {
      // A window as long as the longest sequence hides nothing.
      const width = window !== null && window < config.maxPositions ? window : null;
      const kernel =
        made.get(width) ??
        create({
          ...{ heads, kvHeads, headDim, scale },
          ...(attentionSoftCap === null ? {} : { softCap: attentionSoftCap }),
          ...(width === null ? {} : { window: width }),
        });
      made.set(width, kernel);
      return kernel;
    }),
  );
}
