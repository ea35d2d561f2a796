import { describe, expect, it } from 'vitest';
import {
  attentionTile,
  createAttention,
  type AttentionShape,
  type AttentionTile,
} from './attention';
import { mixedBatch, named, packBatch, shapes, teamShapes } from './attention.batches';
import {
  attentionGradientReference,
  attentionReference,
  type AttentionInputs,
} from './attention.reference';
import { Span } from '../gpu/gpu';
import { centralDifferences, GPU_VARIANTS, normals, relativeError, testGpu } from '../gpu/testing';

/** [workgroup, heads, keys, splits] */
const teamTiles = [
  [32, 1, 1, 1],
  [64, 1, 4, 2],
  [32, 4, 2, 8],
] as const;
const teamTile = (workgroup: number, heads: number, keys: number, splits: number) => ({
  ...{ workgroup, rows: 1, heads, keys, rolled: false },
  team: { lanes: 4, splits },
});

function inputsFor(
  { heads, kvHeads, headDim }: AttentionShape,
  { keys, self }: { keys: Uint32Array; self: Uint32Array },
  poolRows: number,
) {
  return {
    q: normals(1, self.length * heads * headDim, 2),
    k: normals(2, poolRows * kvHeads * headDim),
    v: normals(3, poolRows * kvHeads * headDim),
    keys,
    self,
  };
}

async function run(
  subgroups: boolean,
  shape: AttentionShape,
  inputs: AttentionInputs,
  method: 'bind' | 'bindDecode' = 'bind',
  [start, rows] = [0, inputs.self.length],
  tile?: AttentionTile,
) {
  const gpu = await testGpu(subgroups);
  const kernel = await createAttention(gpu, shape, tile);
  const upload = (data: ArrayLike<number>) => gpu.upload('input', Float32Array.from(data));
  const width = shape.heads * shape.headDim;
  const buffers = {
    q: upload(inputs.q),
    k: upload(inputs.k),
    v: upload(inputs.v),
    keys: gpu.upload('keys', inputs.keys),
    self: gpu.upload('self', inputs.self),
    o: upload(new Float32Array(inputs.self.length * width).fill(7)),
    lse: upload(new Float32Array(inputs.self.length * shape.heads).fill(7)),
  };
  const span = new Span(gpu, 'queries');
  span.set(start, rows);
  gpu.run([kernel[method]({ ...buffers, span })]);
  const o = await gpu.readFloats(buffers.o, inputs.self.length * width);
  const lse = await gpu.readFloats(buffers.lse, inputs.self.length * shape.heads);
  gpu.release(...Object.values(buffers));
  span.release();
  return { o, lse };
}

const pocket = shapes[1]!;
// Five sequences of different lengths, three of one prompt; pool rows in no order.
const scattered = {
  keys: Uint32Array.from(
    [
      [6, 6, 19, 100],
      [6, 6, 19, 40],
      [6, 6, 19, 130],
      [6, 19, 20, 70],
      [0, 0, 0, 20],
    ].flat(),
  ),
  self: Uint32Array.of(103, 40, 149, 71, 29),
};

describe.each(GPU_VARIANTS)('attention ($name)', ({ subgroups }) => {
  describe.each(shapes.map(named))(
    '$heads heads on $kvHeads, head size $headDim, cap $softCap, window $window',
    (shape) => {
      it.each([1, 63, 64, 65])(
        'equals the reference on a packed batch of %i rows',
        async (rows) => {
          const batch = mixedBatch(rows);
          const inputs = inputsFor(shape, batch, rows);
          const expected = attentionReference(shape, inputs);
          const { o, lse } = await run(subgroups, shape, inputs);
          expect(relativeError(o, expected.o)).toBeLessThan(1e-5);
          expect(relativeError(lse, expected.lse)).toBeLessThan(1e-5);
        },
      );
    },
  );

  it('equals the reference with the tile for graphics hardware', async () => {
    const batch = mixedBatch(65);
    const inputs = inputsFor(pocket, batch, 65);
    const expected = attentionReference(pocket, inputs);
    // With subgroups in teams.
    const tile = attentionTile(pocket, false, subgroups ? 4 : 1);
    const { o, lse } = await run(subgroups, pocket, inputs, 'bind', [0, 65], tile);
    expect(relativeError(o, expected.o)).toBeLessThan(1e-5);
    expect(relativeError(lse, expected.lse)).toBeLessThan(1e-5);
  });

  it('decodes rows whose segments lie anywhere in the pool', async () => {
    const inputs = inputsFor(pocket, scattered, 150);
    const expected = attentionReference(pocket, inputs);
    for (const method of ['bind', 'bindDecode'] as const) {
      const { o, lse } = await run(subgroups, pocket, inputs, method);
      expect(relativeError(o, expected.o)).toBeLessThan(1e-5);
      expect(relativeError(lse, expected.lse)).toBeLessThan(1e-5);
    }
  });

  it('refuses teams that the adapter or the head size cannot have', async () => {
    const gpu = await testGpu(subgroups);
    const refused = (shape: AttentionShape, ...sizes: Parameters<typeof teamTile>) =>
      expect(createAttention(gpu, shape, teamTile(...sizes))).rejects.toThrow(RangeError);
    await refused({ ...pocket, headDim: 8 }, 32, 1, 1, 1);
    await refused(pocket, 32, 1, 1, 3);
    await refused(pocket, 32, 1, 1, 16);
    if (!subgroups) await refused(pocket, 32, 1, 1, 1);
  });

  it('stays exact where scores are large and far below zero', async () => {
    const batch = mixedBatch(63);
    const inputs = inputsFor(pocket, batch, 63);
    inputs.q = inputs.q.map((x) => 100 * Math.abs(x));
    inputs.k = inputs.k.map((x) => -Math.abs(x));
    const { o, lse } = await run(subgroups, pocket, inputs);
    const expected = attentionReference(pocket, inputs);
    expect(relativeError(lse, expected.lse)).toBeLessThan(1e-5);
    // Scores near −2,000 carry an f32 rounding of 1e-4 each.
    expect(relativeError(o, expected.o)).toBeLessThan(1e-3);
  });

  it('leaves rows outside the span alone', async () => {
    const batch = mixedBatch(65);
    const inputs = inputsFor(pocket, batch, 65);
    const expected = attentionReference(pocket, inputs);
    const { o, lse } = await run(subgroups, pocket, inputs, 'bind', [3, 58]);
    const width = pocket.heads * pocket.headDim;
    expect(relativeError(o.slice(3 * width, 61 * width), expected.o.slice(3 * width, 61 * width))) //
      .toBeLessThan(1e-5);
    const outside = [...o.slice(0, 3 * width), ...o.slice(61 * width)];
    expect(outside.every((x) => x === 7)).toBe(true);
    expect([...lse.slice(0, 3 * 4), ...lse.slice(61 * 4)].every((x) => x === 7)).toBe(true);
  });

  it('refuses head counts that do not divide', async () => {
    const gpu = await testGpu(subgroups);
    await expect(createAttention(gpu, { ...pocket, kvHeads: 3 })).rejects.toThrow(RangeError);
    await expect(createAttention(gpu, { ...pocket, headDim: 6 })).rejects.toThrow(RangeError);
  });
});

