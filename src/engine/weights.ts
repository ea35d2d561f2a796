/** Frozen weights on the GPU, read tensor by tensor from the model file. */
import type {
  DecoderConfig,
  DecoderModel,
  DenseTensor,
  Int4Linear,
  Linear,
} from '../formats/onnx/decoder';
import { type ModelFiles, readFloats, readTensor } from '../formats/onnx/tensor';
import { readNorm, readRotary, readScales } from '../formats/onnx/weights';
import type { Gpu } from '../kernels/gpu';
import { createLinearDense } from '../kernels/linear-dense';
import { createLinearInt4, type Int4Weight } from '../kernels/linear-int4';
import type { LinearVariant } from '../kernels/linear.tile';
import type { Op, Span } from '../kernels/gpu';

/** A frozen linear layer: weights on the GPU, kernels made on demand. */
export interface LinearLayer {
  readonly inFeatures: number;
  readonly outFeatures: number;
  /** Compiles what `bind*` will need; kernels of equal shape share their pipelines. */
  prepare(variants: readonly LinearVariant[]): Promise<void>;
  /** y = x·Wᵀ (+ residual) on the span's rows. */
  bindForward(args: { x: GPUBuffer; y: GPUBuffer; residual?: GPUBuffer; span: Span }): Op;
  /** dx (+)= dy·W on the span's rows. */
  bindBackward(args: { dy: GPUBuffer; dx: GPUBuffer; accumulate: boolean; span: Span }): Op;
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
}

export interface DecoderWeights {
  config: DecoderConfig;
  /** Rows of the cos and sin caches: no position may reach this. */
  positions: number;
  /** [vocabSize, dim]. */
  embedding: { kind: 'dense'; table: GPUBuffer } | { kind: 'int4'; table: Int4Weight };
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
    const layer = await uploadLinear(gpu, label, source, files);
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
    head: await uploadLinear(gpu, 'head', model.head, files, tied(model, embedding)),
    cos: gpu.upload('cos', cos),
    sin: gpu.upload('sin', sin),
  };
  return { ...weights, bytes: gpu.allocatedBytes - before };
}

async function uploadEmbedding(
  gpu: Gpu,
  { embedding }: DecoderModel,
  files: ModelFiles,
): Promise<DecoderWeights['embedding']> {
  if (embedding.kind === 'int4') {
    return { kind: 'int4', table: await uploadInt4(gpu, 'embedding', embedding.table, files) };
  }
  const values = await readFloats(embedding.data, files);
  return { kind: 'dense', table: gpu.upload('embedding', values) };
}

/** The embedding where the head reads the very same tensors in the same layout. */
function tied(
  { head, embedding }: DecoderModel,
  uploaded: DecoderWeights['embedding'],
): DecoderWeights['embedding'] | undefined {
  if (head.kind === 'dense' && embedding.kind === 'dense') {
    return head.data === embedding.data && head.layout === 'out_in' ? uploaded : undefined;
  }
  if (head.kind !== 'int4' || embedding.kind !== 'int4') return undefined;
  const { data, scales, zeroPoints } = embedding.table;
  const same = head.data === data && head.scales === scales && head.zeroPoints === zeroPoints;
  return same ? uploaded : undefined;
}

/** Block-quantised weights, without a bias. */
async function uploadInt4(
  gpu: Gpu,
  label: string,
  source: Int4Linear,
  files: ModelFiles,
): Promise<Int4Weight> {
  const { scales, zeroPoints } = await readScales(source, files);
  return {
    data: gpu.upload(label, await readTensor(source.data, files)),
    scales: gpu.upload(`${label} scales`, scales),
    zeroPoints: zeroPoints ? gpu.upload(`${label} zero points`, zeroPoints) : undefined,
  };
}

/** `shared`: the embedding whose weights on the GPU are the layer's too. */
async function uploadLinear(
  gpu: Gpu,
  label: string,
  source: Linear,
  files: ModelFiles,
  shared?: DecoderWeights['embedding'],
): Promise<LinearLayer> {
  const { inFeatures, outFeatures } = source;
  const bias = source.bias && gpu.upload(`${label} bias`, await readFloats(source.bias, files));
  const shape = { inFeatures, outFeatures, bias: bias !== undefined };
  if (source.kind === 'dense') {
    const { layout } = source;
    const data =
      shared?.kind === 'dense'
        ? shared.table
        : gpu.upload(label, await readFloats(source.data, files));
    return lazily(inFeatures, outFeatures, { data, bias }, (variants) =>
      createLinearDense(gpu, { ...shape, layout, variants }),
    );
  }
  const table =
    shared?.kind === 'int4' ? shared.table : await uploadInt4(gpu, label, source, files);
  const zeroPoints = table.zeroPoints !== undefined;
  return lazily(inFeatures, outFeatures, { ...table, bias }, (variants) =>
    createLinearInt4(gpu, { ...shape, zeroPoints, variants }),
  );
}

interface LinearKernel<W> {
  bindForward(args: {
    x: GPUBuffer;
    weight: W;
    residual?: GPUBuffer;
    y: GPUBuffer;
    span: Span;
  }): Op;
  bindBackward(args: {
    dy: GPUBuffer;
    weight: W;
    dx: GPUBuffer;
    accumulate: boolean;
    span: Span;
  }): Op;
}

function lazily<W>(
  inFeatures: number,
  outFeatures: number,
  weight: W,
  create: (variants: readonly LinearVariant[]) => Promise<LinearKernel<W>>,
): LinearLayer {
  const kernels = new Map<LinearVariant, LinearKernel<W>>();
  const kernel = (variant: LinearVariant): LinearKernel<W> => {
    const found = kernels.get(variant);
    if (!found) throw new RangeError(`The ${variant} pipeline was not prepared.`);
    return found;
  };
  return {
    inFeatures,
    outFeatures,
    async prepare(variants) {
      const missing = variants.filter((variant) => !kernels.has(variant));
      if (missing.length === 0) return;
      const created = await create(missing);
      for (const variant of missing) kernels.set(variant, created);
    },
    bindForward: (args) =>
      kernel(args.residual ? 'forward-residual' : 'forward').bindForward({ ...args, weight }),
    bindBackward: (args) =>
      kernel(args.accumulate ? 'backward-accumulate' : 'backward').bindBackward({
        ...args,
        weight,
      }),
  };
}
