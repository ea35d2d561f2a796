import { describe, expect, it } from 'vitest';
import { Span } from '../gpu/gpu';
import { createSoftCap } from './soft-cap';
import { centralDifferences, GPU_VARIANTS, normals, relativeError, testGpu } from '../gpu/testing';

const CAP = 3;
const capped = (x: number) => CAP * Math.tanh(x / CAP);
const slope = (x: number) => 1 - Math.tanh(x / CAP) ** 2;

describe.each(GPU_VARIANTS)('soft cap with $name', ({ subgroups }) => {
  it.each([
    [1, 1],
    [63, 65],
    [64, 63],
    [65, 64],
    [3, 517],
  ])('agrees with f64 for %i rows of %i and leaves other rows alone', async (rows, dim) => {
    const gpu = await testGpu(subgroups);
    const start = 2;
    const total = (rows + start + 1) * dim;
    const x = normals(1, total, 4);
    x[start * dim] = -400;
    const dy = normals(2, total);
    const kernel = await createSoftCap(gpu, { dim, cap: CAP });
    const span = new Span(gpu, 'test');
    span.set(start, rows);
    const buffers = {
      y: gpu.upload('y', x),
      plain: gpu.upload('plain', x),
      kept: gpu.upload('kept', dy),
      dy: gpu.upload('dy', dy),
    };
    gpu.run([
      kernel.bind({ y: buffers.y, kept: buffers.kept, span }),
      kernel.bind({ y: buffers.plain, span }),
      kernel.bindBackward({ dy: buffers.dy, kept: buffers.kept, span }),
    ]);
    const inside = [start * dim, (start + rows) * dim] as const;
    const checks = [
      [buffers.y, x, [...x].map(capped)],
      [buffers.plain, x, [...x].map(capped)],
      [buffers.kept, dy, [...x].map(capped)],
      [buffers.dy, dy, [...dy].map((d, i) => d * slope(x[i]!))],
    ] as const;
    for (const [buffer, before, wanted] of checks) {
      const got = await gpu.readFloats(buffer, total);
      expect(relativeError(got.slice(...inside), wanted.slice(...inside))).toBeLessThan(1e-5);
      expect(got.slice(0, inside[0])).toEqual(before.slice(0, inside[0]));
      expect(got.slice(inside[1])).toEqual(before.slice(inside[1]));
    }
    gpu.release(...Object.values(buffers));
    span.release();
  });

  it('refuses a cap that is not positive', async () => {
    const gpu = await testGpu(subgroups);
    await expect(createSoftCap(gpu, { dim: 4, cap: 0 })).rejects.toThrow(RangeError);
  });
});

it('the slope of the soft cap is its central difference', () => {
  const x = normals(3, 30, 3);
  const numeric = centralDifferences((at) => at.reduce((sum, value) => sum + capped(value), 0), x, [
    ...x.keys(),
  ]);
  expect(relativeError([...x].map(slope), numeric)).toBeLessThan(1e-3);
});
