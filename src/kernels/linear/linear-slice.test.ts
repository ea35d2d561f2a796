/** A linear layer that is split by outputs, because its weight is larger than a binding. */
import { describe, expect, it } from 'vitest';
import { type Gpu, Span } from '../gpu/gpu';
import { createLinearDense } from './linear-dense';
import { createLinearInt4 } from './linear-int4';
import { GPU_VARIANTS, normals, random, relativeError, testGpu } from '../gpu/testing';

const K = 64;
const ROWS = 65;
const START = 2;
const CASES = [
  { of: 128, cuts: [0, 64, 128] },
  { of: 517, cuts: [0, 192, 517] },
  { of: 200, cuts: [0, 65, 130, 200] },
];

/** Makes the layer of outputs [from, to), which stand in rows of `of`. */
type Make = (gpu: Gpu, from: number, to: number, of: number) => Promise<Layer>;
type Layer = {
  forward(x: GPUBuffer, y: GPUBuffer, residual: GPUBuffer, span: Span): ReturnType<Binder>;
  backward(dy: GPUBuffer, dx: GPUBuffer, accumulate: boolean, span: Span): ReturnType<Binder>;
};
type Binder = Awaited<ReturnType<typeof createLinearDense>>['bindForward'];

const dense: Make = async (gpu, from, to, of) => {
  const values = normals(7, of * K, 0.3).subarray(from * K, to * K);
  const weight = {
    data: gpu.upload('weight', values),
    bias: gpu.upload('bias', normals(9, of).subarray(from, to)),
  };
  const slice = { first: from, of };
  const shape = { inFeatures: K, outFeatures: to - from, slice, layout: 'out_in', bias: true };
  const kernel = await createLinearDense(gpu, { ...shape, layout: 'out_in' });
  return {
    forward: (x, y, residual, span) => kernel.bindForward({ x, weight, y, residual, span }),
    backward: (dy, dx, accumulate, span) =>
      kernel.bindBackward({ dy, weight, dx, accumulate, span }),
  };
};

const int4: Make = async (gpu, from, to, of) => {
  const next = random(5);
  const words = Uint32Array.from({ length: (of * K) / 8 }, () => next() * 2 ** 32);
  const scales = normals(6, (of * K) / 32, 0.05);
  const weight = {
    data: gpu.upload('weight', words.subarray((from * K) / 8, (to * K) / 8)),
    scales: gpu.upload('scales', scales.subarray((from * K) / 32, (to * K) / 32)),
  };
  const slice = { first: from, of };
  const kernel = await createLinearInt4(gpu, { inFeatures: K, outFeatures: to - from, slice });
  return {
    forward: (x, y, residual, span) => kernel.bindForward({ x, weight, y, residual, span }),
    backward: (dy, dx, accumulate, span) =>
      kernel.bindBackward({ dy, weight, dx, accumulate, span }),
  };
};

async function run(gpu: Gpu, layers: readonly Layer[], of: number) {
  const total = START + ROWS + 1;
  const x = gpu.upload('x', normals(1, total * K));
  const dy = gpu.upload('dy', normals(2, total * of));
  const residual = gpu.upload('residual', normals(3, total * of));
  const y = gpu.upload('y', normals(4, total * of));
  const dx = gpu.upload('dx', normals(5, total * K));
  const span = new Span(gpu, 'slices');
  span.set(START, ROWS);
  gpu.run(layers.map((layer) => layer.forward(x, y, residual, span)));
  gpu.run(layers.map((layer, i) => layer.backward(dy, dx, i > 0, span)));
  const results = [await gpu.readFloats(y, total * of), await gpu.readFloats(dx, total * K)];
  gpu.release(x, dy, residual, y, dx);
  span.release();
  return results;
}

describe.each(GPU_VARIANTS)('a split layer with $name', ({ subgroups }) => {
  describe.each([
    { kind: 'dense', make: dense },
    { kind: 'int4', make: int4 },
  ])('$kind', ({ make }) => {
    it.each(CASES)('of $of outputs, cut at $cuts, is the whole layer', async ({ of, cuts }) => {
      const gpu = await testGpu(subgroups);
      const whole = await run(gpu, [await make(gpu, 0, of, of)], of);
      const parts: Layer[] = [];
      for (let i = 0; i + 1 < cuts.length; i++) {
        parts.push(await make(gpu, cuts[i]!, cuts[i + 1]!, of));
      }
      const split = await run(gpu, parts, of);
      expect(relativeError(split[0]!, whole[0]!)).toBeLessThan(1e-6);
      expect(relativeError(split[1]!, whole[1]!)).toBeLessThan(1e-6);
    });
  });
});
