import { describe, expect, it } from 'vitest';
import { Span } from '../gpu/gpu';
import { createSwiglu } from './swiglu';
import { swigluGradientReference, swigluReference } from './swiglu.reference';
import { centralDifferences, GPU_VARIANTS, normals, relativeError, testGpu } from '../gpu/testing';

const ACTIVATIONS = ['silu', 'gelu-tanh'] as const;
const CASES = GPU_VARIANTS.flatMap((variant) =>
  ACTIVATIONS.map((activation) => ({ ...variant, activation })),
);

describe.each(CASES)('$activation unit with $name', ({ subgroups, activation }) => {
  it.each([
    [1, 1],
    [63, 64],
    [64, 63],
    [65, 65],
    [7, 384],
  ])('agrees with f64 for %i rows of %i and leaves other rows alone', async (rows, dim) => {
    const gpu = await testGpu(subgroups);
    const start = 3;
    const total = (rows + start + 2) * dim;
    const gate = normals(1, total, 4);
    gate[start * dim] = -120;
    gate[(start + rows) * dim - 1] = 120;
    const up = normals(2, total);
    const dh = normals(3, total);
    const kernel = await createSwiglu(gpu, { dim, activation });
    const span = new Span(gpu, 'test');
    span.set(start, rows);
    const buffers = {
      gate: gpu.upload('gate', gate),
      up: gpu.upload('up', up),
      h: gpu.upload('h', dh),
      dh: gpu.upload('dh', dh),
    };
    gpu.run([kernel.bind({ ...buffers, span }), kernel.bindBackward({ ...buffers, span })]);
    const h = await gpu.readFloats(buffers.h, total);
    const dgate = await gpu.readFloats(buffers.gate, total);
    const dup = await gpu.readFloats(buffers.up, total);

    const inside = [start * dim, (start + rows) * dim] as const;
    const gradient = swigluGradientReference(dh, gate, up, activation);
    const checks = [
      [h, swigluReference(gate, up, activation), dh],
      [dgate, gradient.dgate, gate],
      [dup, gradient.dup, up],
    ] as const;
    for (const [got, wanted, before] of checks) {
      expect(relativeError(got.slice(...inside), wanted.slice(...inside))).toBeLessThan(1e-5);
      expect(got.slice(0, inside[0])).toEqual(before.slice(0, inside[0]));
      expect(got.slice(inside[1])).toEqual(before.slice(inside[1]));
    }
    gpu.release(...Object.values(buffers));
    span.release();
  });
});

it.each(ACTIVATIONS)('%s reference gradients agree with central differences', (activation) => {
  const gate = normals(4, 40, 3);
  const up = normals(5, 40);
  const dh = normals(6, 40);
  const dot = (h: Float64Array): number => h.reduce((sum, value, i) => sum + value * dh[i]!, 0);
  const { dgate, dup } = swigluGradientReference(dh, gate, up, activation);
  const all = [...gate.keys()];
  expect(
    relativeError(
      dgate,
      centralDifferences((at) => dot(swigluReference(at, up, activation)), gate, all),
    ),
  ).toBeLessThan(1e-3);
  expect(
    relativeError(
      dup,
      centralDifferences((at) => dot(swigluReference(gate, at, activation)), up, all),
    ),
  ).toBeLessThan(1e-3);
});
