import { describe, expect, it } from 'vitest';
import { dequantiseRows, quantiseRows } from '../../formats/share/prompt-quant';
import { createFakeQuant } from './fake-quant';
import { Span } from '../gpu/gpu';
import { GPU_VARIANTS, normals, testGpu } from '../gpu/testing';

/** Rows of many magnitudes: zero, below f16's smallest step, subnormal, ordinary, near its largest. */
const MAGNITUDES = [1, 0, 1e-9, 3e-7, 1e-5, 4e-4, 0.02, 30, 6e4, 1e-30];

describe.each(GPU_VARIANTS)('fake-quant with $name', ({ subgroups }) => {
  it.each([
    [1, 1],
    [63, 64],
    [64, 63],
    [65, 65],
    [200, 128],
  ])('gives the bits of prompt-quant.ts for %i rows of %i', async (rows, dim) => {
    const gpu = await testGpu(subgroups);
    const start = 1;
    const total = rows + 2;
    const x = normals(rows, total * dim).map(
      (value, i) => value * MAGNITUDES[Math.floor(i / dim) % MAGNITUDES.length]!,
    );
    // Exact halves of a step: absmax 14 gives a scale of 2.
    if (dim > 8) x.fill(0, start * dim, (start + 1) * dim);
    if (dim > 8) x.set([14, 1, -1, 3, -3, 5, -13, 13, 7, 9, -11], start * dim);
    const before = normals(9, total * dim);
    const kernel = await createFakeQuant(gpu, { dim });
    const span = new Span(gpu, 'test');
    span.set(start, rows);
    const buffers = {
      x: gpu.upload('x', x),
      on: gpu.upload('on', before),
      off: gpu.upload('off', before),
    };
    gpu.run([
      kernel.bind({ x: buffers.x, y: buffers.on, span, quantise: true }),
      kernel.bind({ x: buffers.x, y: buffers.off, span, quantise: false }),
    ]);
    const inside = [start * dim, (start + rows) * dim] as const;
    const on = before.slice();
    on.set(dequantiseRows(quantiseRows(x.slice(...inside), rows, dim)), inside[0]);
    const off = before.slice();
    off.set(x.slice(...inside), inside[0]);
    expect(await gpu.readFloats(buffers.on, on.length)).toEqual(on);
    expect(await gpu.readFloats(buffers.off, off.length)).toEqual(off);
    gpu.release(...Object.values(buffers));
    span.release();
  });
});
