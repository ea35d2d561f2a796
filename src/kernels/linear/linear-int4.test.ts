import { describe, expect, it } from 'vitest';
import { Span, type Gpu } from '../gpu/gpu';
import { createLinearInt4, type Int4Weight } from './linear-int4';
import type { LinearTuning, Tile } from './linear.tile';
import { dequantise, linearGradientReference, linearReference } from './linear.reference';
import {
  centralDifferences,
  GPU_VARIANTS,
  normals,
  random,
  relativeError,
  testGpu,
} from '../gpu/testing';

const SIZES: [rows: number, inFeatures: number, outFeatures: number][] = [
  [1, 32, 1],
  [1, 128, 517],
  [2, 64, 65],
  [7, 128, 128],
  [63, 64, 65],
  [64, 128, 128],
  [65, 384, 128],
  [130, 32, 517],
  [130, 128, 2048],
  [65, 96, 66],
];

/** Those that graphics hardware gets, and tries. */
const SHARED_TILES: readonly Tile[] = [
  { rows: 8, columns: 8, splits: 2, shared: true },
  { rows: 4, columns: 8, splits: 2, shared: true },
  { rows: 4, columns: 4, splits: 4, shared: true },
];

function int4(gpu: Gpu, k: number, n: number, withZeroPoints: boolean) {
  const next = random(11);
  const data = Uint32Array.from({ length: (n * k) / 8 }, () => next() * 2 ** 32);
  const scales = normals(12, (n * k) / 32, 0.1);
  const zeroPoints = withZeroPoints
    ? Uint8Array.from({ length: n * Math.ceil(k / 64) }, () => next() * 256)
    : undefined;
  const weight: Int4Weight = {
    data: gpu.upload('data', data),
    scales: gpu.upload('scales', scales),
    ...(zeroPoints ? { zeroPoints: gpu.upload('zero points', zeroPoints) } : {}),
  };
  const w = dequantise({ inFeatures: k, outFeatures: n }, data, scales, zeroPoints);
  return { weight, w };
}

/** Checks all variants against f64, and that rows outside the span keep their values. */
async function agrees(
  gpu: Gpu,
  rows: number,
  k: number,
  n: number,
  zeroPoints: boolean,
  choice: { tuning?: LinearTuning; tile?: Tile } = {},
) {
  const start = 3;
  const total = rows + start + 2;
  const { weight, w } = int4(gpu, k, n, zeroPoints);
  const bias = normals(13, n);
  const x = normals(1, total * k);
  const dy = normals(2, total * n);
  const residual = normals(3, total * n);
  const yBefore = normals(4, total * n);
  const dxBefore = normals(5, total * k);
  const kernel = await createLinearInt4(gpu, {
    inFeatures: k,
    outFeatures: n,
    zeroPoints,
    bias: zeroPoints,
    ...choice,
  });
  if (zeroPoints) weight.bias = gpu.upload('bias', bias);
  const span = new Span(gpu, 'test');
  span.set(start, rows);
  const upload = (label: string, values: Float32Array) => gpu.upload(label, values);
  const [X, DY, R] = [upload('x', x), upload('dy', dy), upload('residual', residual)];
  const [Y, YR] = [upload('y', yBefore), upload('y + r', yBefore)];
  const [DX, DXA] = [upload('dx', dxBefore), upload('dx + dx', dxBefore)];
  const [PX, PXA] = [upload('dx by parts', dxBefore), upload('dx + dx by parts', dxBefore)];
  const spare = gpu.storage('spare', 3 * DX.size);
  gpu.run([
    kernel.bindForward({ x: X, weight, y: Y, span }),
    kernel.bindForward({ x: X, weight, residual: R, y: YR, span }),
    kernel.bindBackward({ dy: DY, weight, dx: DX, accumulate: false, span }),
    kernel.bindBackward({ dy: DY, weight, dx: DXA, accumulate: true, span }),
    ...kernel.bindBackwardParts({ dy: DY, weight, dx: PX, accumulate: false, span }, spare),
    ...kernel.bindBackwardParts({ dy: DY, weight, dx: PXA, accumulate: true, span }, spare),
  ]);

  const shape = { rows, inFeatures: k, outFeatures: n };
  const [from, to] = [start, start + rows];
  const product = linearReference(
    shape,
    x.subarray(from * k, to * k),
    w,
    zeroPoints ? bias : undefined,
  );
  const gradient = linearGradientReference(shape, dy.subarray(from * n, to * n), w);
  const expected = (
    before: Float32Array,
    width: number,
    values: Float64Array,
    added?: Float32Array,
  ) => {
    const all = Float64Array.from(before);
    values.forEach((value, i) => {
      const at = from * width + i;
      all[at] = value + (added ? added[at]! : 0);
    });
    return all;
  };
  const checks: [GPUBuffer, number, Float32Array, Float64Array][] = [
    [Y, n, yBefore, expected(yBefore, n, product)],
    [YR, n, yBefore, expected(yBefore, n, product, residual)],
    [DX, k, dxBefore, expected(dxBefore, k, gradient)],
    [DXA, k, dxBefore, expected(dxBefore, k, gradient, dxBefore)],
    [PX, k, dxBefore, expected(dxBefore, k, gradient)],
    [PXA, k, dxBefore, expected(dxBefore, k, gradient, dxBefore)],
  ];
  for (const [buffer, width, before, reference] of checks) {
    const got = await gpu.readFloats(buffer, total * width);
    const inside = [from * width, to * width] as const;
    expect(relativeError(got.slice(...inside), reference.slice(...inside))).toBeLessThan(1e-5);
    expect(got.slice(0, inside[0])).toEqual(before.slice(0, inside[0]));
    expect(got.slice(inside[1])).toEqual(before.slice(inside[1]));
  }
  span.release();
  kernel.release();
  gpu.release(X, DY, R, Y, YR, DX, DXA, PX, PXA, spare, ...Object.values(weight));
}

