import { describe, expect, it } from 'vitest';
import { Span } from '../gpu/gpu';
import { createReduce } from './reduce';
import { GPU_VARIANTS, normals, testGpu } from '../gpu/testing';

describe.each(GPU_VARIANTS)('reduce with $name', ({ subgroups }) => {
  it.each([1, 63, 64, 65, 2048, 2049, 100_003])(
    'sums %i elements into its slot, the same way every time',
    async (count) => {
      const gpu = await testGpu(subgroups);
      const start = 3;
      const x = normals(count, count + 7);
      const y = x.map((value) => Math.abs(value) + 0.1);
      const kernel = await createReduce(gpu, { slots: 4 });
      const span = new Span(gpu, 'test');
      span.set(start, count);
      const buffers = {
        x: gpu.upload('x', x),
        y: gpu.upload('y', y),
        metrics: gpu.upload('metrics', new Float32Array([7, 7, 7, 7])),
        again: gpu.upload('metrics', new Float32Array(4)),
      };
      const sums = (metrics: GPUBuffer): void =>
        gpu.run([
          ...kernel.bindSquares({ ...buffers, metrics, span, slot: 1 }),
          // Both factors are y: the second sum is Σy².
          ...kernel.bindDot({ ...buffers, x: buffers.y, metrics, span, slot: 3 }),
        ]);
      sums(buffers.metrics);
      sums(buffers.again);
      const metrics = await gpu.readFloats(buffers.metrics, 4);
      const again = await gpu.readFloats(buffers.again, 4);
      const wanted = [x, y].map((values) =>
        values.slice(start, start + count).reduce((sum, value) => sum + value * value, 0),
      );
      expect(Math.abs(metrics[1]! / wanted[0]! - 1)).toBeLessThan(1e-5);
      expect(Math.abs(metrics[3]! / wanted[1]! - 1)).toBeLessThan(1e-5);
      expect([metrics[0], metrics[2]]).toEqual([7, 7]);
      expect([again[1], again[3]]).toEqual([metrics[1], metrics[3]]);
      kernel.release();
      gpu.release(...Object.values(buffers));
      span.release();
    },
  );

  it('sums products of two buffers, and nothing over an empty span', async () => {
    const gpu = await testGpu(subgroups);
    const kernel = await createReduce(gpu, { slots: 2 });
    const [some, none] = [new Span(gpu, 'some'), new Span(gpu, 'none')];
    some.set(1, 3);
    none.set(0, 0);
    const buffers = {
      x: gpu.upload('x', new Float32Array([100, 1, 2, 3, 100])),
      y: gpu.upload('y', new Float32Array([100, 10, -1, 0.5, 100])),
      metrics: gpu.upload('metrics', new Float32Array([7, 7])),
    };
    gpu.run([
      ...kernel.bindDot({ ...buffers, span: some, slot: 0 }),
      ...kernel.bindDot({ ...buffers, span: none, slot: 1 }),
    ]);
    expect([...(await gpu.readFloats(buffers.metrics, 2))]).toEqual([9.5, 0]);
    expect(() => kernel.bindDot({ ...buffers, span: some, slot: 2 })).toThrow(RangeError);
    kernel.release();
    gpu.release(...Object.values(buffers));
    some.release();
    none.release();
  });
});
