import { describe, expect, it } from 'vitest';
import { readTensor, type TensorRef } from '../formats/decoder/tensor';
import { memorySource } from '../formats/byte-source';
import { MemoryPlanError } from './errors';
import { cutRows, rowsOf } from './tables';

describe('cutRows', () => {
  it('cuts as little as the limit allows, at multiples of 64 where it can', () => {
    expect(cutRows('w', 1000, 10, 10_000)).toEqual([{ first: 0, rows: 1000 }]);
    expect(cutRows('w', 1000, 10, 9_999)).toEqual([
      { first: 0, rows: 512 },
      { first: 512, rows: 488 },
    ]);
    expect(cutRows('w', 7, 10, 39)).toEqual([
      { first: 0, rows: 3 },
      { first: 3, rows: 3 },
      { first: 6, rows: 1 },
    ]);
  });

  it.each([
    [128256, 8192, 2 ** 27],
    [250, 256, 7680],
    [65, 64, 64 * 64],
    [1000, 4, 4],
  ])('covers %i rows of %i bytes once, in parts of at most %i bytes', (rows, bytes, limit) => {
    const parts = cutRows('w', rows, bytes, limit);
    let next = 0;
    for (const part of parts) {
      expect(part.first).toBe(next);
      expect(part.rows * bytes).toBeLessThanOrEqual(limit);
      expect(part.rows).toBeGreaterThan(0);
      next += part.rows;
    }
    expect(next).toBe(rows);
  });

  it('refuses rows that no binding holds', () => {
    expect(() => cutRows('the table', 10, 100, 99)).toThrow(MemoryPlanError);
  });
});

describe('rowsOf', () => {
  const bytes = Uint8Array.from({ length: 12 }, (_, i) => i + 1);
  const inline = (length: number): TensorRef => ({
    name: 'w',
    dims: [length / 2, 2],
    dataType: 'uint8',
    byteLength: length,
    storage: { kind: 'inline', bytes: bytes.subarray(0, length) },
  });
  const padded: TensorRef = {
    ...inline(12),
    dims: [9, 2],
    byteLength: 18,
    storage: { kind: 'padded', stored: inline(12) },
  };
  const files = { model: memorySource(new Uint8Array()), external: new Map() };

  it.each([
    [0, 9],
    [0, 4],
    [2, 4],
    [4, 4],
    [6, 3],
    [7, 2],
  ])('gives rows of a padded tensor, %i and %i on', async (first, count) => {
    const all = [...bytes, 0, 0, 0, 0, 0, 0];
    const rows = await readTensor(rowsOf(padded, 9, first, count), files);
    expect([...rows]).toEqual(all.slice(2 * first, 2 * (first + count)));
  });
});
