import { describe, expect, it } from 'vitest';
import { float16ToFloat32, float32ToFloat16 } from '../../formats/float16';
import { Span, type Gpu } from '../gpu/gpu';
import { createLinearDense, type DenseLayout, type DenseWeight } from './linear-dense';
import type { LinearTuning, Tile } from './linear.tile';
import { linearGradientReference, linearReference } from './linear.reference';
import { GPU_VARIANTS, normals, relativeError, testGpu } from '../gpu/testing';

const LAYOUTS: DenseLayout[] = ['out_in', 'in_out'];
const SIZES: [rows: number, inFeatures: number, outFeatures: number][] = [
  [1, 1, 1],
  [1, 128, 517],
  [2, 63, 65],
  [7, 128, 128],
  [63, 64, 65],
  [64, 128, 128],
  [65, 384, 130],
  [130, 66, 517],
  [130, 128, 2048],
];

/** [N, K] → [K, N]. */
function transpose(w: Float32Array, n: number, k: number): Float32Array {
  return w.map((_, i) => w[(i % n) * k + Math.floor(i / n)]!);
}

/** Checks the four variants against f64, and that rows outside the span keep their values. */
async function agrees(
  gpu: Gpu,
  rows: number,
  k: number,
  n: number,
  layout: DenseLayout,
  options: { tuning?: LinearTuning; tile?: Tile; stored?: 'f16' | 'f32' } = {},
) {
  const start = 3;
  const total = rows + start + 2;
  const hasBias = n % 2 === 1;
  const half = options.stored === 'f16';
  const drawn = normals(11, n * k, 0.3);
  const w = half ? float16ToFloat32(float32ToFloat16(drawn)) : drawn;
  const laidOut = layout === 'out_in' ? w : transpose(w, n, k);
  const bias = normals(13, n);
  const x = normals(1, total * k);
  const dy = normals(2, total * n);
  const residual = normals(3, total * n);
  const yBefore = normals(4, total * n);
  const dxBefore = normals(5, total * k);
  const weight: DenseWeight = {
    data: gpu.upload('weight', half ? float32ToFloat16(laidOut) : laidOut),
    ...(hasBias ? { bias: gpu.upload('bias', bias) } : {}),
  };
  const kernel = await createLinearDense(gpu, {
    inFeatures: k,
    outFeatures: n,
    layout,
    bias: hasBias,
    ...options,
  });
  const span = new Span(gpu, 'test');
  span.set(start, rows);
  const upload = (label: string, values: Float32Array) => gpu.upload(label, values);
  const [X, DY, R] = [upload('x', x), upload('dy', dy), upload('residual', residual)];
  const [Y, YR] = [upload('y', yBefore), upload('y + r', yBefore)];
  const [DX, DXA] = [upload('dx', dxBefore), upload('dx + dx', dxBefore)];
  gpu.run([
    kernel.bindForward({ x: X, weight, y: Y, span }),
    kernel.bindForward({ x: X, weight, residual: R, y: YR, span }),
    kernel.bindBackward({ dy: DY, weight, dx: DX, accumulate: false, span }),
    kernel.bindBackward({ dy: DY, weight, dx: DXA, accumulate: true, span }),
  ]);

  const shape = { rows, inFeatures: k, outFeatures: n };
  const [from, to] = [start, start + rows];
  const product = linearReference(
    shape,
    x.subarray(from * k, to * k),
    w,
    hasBias ? bias : undefined,
  );
  const gradient = linearGradientReference(shape, dy.subarray(from * n, to * n), w);
  const plus = (values: Float64Array, added: Float32Array, width: number) =>
    values.map((value, i) => value + added[from * width + i]!);
  const checks: [GPUBuffer, number, Float32Array, Float64Array][] = [
    [Y, n, yBefore, product],
    [YR, n, yBefore, plus(product, residual, n)],
    [DX, k, dxBefore, gradient],
    [DXA, k, dxBefore, plus(gradient, dxBefore, k)],
  ];
  for (const [buffer, width, before, reference] of checks) {
    const got = await gpu.readFloats(buffer, total * width);
    const inside = [from * width, to * width] as const;
    expect(relativeError(got.slice(...inside), reference)).toBeLessThan(1e-5);
    expect(got.slice(0, inside[0])).toEqual(before.slice(0, inside[0]));
    expect(got.slice(inside[1])).toEqual(before.slice(inside[1]));
  }
  span.release();
  kernel.release();
  gpu.release(X, DY, R, Y, YR, DX, DXA, weight.data, weight.bias);
}

describe.each(GPU_VARIANTS)('dense linear with $name', ({ subgroups }) => {
  describe.each(LAYOUTS)('layout %s', (layout) => {
    it.each(SIZES)(
      'agrees with f64 for %i rows, %i inputs, %i outputs and leaves other rows alone',
      async (rows, k, n) => {
        await agrees(await testGpu(subgroups), rows, k, n, layout);
      },
    );
  });

  it.each([
    ['out_in', 65, 64, 130],
    ['out_in', 3, 36, 517],
    ['in_out', 65, 66, 128],
  ] as const)(
    'reads f16 weights %s: %i rows, %i inputs, %i outputs',
    async (layout, rows, k, n) => {
      await agrees(await testGpu(subgroups), rows, k, n, layout, { stored: 'f16' });
    },
  );

  it('refuses f16 weights whose rows are no whole vec4', async () => {
    const gpu = await testGpu(subgroups);
    const shape = { inFeatures: 66, outFeatures: 64, layout: 'out_in', stored: 'f16' } as const;
    await expect(createLinearDense(gpu, shape)).rejects.toThrow(RangeError);
  });

  it('agrees with f64 with the tile for graphics hardware', async () => {
    await agrees(await testGpu(subgroups), 9, 256, 66, 'out_in', { tuning: 'hardware' });
  });

  it.each([
    [9, 256, 66, 'out_in', 'f32'],
    [70, 37, 131, 'in_out', 'f32'],
    [33, 130, 50, 'out_in', 'f32'],
    [40, 36, 68, 'out_in', 'f16'],
    [40, 36, 68, 'in_out', 'f16'],
  ] as const)(
    'agrees with f64 with lanes that share tiles: %i rows, %i inputs, %i outputs, %s in %s',
    async (rows, k, n, layout, stored) => {
      const tile = { rows: 4, columns: 4, splits: rows % 2 === 0 ? 1 : 4, shared: true } as const;
      await agrees(await testGpu(subgroups), rows, k, n, layout, { tile, stored });
    },
  );

  it('refuses sizes that are no positive integers, and a bias it was not made for', async () => {
    const gpu = await testGpu(subgroups);
    await expect(
      createLinearDense(gpu, { inFeatures: 0, outFeatures: 8, layout: 'out_in' }),
    ).rejects.toThrow(RangeError);
    const kernel = await createLinearDense(gpu, {
      inFeatures: 4,
      outFeatures: 4,
      layout: 'in_out',
    });
    const [data, bias, x, y] = ['w', 'b', 'x', 'y'].map((label) => gpu.storage(label, 64));
    const span = new Span(gpu, 'test');
    expect(() =>
      kernel.bindForward({ x: x!, weight: { data: data!, bias: bias! }, y: y!, span }),
    ).toThrow(RangeError);
  });
});
