import { describe, expect, it } from 'vitest';
import { createAdvance } from './advance';
import { Span } from '../gpu/gpu';
import { GPU_VARIANTS, testGpu } from '../gpu/testing';

describe.each(GPU_VARIANTS)('advance with $name', ({ subgroups }) => {
  it.each([1, 63, 64, 65])('adds one to %i rows of the span and to no other', async (rows) => {
    const gpu = await testGpu(subgroups);
    const before = [0, 1, 2].map((k) =>
      Uint32Array.from({ length: rows + 4 }, (_, i) => 7 * i + k),
    );
    const [positions, self, counter] = before.map((data) => gpu.upload('table', data));
    const span = new Span(gpu, 'test');
    span.set(2, rows);
    const kernel = await createAdvance(gpu);
    gpu.run([kernel.bind({ positions: positions!, self: self!, counter: counter!, span })]);
    for (const [k, buffer] of [positions, self, counter].entries()) {
      const after = await gpu.readUints(buffer!, rows + 4);
      const inSpan = (i: number) => i >= 2 && i < rows + 2;
      expect([...after]).toEqual([...before[k]!].map((v, i) => v + Number(inSpan(i))));
    }
  });
});
