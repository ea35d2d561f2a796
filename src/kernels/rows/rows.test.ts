import { describe, expect, it } from 'vitest';
import { Span } from '../gpu/gpu';
import { createRows } from './rows';
import { GPU_VARIANTS, normals, random, testGpu } from '../gpu/testing';

/** 0..count-1 in a seeded random order. */
function permutation(seed: number, count: number): Uint32Array {
  const next = random(seed);
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(next() * (i + 1));
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}

describe.each(GPU_VARIANTS)('rows with $name', ({ subgroups }) => {
  it.each([
    [1, 1],
    [63, 64],
    [64, 63],
    [65, 128],
  ])(
    'copies, adds, gathers, scatters and clears %i rows of %i and no others',
    async (rows, dim) => {
      const gpu = await testGpu(subgroups);
      const start = 2;
      const to = 5;
      const total = rows + 8;
      const x = normals(1, total * dim);
      const before = normals(2, total * dim);
      const index = permutation(3, total);
      const kernel = await createRows(gpu, { dim, add: true });
      const span = new Span(gpu, 'rows');
      span.set(start, rows);
      const place = new Span(gpu, 'place');
      place.set(to, 0);
      const source = gpu.upload('x', x);
      const indices = gpu.upload('index', index);
      const target = (): GPUBuffer => gpu.upload('y', before);
      const [copied, gathered, scattered, cleared] = [target(), target(), target(), target()];
      const added = target();
      gpu.run([
        kernel.bindCopy({ x: source, span, y: copied, place }),
        kernel.bindGather({ x: source, y: gathered, index: indices, span }),
        kernel.bindScatter({ x: source, y: scattered, index: indices, span }),
        kernel.bindClear({ y: cleared, span }),
        kernel.bindAdd({ x: source, span, y: added, place }),
      ]);
      const wanted = Array.from({ length: 5 }, () => before.slice());
      for (let r = 0; r < rows; r++) {
        const row = (at: number): Float32Array => x.slice(at * dim, (at + 1) * dim);
        wanted[0]!.set(row(start + r), (to + r) * dim);
        wanted[1]!.set(row(index[start + r]!), (start + r) * dim);
        wanted[2]!.set(row(start + r), index[start + r]! * dim);
      }
      wanted[3]!.fill(0, start * dim, (start + rows) * dim);
      for (let i = 0; i < rows * dim; i++) wanted[4]![to * dim + i]! += x[start * dim + i]!;
      for (const [i, buffer] of [copied, gathered, scattered, cleared, added].entries()) {
        expect(await gpu.readFloats(buffer, before.length)).toEqual(wanted[i]);
      }
      gpu.release(source, indices, copied, gathered, scattered, cleared, added);
      span.release();
      place.release();
    },
  );
});
