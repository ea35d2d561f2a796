/** Halves of a file stay halves on the GPU and mean the same numbers as floats do. */
import { describe, expect, it } from 'vitest';
import type { DenseLinear } from '../formats/decoder/linear';
import type { DecoderModel } from '../formats/decoder/model';
import { mapDecoder } from '../formats/onnx/decoder';
import { readOnnx } from '../formats/onnx/proto';
import {
  aligned,
  type ModelFiles,
  readFloats,
  readTensor,
  type TensorRef,
} from '../formats/decoder/tensor';
import { Gpu, Span } from '../kernels/gpu/gpu';
import { normals, relativeError, testGpu } from '../kernels/gpu/testing';
import { Autotuner } from './autotune';
import { createForwardKernels } from './forward-kernels';
import { LinearTuner } from './linear-tuning';
import { loadFamily } from './testing';
import { uploadWeights } from './weights';

const ROWS = 5;

function inline(
  ref: TensorRef,
  dataType: TensorRef['dataType'],
  values: ArrayBufferView,
): TensorRef {
  const bytes = new Uint8Array(values.buffer as ArrayBuffer);
  const storage = { kind: 'inline', bytes } as const;
  return { ...ref, dataType, byteLength: bytes.byteLength, storage };
}

/** A model whose embedding and head are dense, and its tables. */
interface Dense {
  model: DecoderModel;
  embedding: TensorRef;
  head: DenseLinear;
}

function denseOf(model: DecoderModel): Dense {
  const { embedding, head } = model;
  if (embedding.kind !== 'dense' || head.kind !== 'dense') throw new Error('Not a dense model.');
  return { model, embedding: embedding.data, head };
}

/** The head with weights of its own, rows of inputs as MatMul has them. */
async function untied({ model, head }: Dense, files: ModelFiles): Promise<DecoderModel> {
  const { inFeatures, outFeatures, data } = head;
  const values = new Uint16Array(aligned(await readTensor(data, files)));
  const turned = Uint16Array.from(
    values,
    (_, i) => values[(i % outFeatures) * inFeatures + Math.floor(i / outFeatures)]!,
  );
  const own = { ...inline(data, data.dataType, turned), dims: [inFeatures, outFeatures] };
  return { ...model, head: { ...head, layout: 'in_out', data: own } };
}

/** The model with its dense tables in floats, as they were before halves could be read. */
async function converted({ model, embedding, head }: Dense, files: ModelFiles) {
  const floats = async (ref: TensorRef) => inline(ref, 'float32', await readFloats(ref, files));
  const table = await floats(embedding);
  const data = head.data === embedding ? table : await floats(head.data);
  const dtype = 'f32' as const;
  return {
    ...model,
    embedding: { kind: 'dense' as const, dtype, data: table },
    head: { ...head, dtype, data },
  };
}

/** Rows of the embedding, their logits, and the gradient of those rows for given gradients. */
async function results(gpu: Gpu, model: DecoderModel, files: ModelFiles) {
  const tuner = new LinearTuner(gpu, new Autotuner(gpu));
  const weights = await uploadWeights(gpu, model, files, tuner);
  const kernels = await createForwardKernels(gpu, weights);
  await weights.head.prepare(['backward']);
  const { dim, vocabSize } = weights.config;
  const tokens = Uint32Array.from({ length: ROWS }, (_, i) => (i * 61) % vocabSize);
  const token = gpu.upload('token', tokens);
  const x = gpu.storage('x', ROWS * dim * 4);
  const y = gpu.storage('y', ROWS * vocabSize * 4);
  const dx = gpu.storage('dx', ROWS * dim * 4);
  const dy = gpu.upload('dy', normals(1, ROWS * vocabSize));
  const span = new Span(gpu, 'rows');
  span.set(0, ROWS);
  gpu.run([
    ...kernels.embedding.bind({ token, y: x, span }),
    ...weights.head.bindForward({ x, y, span }),
    ...weights.head.bindBackward({ dy, dx, accumulate: false, span }),
  ]);
  const [rows, logits, gradient] = await Promise.all([x, y, dx].map((b) => gpu.readFloats(b)));
  return { bytes: weights.bytes, rows: rows!, logits: logits!, gradient: gradient! };
}

describe.each([
  { head: 'shared with the head', own: false, tables: 1 },
  { head: 'beside a head of rows of inputs', own: true, tables: 2 },
])('an f16 table $head', ({ own, tables }) => {
  it.each([
    { bound: 'whole', maxBindingBytes: undefined },
    { bound: 'in parts', maxBindingBytes: 16384 },
  ])('takes half and means the same, bound $bound', async ({ maxBindingBytes }) => {
    const { files, config } = await loadFamily('llama-optimum-f16');
    const file = mapDecoder(await readOnnx(files.model), config);
    const model = own ? await untied(denseOf(file), files) : file;
    const gpu = maxBindingBytes
      ? await Gpu.create(navigator.gpu, { maxBindingBytes })
      : await testGpu(true);
    const halves = await results(gpu, model, files);
    const floats = await results(gpu, await converted(denseOf(model), files), files);
    expect(halves.rows).toEqual(floats.rows);
    // A table in fewer parts adds up in another order.
    expect(relativeError(halves.logits, floats.logits)).toBeLessThan(1e-6);
    expect(relativeError(halves.gradient, floats.gradient)).toBeLessThan(1e-6);
    const { vocabSize, dim } = model.config;
    const saved = floats.bytes - halves.bytes;
    // Each part is padded to 16 bytes and, in a split head, has a uniform.
    expect(Math.abs(saved - tables * vocabSize * dim * 2)).toBeLessThan(512);
    if (maxBindingBytes) gpu.destroy();
  });
});
