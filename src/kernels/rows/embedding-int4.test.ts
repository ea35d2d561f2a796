import { describe, expect, it } from 'vitest';
import { createEmbeddingInt4 } from './embedding-int4';
import { Span } from '../gpu/gpu';
import { GPU_VARIANTS, normals, random, relativeError, testGpu } from '../gpu/testing';

const SIZES: [rows: number, dim: number, vocabulary: number][] = [
  [1, 32, 1],
  [63, 64, 517],
  [64, 96, 65],
  [65, 128, 517],
];
const CASES = SIZES.flatMap((size) => [true, false].map((zeroPoints) => ({ size, zeroPoints })));

describe.each(GPU_VARIANTS)('int4 embedding with $name', ({ subgroups }) => {
  it.each(CASES)(
    'dequantises rows, dim and vocabulary $size, zero points $zeroPoints',
    async ({ size: [rows, dim, vocabulary], zeroPoints }) => {
      const gpu = await testGpu(subgroups);
      const start = 2;
      const next = random(3);
      const levels = Uint8Array.from({ length: vocabulary * dim }, () => Math.floor(next() * 16));
      const blocks = dim / 32;
      const scales = normals(4, vocabulary * blocks);
      const zeros = Uint8Array.from({ length: vocabulary * blocks }, () => Math.floor(next() * 16));
      const packed = new Uint8Array(vocabulary * Math.ceil(blocks / 2));
      zeros.forEach((zero, i) => {
        const block = i % blocks;
        packed[Math.floor(i / blocks) * Math.ceil(blocks / 2) + (block >> 1)]! |=
          zero << (4 * (block & 1));
      });
      const bytes = Uint8Array.from(
        { length: levels.length / 2 },
        (_, i) => levels[2 * i]! | (levels[2 * i + 1]! << 4),
      );
      const token = Uint32Array.from({ length: start + rows + 1 }, () =>
        Math.floor(next() * vocabulary),
      );
      const before = normals(5, token.length * dim);
      const kernel = await createEmbeddingInt4(gpu, { dim, vocabulary, zeroPoints, scale: 3 });
      const span = new Span(gpu, 'test');
      span.set(start, rows);
      const table = {
        data: gpu.upload('data', bytes),
        scales: gpu.upload('scales', scales),
        zeroPoints: gpu.upload('zero points', packed),
      };
      const buffers = { token: gpu.upload('token', token), y: gpu.upload('y', before) };
      gpu.run([kernel.bind({ table, ...buffers, span })]);
      const y = await gpu.readFloats(buffers.y, before.length);
      const wanted = Float64Array.from(before, (value, i) => {
        const row = Math.floor(i / dim);
        if (row < start || row >= start + rows) return value;
        const at = token[row]! * dim + (i % dim);
        const block = Math.floor(at / 32);
        return 3 * (levels[at]! - (zeroPoints ? zeros[block]! : 8)) * scales[block]!;
      });
      expect(relativeError(y, wanted)).toBeLessThan(1e-6);
      const outside = (values: ArrayLike<number>) =>
        Array.from(values).filter((_, i) => i < start * dim || i >= (start + rows) * dim);
      expect(outside(y)).toEqual(outside(before));
      gpu.release(...Object.values(table), ...Object.values(buffers));
      span.release();
    },
  );

  it('refuses rows that are no whole blocks', async () => {
    const gpu = await testGpu(subgroups);
    const shape = { dim: 48, vocabulary: 4, zeroPoints: false };
    await expect(createEmbeddingInt4(gpu, shape)).rejects.toThrow(RangeError);
  });

  it('reads a table that stands in parts as it reads the whole', async () => {
    const gpu = await testGpu(subgroups);
    const [dim, vocabulary, cut] = [64, 130, 65];
    const next = random(8);
    const words = Uint32Array.from({ length: (vocabulary * dim) / 8 }, () => next() * 2 ** 32);
    const scales = normals(9, (vocabulary * dim) / 32);
    const token = gpu.upload('token', Uint32Array.of(0, 64, 65, 129, 7, 100));
    const span = new Span(gpu, 'test');
    span.set(0, 6);
    const rows = async (cuts: number[]) => {
      const y = gpu.storage('y', 6 * dim * 4);
      for (let i = 0; i + 1 < cuts.length; i++) {
        const [first, end] = [cuts[i]!, cuts[i + 1]!];
        const shape = { dim, vocabulary: end - first, zeroPoints: false };
        const part = end - first < vocabulary ? { first } : {};
        const kernel = await createEmbeddingInt4(gpu, { ...shape, ...part });
        const table = {
          data: gpu.upload('data', words.subarray((first * dim) / 8, (end * dim) / 8)),
          scales: gpu.upload('scales', scales.subarray((first * dim) / 32, (end * dim) / 32)),
        };
        gpu.run([kernel.bind({ table, token, y, span })]);
      }
      return gpu.readFloats(y, 6 * dim);
    };
    expect(await rows([0, cut, vocabulary])).toEqual(await rows([0, vocabulary]));
  });
});
