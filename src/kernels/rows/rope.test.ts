import { describe, expect, it } from 'vitest';
import { Span, type Gpu } from '../gpu/gpu';
import { createRope, type RopeBuffers, type RopeKernel } from './rope';
import { ropeReference } from './rope.reference';
import {
  centralDifferences,
  GPU_VARIANTS,
  normals,
  random,
  relativeError,
  testGpu,
} from '../gpu/testing';

const MAX_POSITION = 200;
const UNTOUCHED = 7;

/** Caches with a scaling of their own, as long-context models have: they are read, not computed. */
function caches(headDim: number) {
  const half = headDim / 2;
  const angle = (i: number) => Math.floor(i / half) * 10000 ** (-(i % half) / half);
  const length = MAX_POSITION * half;
  return {
    cos: Float32Array.from({ length }, (_, i) => 1.1 * Math.cos(angle(i))),
    sin: Float32Array.from({ length }, (_, i) => 1.1 * Math.sin(angle(i))),
  };
}

function inputsFor(heads: number, headDim: number, rows: number) {
  const next = random(5);
  return {
    x: normals(1, rows * heads * headDim),
    ...caches(headDim),
    positions: Uint32Array.from({ length: rows }, () => Math.floor(next() * MAX_POSITION)),
  };
}

/** Distinct rows of a pool of `poolRows`, in no order. */
function places(rows: number, poolRows: number): Uint32Array {
  return Uint32Array.from({ length: rows }, (_, i) => (i * 31 + 4) % poolRows);
}

async function apply(
  gpu: Gpu,
  shape: { heads: number; headDim: number },
  inputs: ReturnType<typeof inputsFor>,
  encode: (kernel: RopeKernel, buffers: RopeBuffers) => ReturnType<RopeKernel['bind']>,
  poolRows: number,
  [start, rows] = [0, inputs.positions.length],
) {
  const kernel = await createRope(gpu, shape);
  const span = new Span(gpu, 'rows');
  span.set(start, rows);
  const width = shape.heads * shape.headDim;
  const buffers = {
    x: gpu.upload('x', inputs.x),
    cos: gpu.upload('cos', inputs.cos),
    sin: gpu.upload('sin', inputs.sin),
    positions: gpu.upload('positions', inputs.positions),
    y: gpu.upload('y', new Float32Array(poolRows * width).fill(UNTOUCHED)),
  };
  gpu.run([encode(kernel, { ...buffers, span })]);
  const x = await gpu.readFloats(buffers.x, inputs.x.length);
  const y = await gpu.readFloats(buffers.y, poolRows * width);
  gpu.release(...Object.values(buffers));
  span.release();
  kernel.release();
  return { x, y };
}

describe.each(GPU_VARIANTS)('rope ($name)', ({ subgroups }) => {
  describe.each([
    [1, 8],
    [4, 32],
    [2, 64],
  ])('%i heads of %i', (heads, headDim) => {
    const shape = { heads, headDim };
    it.each([1, 63, 64, 65])('turns %i rows, in place and out of place', async (rows) => {
      const gpu = await testGpu(subgroups);
      const inputs = inputsFor(heads, headDim, rows);
      const { x, cos, sin, positions } = inputs;
      const expected = ropeReference(shape, x, cos, sin, positions);
      const copied = await apply(gpu, shape, inputs, (kernel, b) => kernel.bind(b), rows);
      expect(relativeError(copied.y, expected)).toBeLessThan(1e-5);
      expect(copied.x).toEqual(x);
      const inPlace = await apply(
        gpu,
        shape,
        inputs,
        (kernel, b) => kernel.bind({ ...b, y: b.x }),
        rows,
      );
      expect(relativeError(inPlace.x, expected)).toBeLessThan(1e-5);
    });

    it('turns gradients back by the transpose', async () => {
      const gpu = await testGpu(subgroups);
      const inputs = inputsFor(heads, headDim, 65);
      const expected = ropeReference(
        shape,
        inputs.x,
        inputs.cos,
        inputs.sin,
        inputs.positions,
        true,
      );
      const inPlace = await apply(
        gpu,
        shape,
        inputs,
        (kernel, b) => kernel.bindInverse({ ...b, y: b.x }),
        65,
      );
      expect(relativeError(inPlace.x, expected)).toBeLessThan(1e-5);
    });
  });

  const shape = { heads: 2, headDim: 32 };

  it('writes rows of a span to their rows of the pool and no others', async () => {
    const gpu = await testGpu(subgroups);
    const inputs = inputsFor(2, 32, 65);
    const destination = places(65, 97);
    const turned = ropeReference(shape, inputs.x, inputs.cos, inputs.sin, inputs.positions);
    const expected = new Float64Array(97 * 64).fill(UNTOUCHED);
    for (let i = 5; i < 64; i++)
      expected.set(turned.subarray(i * 64, i * 64 + 64), destination[i]! * 64);
    const buffer = gpu.upload('destination', destination);
    const { y } = await apply(
      gpu,
      shape,
      inputs,
      (kernel, b) => kernel.bind({ ...b, destination: buffer }),
      97,
      [5, 59],
    );
    gpu.release(buffer);
    expect(relativeError(y, expected)).toBeLessThan(1e-5);
  });

  it('leaves rows outside the span alone when it works in place', async () => {
    const gpu = await testGpu(subgroups);
    const inputs = inputsFor(2, 32, 64);
    const { x } = await apply(
      gpu,
      shape,
      inputs,
      (kernel, b) => kernel.bind({ ...b, y: b.x }),
      64,
      [2, 61],
    );
    expect(x.slice(0, 128)).toEqual(inputs.x.slice(0, 128));
    expect(x.slice(63 * 64)).toEqual(inputs.x.slice(63 * 64));
    expect(x.slice(128, 192)).not.toEqual(inputs.x.slice(128, 192));
  });

  it('refuses shapes that have no halves of whole vectors', async () => {
    const gpu = await testGpu(subgroups);
    await expect(createRope(gpu, { heads: 1, headDim: 12 })).rejects.toThrow(RangeError);
  });
});

describe('rope reference', () => {
  it('has its inverse as its gradient', () => {
    const shape = { heads: 2, headDim: 8 };
    const { x, cos, sin, positions } = inputsFor(2, 8, 3);
    const dY = normals(2, x.length);
    const numeric = centralDifferences(
      (at) =>
        ropeReference(shape, at, cos, sin, positions).reduce((sum, y, i) => sum + y * dY[i]!, 0),
      x,
      Array.from(x, (_, i) => i),
    );
    expect(
      relativeError(ropeReference(shape, dY, cos, sin, positions, true), numeric),
    ).toBeLessThan(1e-6);
  });
});
