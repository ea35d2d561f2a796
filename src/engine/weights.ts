/** Frozen weights on the GPU, read tensor by tensor from the model file. */
import type { DecoderConfig } from '../formats/decoder/config';
import type { Linear } from '../formats/decoder/linear';
import type { DecoderModel, DenseTensor } from '../formats/decoder/model';
import type { ModelFiles } from '../formats/decoder/tensor';
import { readNorm, readRotary } from '../formats/decoder/weights';
import type { Gpu, Op, Span } from '../kernels/gpu/gpu';
import { type LinearLayer, uploadLinear } from './linear-layer';
import type { LinearTuner } from './linear-tuning';
import { type SharedTable, uploadInt4, uploadTable } from './tables';

export type { LinearLayer };

/** A vector on the residual stream behind a layer, which is trained beside the frozen weights. */
export interface Steering {
  /** y += v on the span's rows, y [rows, dim]. */
  bindAdd(args: { y: GPUBuffer; span: Span }): Op;
  /** Gradient of v from dy [rows, dim]. */
  bindGradient(args: { dy: GPUBuffer; span: Span }): Op;
}

export interface LayerWeights {
  inputNorm: GPUBuffer;
  q: LinearLayer;
  k: LinearLayer;
  v: LinearLayer;
  /** [headDim], for every query and key head before RoPE (Qwen 3). */
  qkNorms: { q: GPUBuffer; k: GPUBuffer } | null;
  o: LinearLayer;
  postNorm: GPUBuffer;
  gate: LinearLayer;
  up: LinearLayer;
  down: LinearLayer;
  /** [dim], for the outputs of attention and MLP before they are added (Gemma 2). */
  outputNorms: { attention: GPUBuffer; mlp: GPUBuffer } | null;
  steering?: Steering;
}

export interface DecoderWeights {
  config: DecoderConfig;
  /** Rows of the cos and sin caches: no position may reach this. */
  positions: number;
  /** [vocabSize, dim]. */
  embedding: SharedTable;
  layers: LayerWeights[];
  finalNorm: GPUBuffer;
  head: LinearLayer;
  cos: GPUBuffer;
  sin: GPUBuffer;
  /** Bytes of all of the above on the GPU. */
  bytes: number;
}

/** Called with bytes uploaded so far and in all. */
export type UploadProgress = (done: number, total: number) => void;

/**
 * Uploads every tensor of `model`.
 * @throws UnsupportedModelError on weights that the kernels cannot read (blocks of no multiple of 32).
 */
export async function uploadWeights(
  gpu: Gpu,
  model: DecoderModel,
  files: ModelFiles,
  tuner: LinearTuner,
  onProgress?: UploadProgress,
): Promise<DecoderWeights> {
  const before = gpu.allocatedBytes;
  const total = files.model.size + [...files.external.values()].reduce((sum, f) => sum + f.size, 0);
  const report = () => onProgress?.(Math.min(total, gpu.allocatedBytes - before), total);
  const dense = async (label: string, tensor: DenseTensor) => {
    const buffer = gpu.upload(label, await readNorm(tensor, files));
    report();
    return buffer;
  };
  const linear = async (label: string, source: Linear) => {
    const layer = await uploadLinear(gpu, label, source, files, tuner);
    report();
    return layer;
  };
  const layers: LayerWeights[] = [];
  for (const [index, layer] of model.layers.entries()) {
    const name = (role: string) => `layer ${index} ${role}`;
    layers.push({
      inputNorm: await dense(name('input norm'), layer.inputNorm),
      q: await linear(name('q'), layer.q),
      k: await linear(name('k'), layer.k),
      v: await linear(name('v'), layer.v),
      qkNorms:
        layer.qNorm && layer.kNorm
          ? {
              q: await dense(name('q norm'), layer.qNorm),
              k: await dense(name('k norm'), layer.kNorm),
            }
          : null,
      o: await linear(name('o'), layer.o),
      postNorm: await dense(name('post norm'), layer.postNorm),
      gate: await linear(name('gate'), layer.gate),
      up: await linear(name('up'), layer.up),
      down: await linear(name('down'), layer.down),
      outputNorms:
        layer.attentionNorm && layer.mlpNorm
          ? {
              attention: await dense(name('attention norm'), layer.attentionNorm),
              mlp: await dense(name('mlp norm'), layer.mlpNorm),
            }
          : null,
    });
  }
  const { cos, sin } = await readRotary(model.rotary, files);
  const embedding = await uploadEmbedding(gpu, model, files);
  report();
  const weights = {
    config: model.config,
    positions: model.rotary.positions,
    embedding,
    layers,
    finalNorm: await dense('final norm', model.finalNorm),
    head: await uploadLinear(gpu, 'head', model.head, files, tuner, tied(model, embedding)),
    cos: gpu.upload('cos', cos),
    sin: gpu.upload('sin', sin),
  };
  return { ...weights, bytes: gpu.allocatedBytes - before };
}

async function uploadEmbedding(
  gpu: Gpu,
  { embedding, config }: DecoderModel,
  files: ModelFiles,
): Promise<SharedTable> {
  if (embedding.kind === 'int4') {
    return { kind: 'int4', parts: await uploadInt4(gpu, 'embedding', embedding.table, files) };
  }
  const { vocabSize, dim } = config;
  return uploadTable(gpu, 'embedding', embedding.data, [vocabSize, dim], files);
}

/** The embedding where the head reads the very same tensors in the same layout. */
function tied({ head, embedding }: DecoderModel, uploaded: SharedTable): SharedTable | undefined {
  if (head.kind === 'dense' && embedding.kind === 'dense') {
    return head.data === embedding.data && head.layout === 'out_in' ? uploaded : undefined;
  }
  if (head.kind !== 'int4' || embedding.kind !== 'int4') return undefined;
  const { data, scales, zeroPoints } = embedding.table;
  const same = head.data === data && head.scales === scales && head.zeroPoints === zeroPoints;
  return same ? uploaded : undefined;
}
