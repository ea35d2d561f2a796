import { describe, expect, it } from 'vitest';
import { Span } from '../gpu/gpu';
import { createRmsNorm, type RmsNormShape } from './rmsnorm';
import { rmsNormGradientReference, rmsNormReference } from './rmsnorm.reference';
import { centralDifferences, GPU_VARIANTS, normals, relativeError, testGpu } from '../gpu/testing';

const EPS = 1e-5;
const SIZES: [rows: number, dim: number][] = [
  [1, 1],
  [1, 64],
  [63, 65],
  [64, 128],
  [65, 63],
  [5, 2048],
];
const LANES: RmsNormShape['lanes'][] = ['thread', 4, 64];

describe.each(GPU_VARIANTS)('rmsnorm with $name', ({ subgroups }) => {
  describe.each(LANES)('lanes %s', (lanes) => {
    it.each(SIZES)(
      'agrees with f64 for %i rows of %i and leaves other rows alone',
      async (n, dim) => {
        const gpu = await testGpu(subgroups);
        const start = 2;
        const total = (n + start + 3) * dim;
        const x = normals(1, total, 3);
        const weight = normals(2, dim);
        const dy = normals(3, total);
        const before = normals(4, total);
        const kernel = await createRmsNorm(gpu, { dim, eps: EPS, lanes, residual: true });
        const span = new Span(gpu, 'test');
        span.set(start, n);
        const buffers = {
          x: gpu.upload('x', x),
          weight: gpu.upload('weight', weight),
          dy: gpu.upload('dy', dy),
          y: gpu.upload('y', before),
          dx: gpu.upload('dx', before),
          sum: gpu.upload('sum', before),
          added: gpu.upload('added', before),
        };
        gpu.run([
          kernel.bind({ ...buffers, span }),
          kernel.bind({ ...buffers, residual: buffers.dy, y: buffers.added, span }),
          kernel.bindBackward({ ...buffers, accumulate: false, span }),
          kernel.bindBackward({ ...buffers, dx: buffers.sum, accumulate: true, span }),
        ]);
        const y = await gpu.readFloats(buffers.y, total);
        const dx = await gpu.readFloats(buffers.dx, total);
        const sum = await gpu.readFloats(buffers.sum, total);

        const added = await gpu.readFloats(buffers.added, total);
        const inside = [start * dim, (start + n) * dim] as const;
        const rows = x.slice(...inside);
        const gradient = rmsNormGradientReference(rows, weight, dy.slice(...inside), dim, EPS);
        const normed = rmsNormReference(rows, weight, dim, EPS);
        expect(relativeError(y.slice(...inside), normed)).toBeLessThan(1e-5);
        expect(
          relativeError(
            added.slice(...inside),
            normed.map((value, i) => value + dy[inside[0] + i]!),
          ),
        ).toBeLessThan(1e-5);
        // A row of one element has no gradient but what eps leaves: `sum` checks it absolutely.
        if (dim > 1) expect(relativeError(dx.slice(...inside), gradient)).toBeLessThan(1e-5);
        expect(
          relativeError(
            sum.slice(...inside),
            gradient.map((value, i) => value + before[inside[0] + i]!),
          ),
        ).toBeLessThan(1e-5);
        for (const written of [y, dx, sum, added]) {
          expect(written.slice(0, inside[0])).toEqual(before.slice(0, inside[0]));
          expect(written.slice(inside[1])).toEqual(before.slice(inside[1]));
        }
        gpu.release(...Object.values(buffers));
        span.release();
      },
    );
  });
});

it('rmsnorm reference gradient agrees with central differences', () => {
  const dim = 13;
  const x = normals(5, 3 * dim, 2);
  const weight = normals(6, dim);
  const dy = normals(7, 3 * dim);
  const loss = (at: Float64Array): number =>
    rmsNormReference(at, weight, dim, EPS).reduce((sum, value, i) => sum + value * dy[i]!, 0);
  const indices = [...x.keys()];
  expect(
    relativeError(
      rmsNormGradientReference(x, weight, dy, dim, EPS),
      centralDifferences(loss, x, indices),
    ),
  ).toBeLessThan(1e-3);
});

it('rmsnorm refuses a width of zero', async () => {
  await expect(createRmsNorm(await testGpu(true), { dim: 0, eps: EPS })).rejects.toThrow(
    RangeError,
  );
});
