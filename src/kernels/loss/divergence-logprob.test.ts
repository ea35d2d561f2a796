import { describe, expect, it } from 'vitest';
import { createLogProb } from './divergence-logprob';
import { logSoftmaxReference } from './divergence.reference';
import { Span } from '../gpu/gpu';
import { GPU_VARIANTS, normals, random, relativeError, testGpu } from '../gpu/testing';

describe.each(GPU_VARIANTS)('log-probability with $name', ({ subgroups }) => {
  it.each([
    [1, 1, 4, 1],
    [63, 63, 4, 3],
    [64, 64, 64, 3],
    [65, 65, 4, 40],
    [9, 517, 32, 40],
    [9, 2048, 4, 3],
    [3, 32001, undefined, 3],
  ])('agrees with f64 for %i rows of %i tokens', async (rows, vocabulary, lanes, scale) => {
    const gpu = await testGpu(subgroups);
    const start = 1;
    const total = rows + 3;
    const logits = normals(vocabulary, total * vocabulary, scale);
    const next = random(rows);
    const token = Uint32Array.from({ length: total }, () => Math.floor(next() * vocabulary));
    const kernel = await createLogProb(gpu, { vocabulary, lanes });
    const span = new Span(gpu, 'test');
    span.set(start, rows);
    const buffers = {
      logits: gpu.upload('logits', logits),
      token: gpu.upload('token', token),
      y: gpu.upload('y', new Float32Array(total).fill(7)),
    };
    gpu.run([kernel.bind({ ...buffers, span })]);
    const y = await gpu.readFloats(buffers.y, total);
    const wanted = new Float64Array(total).fill(7);
    for (let r = start; r < start + rows; r++) {
      const row = logits.subarray(r * vocabulary, (r + 1) * vocabulary);
      wanted[r] = logSoftmaxReference(row)[token[r]!]!;
    }
    expect(relativeError(y, wanted)).toBeLessThan(1e-5);
    expect([y[0], ...y.slice(start + rows)]).toEqual([7, 7, 7]);
    gpu.release(...Object.values(buffers));
    span.release();
  });
});
