import { describe, expect, it } from 'vitest';
import { float16ToFloat32, float32ToFloat16 } from '../../formats/float16';
import { createEmbedding } from './embedding';
import { embeddingReference } from './embedding.reference';
import { Span } from '../gpu/gpu';
import { GPU_VARIANTS, normals, random, testGpu } from '../gpu/testing';

describe.each(GPU_VARIANTS)('embedding with $name', ({ subgroups }) => {
  it.each([
    [1, 1, 1],
    [63, 64, 517],
    [64, 63, 65],
    [65, 128, 517],
  ])('copies %i rows of %i from a table of %i and no others', async (rows, dim, vocabulary) => {
    const gpu = await testGpu(subgroups);
    const start = 2;
    const table = normals(1, vocabulary * dim);
    const next = random(2);
    const token = Uint32Array.from({ length: start + rows + 1 }, () =>
      Math.floor(next() * vocabulary),
    );
    const before = normals(3, token.length * dim);
    const kernel = await createEmbedding(gpu, { dim, vocabulary, scale: 2 });
    const span = new Span(gpu, 'test');
    span.set(start, rows);
    const buffers = {
      table: gpu.upload('table', table),
      token: gpu.upload('token', token),
      y: gpu.upload('y', before),
    };
    gpu.run([kernel.bind({ ...buffers, span })]);
    const y = await gpu.readFloats(buffers.y, before.length);
    const wanted = before.slice();
    wanted.set(embeddingReference(table, token.slice(start, start + rows), dim, 2), start * dim);
    expect(y).toEqual(wanted);
    gpu.release(...Object.values(buffers));
    span.release();
  });

  it('reads an f16 table, the largest and smallest values too, and refuses rows of no whole vec4', async () => {
    const gpu = await testGpu(subgroups);
    const [dim, vocabulary] = [68, 33];
    const drawn = normals(1, vocabulary * dim);
    drawn.set([0, -0, 2 ** -14, -(2 ** -13), 65504], 5 * dim);
    const bits = float32ToFloat16(drawn);
    const token = Uint32Array.of(5, 0, 32, 99);
    const kernel = await createEmbedding(gpu, { dim, vocabulary, stored: 'f16' });
    const span = new Span(gpu, 'test');
    span.set(0, token.length);
    const buffers = {
      table: gpu.upload('table', bits),
      token: gpu.upload('token', token),
      y: gpu.storage('y', token.length * dim * 4),
    };
    gpu.run([kernel.bind({ ...buffers, span })]);
    const y = await gpu.readFloats(buffers.y, token.length * dim);
    const known = Uint32Array.of(5, 0, 32, 32);
    const expected = embeddingReference(float16ToFloat32(bits), known, dim, 1);
    expect(y).toEqual(Float32Array.from(expected));
    const odd = createEmbedding(gpu, { dim: 66, vocabulary, stored: 'f16' });
    await expect(odd).rejects.toThrow(RangeError);
    gpu.release(...Object.values(buffers));
    span.release();
  });

  it('reads a table that stands in parts', async () => {
    const gpu = await testGpu(subgroups);
    const [dim, vocabulary, cut] = [64, 517, 192];
    const table = normals(1, vocabulary * dim);
    const token = Uint32Array.of(0, 191, 192, 516, 5, 300);
    const span = new Span(gpu, 'test');
    span.set(0, token.length);
    const tokens = gpu.upload('token', token);
    const y = gpu.storage('y', token.length * dim * 4);
    const part = async (first: number, end: number) => {
      const kernel = await createEmbedding(gpu, { dim, vocabulary: end - first, first });
      const rows = gpu.upload('part', table.subarray(first * dim, end * dim));
      return kernel.bind({ table: rows, token: tokens, y, span });
    };
    gpu.run([await part(0, cut), await part(cut, vocabulary)]);
    expect(await gpu.readFloats(y, token.length * dim)).toEqual(
      Float32Array.from(embeddingReference(table, token, dim, 1)),
    );
  });
});