describe.each(GPU_VARIANTS)('int4 linear with $name', ({ subgroups }) => {
  describe.each([false, true])('zero points of its own: %s', (zeroPoints) => {
    it.each(SIZES)(
      'agrees with f64 for %i rows, %i inputs, %i outputs and leaves other rows alone',
      async (rows, k, n) => {
        await agrees(await testGpu(subgroups), rows, k, n, zeroPoints);
      },
    );
  });

  it('agrees with f64 with lanes of a large tile of their own: 9 rows, 128 inputs, 517 outputs', async () => {
    const tile = { rows: 8, columns: 8, lanes: 32, quads: false };
    await agrees(await testGpu(subgroups), 9, 128, 517, false, { tile });
  });

  it('follows the span from one run to the next without being bound again', async () => {
    const gpu = await testGpu(subgroups);
    const [k, n, total] = [64, 65, 80];
    const { weight, w } = int4(gpu, k, n, false);
    const x = normals(1, total * k);
    const kernel = await createLinearInt4(gpu, {
      inFeatures: k,
      outFeatures: n,
      variants: ['forward'],
    });
    const span = new Span(gpu, 'test');
    const X = gpu.upload('x', x);
    const y = gpu.storage('y', total * n * 4);
    const op = kernel.bindForward({ x: X, weight, y, span });
    for (const [start, rows] of [
      [0, 1],
      [1, 40],
      [41, 3],
      [44, 36],
    ] as const) {
      span.set(start, rows);
      gpu.run([op]);
    }
    const reference = linearReference({ rows: total, inFeatures: k, outFeatures: n }, x, w);
    expect(relativeError(await gpu.readFloats(y, total * n), reference)).toBeLessThan(1e-5);
  });

  it('refuses sizes and operands that the layout cannot hold', async () => {
    const gpu = await testGpu(subgroups);
    await expect(createLinearInt4(gpu, { inFeatures: 48, outFeatures: 8 })).rejects.toThrow(
      RangeError,
    );
    await expect(createLinearInt4(gpu, { inFeatures: 32, outFeatures: 0 })).rejects.toThrow(
      RangeError,
    );
    const { weight } = int4(gpu, 32, 8, false);
    const kernel = await createLinearInt4(gpu, {
      inFeatures: 32,
      outFeatures: 8,
      variants: ['forward'],
    });
    const span = new Span(gpu, 'test');
    const [x, y, bias] = [gpu.storage('x', 128), gpu.storage('y', 32), gpu.storage('bias', 32)];
    expect(() => kernel.bindForward({ x, weight, y, span, residual: bias })).toThrow(RangeError);
    expect(() => kernel.bindForward({ x, weight: { ...weight, bias }, y, span })).toThrow(
      RangeError,
    );
    expect(() =>
      kernel.bindForward({ x, weight: { ...weight, zeroPoints: bias }, y, span }),
    ).toThrow(RangeError);
    expect(() => kernel.bindBackward({ dy: y, weight, dx: x, accumulate: false, span })).toThrow(
      RangeError,
    );
  });
});

