import { describe, expect, it } from 'vitest';
import { type Gpu, Span } from '../gpu/gpu';
import type { Int4Weight } from './linear-int4';
import { createLinearInt4Rows, type RowsTile } from './linear-int4-rows';
import { dequantise, linearReference } from './linear.reference';
import { GPU_VARIANTS, normals, random, relativeError, testGpu } from '../gpu/testing';

const SOFTWARE: RowsTile[] = [
  { rows: 1, columns: 8, lanes: 4, split: false },
  { rows: 4, columns: 4, lanes: 4, split: false },
];
/** The second has more lanes than the smaller sizes have blocks. */
const SPLIT: RowsTile[] = [
  { rows: 1, columns: 4, lanes: 4, split: true },
  { rows: 4, columns: 4, lanes: 32, split: true },
];
const TILES = [...SOFTWARE, ...SPLIT];

interface Case {
  rows: number;
  k: number;
  n: number;
  zeroPoints: boolean;
  residual: boolean;
  tile?: RowsTile;
  slice?: { first: number; of: number };
}

/** The result against f64, and that nothing else is written. */
async function agrees(gpu: Gpu, { rows, k, n, zeroPoints, residual, tile, slice }: Case) {
  const start = 3;
  const total = rows + start + 2;
  const { first, of } = slice ?? { first: 0, of: n };
  const next = random(11);
  const data = Uint32Array.from({ length: (n * k) / 8 }, () => next() * 2 ** 32);
  const scales = normals(12, (n * k) / 32, 0.1);
  const zeros = zeroPoints
    ? Uint8Array.from({ length: n * Math.ceil(k / 64) }, () => next() * 256)
    : undefined;
  const bias = zeroPoints ? normals(13, n) : undefined;
  const weight: Int4Weight = {
    data: gpu.upload('data', data),
    scales: gpu.upload('scales', scales),
    ...(zeros && { zeroPoints: gpu.upload('zero points', zeros) }),
    ...(bias && { bias: gpu.upload('bias', bias) }),
  };
  const x = normals(1, total * k);
  const before = normals(4, total * of);
  const added = residual ? normals(3, total * of) : null;
  const shape = { inFeatures: k, outFeatures: n };
  const kernel = await createLinearInt4Rows(gpu, {
    ...{ ...shape, zeroPoints, bias: zeroPoints, residual },
    ...(tile && { tile }),
    ...(slice && { slice }),
  });
  const span = new Span(gpu, 'test');
  span.set(start, rows);
  const y = gpu.upload('y', before);
  const args = { x: gpu.upload('x', x), weight, y, span };
  gpu.run([kernel.bind(added ? { ...args, residual: gpu.upload('r', added) } : args)]);

  const w = dequantise(shape, data, scales, zeros);
  const part = x.subarray(start * k, (start + rows) * k);
  const product = linearReference({ rows, ...shape }, part, w, bias);
  const expected = Float64Array.from(before);
  for (const [i, value] of product.entries()) {
    const at = (start + Math.floor(i / n)) * of + first + (i % n);
    expected[at] = value + (added?.[at] ?? 0);
  }
  const actual = await gpu.readFloats(y, before.length);
  expect(relativeError(actual, expected)).toBeLessThan(1e-5);
  const inside = (i: number) => {
    const [row, column] = [Math.floor(i / of) - start, (i % of) - first];
    return row >= 0 && row < rows && column >= 0 && column < n;
  };
  expect(actual.filter((_, i) => !inside(i))).toEqual(before.filter((_, i) => !inside(i)));
  kernel.release();
}

describe.each(GPU_VARIANTS)('linear-int4 for few rows with $name', ({ subgroups }) => {
  describe.each(TILES)('$rows rows × $columns a lane, $lanes lanes, split $split', (tile) => {
    it.each([
      { rows: 1, k: 32, n: 1 },
      { rows: 1, k: 128, n: 517 },
      { rows: 3, k: 96, n: 65 },
      { rows: 8, k: 352, n: 128 },
      { rows: 5, k: 1120, n: 63 },
    ])('equals the f64 product of $rows rows, $k inputs and $n outputs', async (size) => {
      const gpu = await testGpu(subgroups);
      await agrees(gpu, { ...size, zeroPoints: false, residual: false, tile });
      await agrees(gpu, { ...size, zeroPoints: true, residual: true, tile });
    });
  });

  it('writes columns of wider rows', async () => {
    const slice = { first: 64, of: 192 };
    const size = { rows: 2, k: 64, n: 65, zeroPoints: false, residual: true };
    await agrees(await testGpu(subgroups), { ...size, slice });
  });

  it('refuses sizes and arguments that do not belong together', async () => {
    const gpu = await testGpu(subgroups);
    const wrong = createLinearInt4Rows(gpu, { inFeatures: 48, outFeatures: 8 });
    await expect(wrong).rejects.toThrow(RangeError);
    const kernel = await createLinearInt4Rows(gpu, { inFeatures: 32, outFeatures: 8 });
    const buffer = gpu.storage('any', 1024);
    const weight = { data: buffer, scales: buffer, bias: buffer };
    const span = new Span(gpu, 'test');
    expect(() => kernel.bind({ x: buffer, weight, y: buffer, span })).toThrow(RangeError);
  });
});
