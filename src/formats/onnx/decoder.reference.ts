/** A plain float64 forward pass over a mapped file: what its weights and features must mean. */
import type { Linear } from '../decoder/linear';
import type { DecoderModel, DenseTensor } from '../decoder/model';
import { type ModelFiles, readFloats } from '../decoder/tensor';
import { readEmbedding, readMatrix, readNorm, readRotary } from '../decoder/weights';

/** Logits [tokens.length, vocabSize] of one sequence from position 0. */
export async function referenceLogits(
  model: DecoderModel,
  files: ModelFiles,
  tokens: readonly number[],
): Promise<Float64Array> {
  const { config } = model;
  const { dim, heads, kvHeads, headDim, ffnDim, vocabSize, normEps } = config;
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
  /** RMSNorm of rows as long as the weight; as it is where the model has none there. */
  const norm = async (weight: DenseTensor | undefined, x: Float64Array) => {
    if (weight === undefined) return x;
    const scale = await readNorm(weight, files);
    const width = scale.length;
    const out = new Float64Array(x.length);
    for (let start = 0; start < x.length; start += width) {
      const row = x.subarray(start, start + width);
      const mean = row.reduce((sum, one) => sum + one * one, 0) / width;
      const factor = 1 / Math.sqrt(mean + normEps);
      for (let i = 0; i < width; i++) out[start + i] = row[i]! * factor * scale[i]!;
    }
    return out;
  };
  const cap = (x: number, at: number | null) => (at === null ? x : at * Math.tanh(x / at));
  const activate = (x: number) =>
    config.activation === 'silu'
      ? x / (1 + Math.exp(-x))
      : 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
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
  ).map((value) => value * config.embeddingScale);
  for (const [index, layer] of model.layers.entries()) {
    const x = await norm(layer.inputNorm, h);
    const q = rotate(await norm(layer.qNorm, await linear(layer.q, x)), heads);
    const k = rotate(await norm(layer.kNorm, await linear(layer.k, x)), kvHeads);
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
          if (row - key >= (config.windows[index] ?? Infinity)) return 0;
          return Math.exp(cap(dot * config.attentionScale, config.attentionSoftCap));
        });
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        for (const [key, weight] of weights.entries())
          for (let i = 0; i < headDim; i++)
            mixed[at + i]! += (weight / total) * v[(key * kvHeads + shared) * headDim + i]!;
      }
    }
    const attended = await norm(layer.attentionNorm, await linear(layer.o, mixed));
    h = h.map((value, at) => value + attended[at]!);
    const y = await norm(layer.postNorm, h);
    const gate = await linear(layer.gate, y);
    const up = await linear(layer.up, y);
    const gated = gate.map((value, at) => activate(value) * up[at]!);
    if (gated.length !== rows * ffnDim) throw new RangeError('The MLP has a wrong width.');
    const down = await norm(layer.mlpNorm, await linear(layer.down, gated));
    h = h.map((value, at) => value + down[at]!);
  }
  const logits = await linear(model.head, await norm(model.finalNorm, h));
  if (logits.length !== rows * vocabSize) throw new RangeError('The head has a wrong width.');
  return logits.map((value) => cap(value, config.logitSoftCap));
}