describe('reference of the linear layer', () => {
  it('has a gradient that central differences confirm', () => {
    const shape = { rows: 3, inFeatures: 8, outFeatures: 5 };
    const w = normals(1, 40);
    const dy = normals(2, 15);
    const x = normals(3, 24);
    const loss = (at: Float64Array) =>
      linearReference(shape, at, w, normals(4, 5)).reduce((sum, v, i) => sum + v * dy[i]!, 0);
    const indices = Array.from(x.keys());
    const differences = centralDifferences(loss, x, indices);
    expect(relativeError(linearGradientReference(shape, dy, w), differences)).toBeLessThan(1e-3);
  });

  it('reads nibbles, scales and zero points where the file format puts them', () => {
    const shape = { inFeatures: 64, outFeatures: 1 };
    const data = new Uint32Array(8);
    data[0] = 0xf0000021; // inputs 0, 1 and 7 of block 0
    data[4] = 0x00000003; // input 32, the first of block 1
    const symmetric = dequantise(shape, data, [2, -1]);
    expect([0, 1, 7, 32].map((i) => symmetric[i])).toEqual([-14, -12, 14, 5]);
    const own = dequantise(shape, data, [2, -1], Uint8Array.of(0x51));
    expect([0, 1, 7, 32].map((i) => own[i])).toEqual([0, 2, 28, 2]);
  });
});

/** They use no subgroup operations. */
describe('int4 linear with lanes that share tiles', () => {
  it.each(SHARED_TILES)(
    'agrees with f64: $rows x $columns outputs each, split in $splits',
    async (tile) => {
      await agrees(await testGpu(false), 70, 160, 131, true, { tile });
    },
  );

  it('agrees with f64 where workgroups share a long reduction out', async () => {
    const gpu = await testGpu(false);
    const tile = { rows: 4, columns: 4, splits: 4, shared: true } as const;
    await agrees(gpu, 5, 64, 2600, false, { tile });
    const kernel = await createLinearInt4(gpu, { inFeatures: 64, outFeatures: 2600, tile });
    const { weight } = int4(gpu, 64, 2600, false);
    const [dy, dx, spare] = [2600, 64, 192].map((floats) => gpu.storage('test', floats * 4));
    const args = { dy: dy!, weight, dx: dx!, accumulate: false, span: new Span(gpu, 'test') };
    expect(kernel.bindBackwardParts(args, spare!)).toHaveLength(2);
    expect(kernel.bindBackwardParts(args, dx!)).toHaveLength(1);
    kernel.release();
    gpu.release(dy, dx, spare, ...Object.values(weight));
  });

  it('refuses tiles that lanes cannot share', async () => {
    const gpu = await testGpu(false);
    for (const [rows, columns, splits] of [
      [8, 16, 2],
      [8, 8, 8],
      [4, 6, 1],
    ] as const) {
      const tile = { rows, columns, splits, shared: true } as const;
      const made = createLinearInt4(gpu, { inFeatures: 64, outFeatures: 64, tile });
      await expect(made).rejects.toThrow(RangeError);
    }
  });
});
