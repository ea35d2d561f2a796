/** A plain float64 Llama forward pass over a mapped file: what its weights must mean. */
import type { DecoderModel, Linear } from './decoder';
import { type ModelFiles, readFloats } from './tensor';
import { readEmbedding, readMatrix, readRotary } from './weights';

/** Logits [tokens.length, vocabSize] of one sequence from position 0. */
export async function referenceLogits(
  model: DecoderModel,
  files: ModelFiles,
  tokens: readonly number[],
): Promise<Float64Array> {
  const { dim, heads, kvHeads, headDim, ffnDim, vocabSize, normEps } = model.config;
  const rows = tokens.length;
  const linear = async (layer: Linear, x: Float64Array): Promise<Float64Array> => {
    const weights = await readMatrix(layer, files);
    const bias = layer.bias ? await readFloats(layer.bias, files) : null;
    const { outFeatures: out, inFeatures: width } = layer;
    return Float64Array.from({ length: rows * out }, (_, at) => {
      const row = Math.floor(at / out);
      const output = at % out;
      let sum = bias?.[output] ?? 0;
      for (let i = 0; i < width; i++) sum += x[row * width + i]! * weights[output * width + i]!;
      return sum;
    });
  };
  const norm = async (weight: DecoderModel['finalNorm'], x: Float64Array) => {
    const scale = await readFloats(weight.data, files);
    return x.map((value, at) => {
      const start = Math.floor(at / dim) * dim;
      const row = x.subarray(start, start + dim);
      const mean = row.reduce((sum, one) => sum + one * one, 0) / dim;
      return (value / Math.sqrt(mean + normEps)) * scale[at - start]!;
    });
  };
  const { cos, sin } = await readRotary(model.rotary, files);
  const rotate = (x: Float64Array, count: number): Float64Array => {
    const half = headDim / 2;
    return x.map((value, at) => {
      const position = Math.floor(at / (count * headDim));
      const i = at % headDim;
      const angle = position * half + (i % half);
      const other = i < half ? -x[at + half]! : x[at - half]!;
      return value * cos[angle]! + other * sin[angle]!;
    });
  };
  const embedding = await readEmbedding(model.embedding, files);
  let h = Float64Array.from(
    tokens.flatMap((token) => [...embedding.subarray(token * dim, token * dim + dim)]),
  );
  for (const layer of model.layers) {
    const x = await norm(layer.inputNorm, h);
    const q = rotate(await linear(layer.q, x), heads);
    const k = rotate(await linear(layer.k, x), kvHeads);
    const v = await linear(layer.v, x);
    const mixed = new Float64Array(rows * heads * headDim);
    for (let row = 0; row < rows; row++) {
      for (let head = 0; head < heads; head++) {
        const shared = Math.floor((head * kvHeads) / heads);
        const at = (row * heads + head) * headDim;
        const weights = Array.from({ length: row + 1 }, (_, key) => {
          let dot = 0;
          for (let i = 0; i < headDim; i++)
            dot += q[at + i]! * k[(key * kvHeads + shared) * headDim + i]!;
          return Math.exp(dot / Math.sqrt(headDim));
        });
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        for (const [key, weight] of weights.entries())
          for (let i = 0; i < headDim; i++)
            mixed[at + i]! += (weight / total) * v[(key * kvHeads + shared) * headDim + i]!;
      }
    }
    const attended = await linear(layer.o, mixed);
    h = h.map((value, at) => value + attended[at]!);
    const y = await norm(layer.postNorm, h);
    const gate = await linear(layer.gate, y);
    const up = await linear(layer.up, y);
    const gated = gate.map((value, at) => (value / (1 + Math.exp(-value))) * up[at]!);
    if (gated.length !== rows * ffnDim) throw new RangeError('The MLP has a wrong width.');
    const down = await linear(layer.down, gated);
    h = h.map((value, at) => value + down[at]!);
  }
  const logits = await linear(model.head, await norm(model.finalNorm, h));
  if (logits.length !== rows * vocabSize) throw new RangeError('The head has a wrong width.');
  return logits;
}
