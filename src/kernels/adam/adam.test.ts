import { describe, expect, it } from 'vitest';
import { ADAM_DEFAULTS, createAdam } from './adam';
import { adamReference } from './adam.reference';
import { Span } from '../gpu/gpu';
import { createReduce } from '../rows/reduce';
import { GPU_VARIANTS, normals, relativeError, testGpu } from '../gpu/testing';

describe.each(GPU_VARIANTS)('adam with $name', ({ subgroups }) => {
  it.each([
    [1, 1],
    [63, 1],
    [64, Infinity],
    [65, 1],
    [2048, 0.5],
    [2048, 1e6],
  ])('follows f64 for five steps on %i parameters clipped to %f', async (count, maxNorm) => {
    const gpu = await testGpu(subgroups);
    const settings = { ...ADAM_DEFAULTS, lr: 0.05, maxNorm };
    const initial = normals(1, count);
    const reduce = await createReduce(gpu, { slots: 2 });
    const adam = await createAdam(gpu, { count, normSlot: 1 });
    const span = new Span(gpu, 'test');
    span.set(0, count);
    const buffers = {
      parameter: gpu.upload('parameter', initial),
      gradient: gpu.storage('gradient', count * 4),
      m: gpu.storage('m', count * 4),
      v: gpu.storage('v', count * 4),
      metrics: gpu.storage('metrics', 8),
    };
    const ops = [
      ...reduce.bindSquares({ x: buffers.gradient, span, metrics: buffers.metrics, slot: 1 }),
      adam.bind(buffers),
    ];
    const state = {
      parameter: Float64Array.from(initial),
      m: new Float64Array(count),
      v: new Float64Array(count),
    };
    for (let step = 1; step <= 5; step++) {
      // The scale passes through the clipping threshold.
      const gradient = normals(10 + step, count, 4 / 4 ** step);
      adamReference(state, gradient, settings, step);
      gpu.write(buffers.gradient, gradient);
      adam.set(settings, step);
      gpu.run(ops);
    }
    const moved = (parameter: ArrayLike<number>): number[] =>
      Array.from(parameter, (value, i) => value - initial[i]!);
    const parameter = await gpu.readFloats(buffers.parameter, count);
    expect(relativeError(parameter, state.parameter)).toBeLessThan(1e-5);
    expect(relativeError(moved(parameter), moved(state.parameter))).toBeLessThan(1e-4);
    expect(relativeError(await gpu.readFloats(buffers.m, count), state.m)).toBeLessThan(1e-5);
    expect(relativeError(await gpu.readFloats(buffers.v, count), state.v)).toBeLessThan(1e-5);
    reduce.release();
    adam.release();
    gpu.release(...Object.values(buffers));
    span.release();
  });

  it('leaves parameters where they are when the gradient is zero', async () => {
    const gpu = await testGpu(subgroups);
    const initial = normals(2, 10);
    const adam = await createAdam(gpu, { count: 10, normSlot: 0 });
    const buffers = {
      parameter: gpu.upload('parameter', initial),
      gradient: gpu.storage('gradient', 40),
      m: gpu.storage('m', 40),
      v: gpu.storage('v', 40),
      metrics: gpu.storage('metrics', 4),
    };
    adam.set(ADAM_DEFAULTS, 1);
    gpu.run([adam.bind(buffers)]);
    expect(await gpu.readFloats(buffers.parameter, 10)).toEqual(initial);
    expect(() => adam.set(ADAM_DEFAULTS, 0)).toThrow(RangeError);
    adam.release();
    gpu.release(...Object.values(buffers));
  });
});
