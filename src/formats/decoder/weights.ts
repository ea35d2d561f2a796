import { UnsupportedModelError } from './errors';
import type { DenseTensor, EmbeddingTable, Rotary } from './model';
import type { DenseLinear, Int4Linear, Linear } from './linear';
import { aligned, type ModelFiles, readFloats, readTensor } from './tensor';

/** An int4 layer in memory, in the layout of Int4Linear. */
export interface Int4Weights {
  /** [outFeatures, inFeatures / 8]; nibble i (bits 4i to 4i + 3) of word w is input 8w + i. */
  data: Uint32Array;
  /** [outFeatures, inFeatures / blockSize]. */
  scales: Float32Array;
  /** [outFeatures, ⌈blocks / 2⌉], low nibble = even block; null means 8 everywhere. */
  zeroPoints: Uint8Array | null;
  /** [outFeatures]. */
  bias: Float32Array | null;
}

/** Reads an int4 layer; halves become floats, packed weights stay as they are. */
export async function readInt4(linear: Int4Linear, files: ModelFiles): Promise<Int4Weights> {
  const { data, scales, zeroPoints, bias } = linear;
  return {
    data: new Uint32Array(aligned(await readTensor(data, files))),
    scales: await readFloats(scales, files),
    zeroPoints: zeroPoints ? await readTensor(zeroPoints, files) : null,
    bias: bias ? await readFloats(bias, files) : null,
  };
}

/** A dense layer's weights as float32 [outFeatures, inFeatures], whatever the file's layout. */
export async function readDense(linear: DenseLinear, files: ModelFiles): Promise<Float32Array> {
  const values = await readFloats(linear.data, files);
  if (linear.layout === 'out_in') return values;
  const { outFeatures: rows, inFeatures: columns } = linear;
  const turned = new Float32Array(values.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      turned[row * columns + column] = values[column * rows + row]!;
    }
  }
  return turned;
}

/** w = (q − zeroPoint) · scale, as float32 [outFeatures, inFeatures]. */
export function dequantise(linear: Int4Linear, weights: Int4Weights): Float32Array {
  const { outFeatures, inFeatures, blockSize } = linear;
  const blocks = inFeatures / blockSize;
  const zeroStride = Math.ceil(blocks / 2);
  const values = new Float32Array(outFeatures * inFeatures);
  for (let row = 0; row < outFeatures; row++) {
    for (let block = 0; block < blocks; block++) {
      const scale = weights.scales[row * blocks + block]!;
      const zeros = weights.zeroPoints?.[row * zeroStride + (block >> 1)];
      const zero = zeros === undefined ? 8 : (zeros >> (4 * (block & 1))) & 15;
      const start = row * inFeatures + block * blockSize;
      for (let index = start; index < start + blockSize; index++) {
        const level = (weights.data[index >> 3]! >>> (4 * (index & 7))) & 15;
        values[index] = (level - zero) * scale;
      }
    }
  }
  return values;
}

/** Scales and zero points for every 32 inputs, whatever longer blocks the file has. */
export async function readScales(
  linear: Int4Linear,
  files: ModelFiles,
): Promise<Pick<Int4Weights, 'scales' | 'zeroPoints'>> {
  const { blockSize, data, inFeatures, outFeatures } = linear;
  if (blockSize % 32 !== 0) {
    throw new UnsupportedModelError(
      `"${data.name}" is quantised in blocks of ${blockSize}; multiples of 32 can be trained.`,
    );
  }
  const scales = await readFloats(linear.scales, files);
  const zeroPoints = linear.zeroPoints ? await readTensor(linear.zeroPoints, files) : null;
  const repeat = blockSize / 32;
  if (repeat === 1) return { scales, zeroPoints };
  const blocks = inFeatures / 32;
  const wide = inFeatures / blockSize;
  const source = (i: number) => Math.floor(i / blocks) * wide + Math.floor((i % blocks) / repeat);
  const repeated = Float32Array.from(
    { length: outFeatures * blocks },
    (_, i) => scales[source(i)]!,
  );
  if (zeroPoints === null) return { scales: repeated, zeroPoints };
  const stride = Math.ceil(blocks / 2);
  const packed = new Uint8Array(outFeatures * stride);
  for (let row = 0; row < outFeatures; row++) {
    for (let block = 0; block < blocks; block++) {
      const from = Math.floor(block / repeat);
      const byte = zeroPoints[row * Math.ceil(wide / 2) + (from >> 1)]!;
      packed[row * stride + (block >> 1)]! |=
        ((byte >> (4 * (from & 1))) & 15) << (4 * (block & 1));
    }
  }
  return { scales: repeated, zeroPoints: packed };
}

/** A norm's weights, with what is added to them. */
export async function readNorm(
  { data, offset = 0 }: DenseTensor,
  files: ModelFiles,
): Promise<Float32Array> {
  const values = await readFloats(data, files);
  return offset === 0 ? values : values.map((value) => value + offset);
}

/** Any layer's weights as float32 [outFeatures, inFeatures]. */
export async function readMatrix(linear: Linear, files: ModelFiles): Promise<Float32Array> {
  if (linear.kind === 'dense') return readDense(linear, files);
  return dequantise(linear, await readInt4(linear, files));
}

/** The whole embedding as float32 [vocabSize, dim], dequantised where it is int4. */
export async function readEmbedding(
  table: EmbeddingTable,
  files: ModelFiles,
): Promise<Float32Array> {
  return table.kind === 'dense' ? readFloats(table.data, files) : readMatrix(table.table, files);
}

/** cos and sin of every position, [positions, headDim / 2]. */
export async function readRotary(
  rotary: Rotary,
  files: ModelFiles,
): Promise<{ cos: Float32Array; sin: Float32Array }> {
  if (rotary.kind === 'caches') {
    const read = async ({ data }: DenseTensor) => {
      const values = await readFloats(data, files);
      return rotary.repeated ? firstHalves(values, values.length / rotary.positions) : values;
    };
    return { cos: await read(rotary.cos), sin: await read(rotary.sin) };
  }
  const { scale, positions } = rotary;
  const inverse =
    rotary.kind === 'computed' ? rotary.inverse : await readFloats(rotary.inverse.data, files);
  const half = inverse.length;
  const cos = new Float32Array(positions * half);
  const sin = new Float32Array(positions * half);
  for (let position = 0; position < positions; position++) {
    for (let i = 0; i < half; i++) {
      // The graph multiplies in float32, which matters at large angles.
      const angle = Math.fround(position * inverse[i]!);
      cos[position * half + i] = scale * Math.cos(angle);
      sin[position * half + i] = scale * Math.sin(angle);
    }
  }
  return { cos, sin };
}

/** The first half of every row of `width` values. */
function firstHalves(values: Float32Array, width: number): Float32Array {
  const half = width / 2;
  return Float32Array.from(
    { length: values.length / 2 },
    (_, i) => values[Math.floor(i / half) * width + (i % half)]!,
  );
}