describe('attention by teams of lanes', () => {
  const subgroups = true;

  describe.each(teamShapes.map(named))(
    '$heads heads on $kvHeads, head size $headDim, cap $softCap, window $window',
    (shape) => {
      it.each(teamTiles)(
        'equals the reference with %i lanes, %i heads, %i keys, %i splits',
        async (...sizes) => {
          for (const rows of [1, 65]) {
            const inputs = inputsFor(shape, mixedBatch(rows), rows);
            const expected = attentionReference(shape, inputs);
            for (const method of ['bind', 'bindDecode'] as const) {
              const tile = teamTile(...sizes);
              const { o, lse } = await run(subgroups, shape, inputs, method, [0, rows], tile);
              expect(relativeError(o, expected.o), method).toBeLessThan(1e-5);
              expect(relativeError(lse, expected.lse), method).toBeLessThan(1e-5);
            }
          }
        },
      );
    },
  );

  it.each(teamTiles)(
    'serves segments anywhere in the pool with %i lanes, %i heads, %i keys, %i splits',
    async (...sizes) => {
      const inputs = inputsFor(pocket, scattered, 150);
      const expected = attentionReference(pocket, inputs);
      for (const method of ['bind', 'bindDecode'] as const) {
        const tile = teamTile(...sizes);
        const { o, lse } = await run(subgroups, pocket, inputs, method, [0, 5], tile);
        expect(relativeError(o, expected.o), method).toBeLessThan(1e-5);
        expect(relativeError(lse, expected.lse), method).toBeLessThan(1e-5);
      }
    },
  );

  it('leaves rows outside the span alone', async () => {
    const inputs = inputsFor(pocket, mixedBatch(65), 65);
    const expected = attentionReference(pocket, inputs);
    for (const method of ['bind', 'bindDecode'] as const) {
      const tile = teamTile(64, 1, 4, 2);
      const { o, lse } = await run(subgroups, pocket, inputs, method, [3, 58], tile);
      const inside = [3 * 128, 61 * 128] as const;
      expect(relativeError(o.slice(...inside), expected.o.slice(...inside)), method).toBeLessThan(
        1e-5,
      );
      const outside = [o.slice(0, inside[0]), o.slice(inside[1])];
      const outsideLse = [lse.slice(0, 3 * 4), lse.slice(61 * 4)];
      expect([...outside, ...outsideLse].every((part) => part.every((x) => x === 7))).toBe(true);
    }
  });
});

describe('attention reference', () => {
  it.each<AttentionShape>([
    { heads: 4, kvHeads: 2, headDim: 4, scale: 0.5 },
    { heads: 4, kvHeads: 2, headDim: 4, scale: 0.5, softCap: 2, window: 4 },
  ])('has the gradient that central differences give: %o', (shape) => {
    const batch = packBatch(2, [[3, 2, 2], [2]]);
    const inputs = inputsFor(shape, batch, batch.rows);
    const dO = normals(4, inputs.q.length);
    const gradient = attentionGradientReference(shape, inputs, dO);
    const names = { q: 'dQ', k: 'dK', v: 'dV' } as const;
    for (const name of ['q', 'k', 'v'] as const) {
      const numeric = centralDifferences(
        (x) =>
          attentionReference(shape, { ...inputs, [name]: x }).o.reduce(
            (f, o, i) => f + o * dO[i]!,
            0,
          ),
        inputs[name],
        inputs[name].map((_, i) => i) as unknown as number[],
      );
      expect(relativeError(gradient[names[name]], numeric)).toBeLessThan(1e-6);
    }
  });
});
