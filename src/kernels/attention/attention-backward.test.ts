import { describe, expect, it } from 'vitest';
import type { AttentionShape } from './attention';
import {
  attentionBackwardTile,
  createAttentionBackward,
  type AttentionBackwardTile,
} from './attention-backward';
import {
  mixedBatch,
  named,
  packBatch,
  type PackedBatch,
  shapes,
  teamShapes,
} from './attention.batches';
import { attentionGradientReference, attentionReference } from './attention.reference';
import { Span } from '../gpu/gpu';
import { GPU_VARIANTS, normals, relativeError, testGpu } from '../gpu/testing';

/** [workgroup, heads, keys a turn of dQ and of a team, pairs, splits] */
const teamTiles = [
  [32, 1, 4, 1, 1],
  [64, 1, 2, 2, 4],
  [128, 4, 1, 3, 8],
] as const;
function teamTile(
  workgroup: number,
  heads: number,
  keys: number,
  queries: number,
  splits: number,
): AttentionBackwardTile {
  const tile = { workgroup, heads, keys, rolled: false, team: { lanes: 4, splits } };
  return { query: { ...tile, rows: 1 }, keys: { ...tile, queries } };
}
const pocket = shapes[1]!;
const UNTOUCHED = 7;

/** `queries`: the rows that ask, ascending; default all. */
function inputsFor(
  { heads, kvHeads, headDim }: AttentionShape,
  batch: PackedBatch,
  queries: Uint32Array = batch.self,
) {
  const count = queries.length;
  return {
    q: normals(1, count * heads * headDim, 2),
    k: normals(2, batch.rows * kvHeads * headDim),
    v: normals(3, batch.rows * kvHeads * headDim),
    keys: Uint32Array.from(
      { length: 4 * count },
      (_, i) => batch.keys[4 * queries[i >> 2]! + (i & 3)]!,
    ),
    self: queries,
    dO: normals(4, count * heads * headDim),
  };
}

type Inputs = ReturnType<typeof inputsFor>;

interface RunOptions {
  partitions?: number;
  /** Rows of dQ; all by default. */
  queries?: [number, number];
  /** Key rows of the text kernel; all behind the prefix by default. */
  text?: [number, number];
  tile?: AttentionBackwardTile;
  /** Whether the prefix kernel runs (default true). */
  prefix?: boolean;
}

/** What stands before a row: the prefix, the shared prompt, its own segment. */
function positionsOf({ rows, keys }: PackedBatch): Uint32Array {
  return Uint32Array.from({ length: rows }, (_, row) => {
    const [prefix, a0, a1, b0] = keys.subarray(4 * row, 4 * row + 4) as unknown as number[];
    return prefix! + a1! - a0! + row - b0!;
  });
}

/** {first, end, key's position, query's position} of each row, where `queries` ask. */
function seenBy(batch: PackedBatch, queries: Uint32Array): Uint32Array {
  const positions = positionsOf(batch);
  const before = (row: number) => queries.filter((query) => query < row).length;
  const table = new Uint32Array(4 * batch.rows);
  for (let row = 0; row < batch.rows; row++) {
    const asks = row < queries.length ? positions[queries[row]!]! : 0;
    table.set([before(row), before(batch.queryEnd[row]!), positions[row]!, asks], 4 * row);
  }
  return table;
}

/** dQ, dK and dV from the kernels; entries that nothing wrote are UNTOUCHED. */
async function run(
  subgroups: boolean,
  shape: AttentionShape,
  batch: PackedBatch,
  inputs: Inputs,
  options: RunOptions = {},
) {
  const gpu = await testGpu(subgroups);
  const backwardShape = { ...shape, partitions: options.partitions };
  const kernel = await createAttentionBackward(gpu, backwardShape, options.tile);
  const { o, lse } = attentionReference(shape, inputs);
  const upload = (data: ArrayLike<number>) => gpu.upload('input', Float32Array.from(data));
  const filled = (length: number) => upload(new Float32Array(length).fill(UNTOUCHED));
  const buffers = {
    q: upload(inputs.q),
    k: upload(inputs.k),
    v: upload(inputs.v),
    dO: upload(inputs.dO),
    o: upload(o),
    lse: upload(lse),
    stats: gpu.storage('stats', lse.length * 8),
    keys: gpu.upload('keys', inputs.keys),
    self: gpu.upload('self', inputs.self),
    seen: gpu.upload('seen', seenBy(batch, inputs.self)),
    partialK: filled(kernel.partialBytes(batch.prefix) / 4),
    partialV: filled(kernel.partialBytes(batch.prefix) / 4),
    dQ: filled(inputs.q.length),
    dK: filled(inputs.k.length),
    dV: filled(inputs.v.length),
  };
  const span = (start: number, rows: number) => {
    const made = new Span(gpu, 'test');
    made.set(start, rows);
    return made;
  };
  const spans = {
    all: span(0, inputs.self.length),
    queries: span(...(options.queries ?? [0, inputs.self.length])),
    text: span(...(options.text ?? [batch.prefix, batch.rows - batch.prefix])),
    prefix: span(0, batch.prefix),
  };
  const partial = { k: buffers.partialK, v: buffers.partialV };
  const prefixOps = kernel.bindPrefix({ ...buffers, partial, span: spans.prefix });
  gpu.run([
    kernel.bindStats({ ...buffers, span: spans.all }),
    kernel.bindQuery({ ...buffers, span: spans.queries }),
    kernel.bindText({ ...buffers, span: spans.text }),
    ...((options.prefix ?? true) ? prefixOps : []),
  ]);
  const result = {
    dQ: await gpu.readFloats(buffers.dQ, inputs.q.length),
    dK: await gpu.readFloats(buffers.dK, inputs.k.length),
    dV: await gpu.readFloats(buffers.dV, inputs.v.length),
  };
  kernel.release();
  gpu.release(...Object.values(buffers));
  Object.values(spans).forEach((s) => s.release());
  return result;
}

function expectClose(
  actual: Awaited<ReturnType<typeof run>>,
  expected: ReturnType<typeof attentionGradientReference>,
) {
  for (const name of ['dQ', 'dK', 'dV'] as const)
    expect(relativeError(actual[name], expected[name]), name).toBeLessThan(1e-5);
}

describe.each(GPU_VARIANTS)('attention backward ($name)', ({ subgroups }) => {
  describe.each(shapes.map(named))(
    '$heads heads on $kvHeads, head size $headDim, cap $softCap, window $window',
    (shape) => {
      it.each([1, 63, 64, 65])(
        'equals the reference on a packed batch of %i rows',
        async (rows) => {
          const batch = mixedBatch(rows);
          const inputs = inputsFor(shape, batch);
          const expected = attentionGradientReference(shape, inputs, inputs.dO);
          expectClose(await run(subgroups, shape, batch, inputs), expected);
        },
      );

      it('equals the reference where only some rows are queries', async () => {
        const batch = mixedBatch(65);
        const queryRows = batch.self.filter((row) => row >= batch.prefix && row % 7 < 3);
        const inputs = inputsFor(shape, batch, queryRows);
        const expected = attentionGradientReference(shape, inputs, inputs.dO);
        expectClose(await run(subgroups, shape, batch, inputs), expected);
      });
    },
  );

  it('equals the reference with the tiles for graphics hardware', async () => {
    const batch = mixedBatch(65);
    const inputs = inputsFor(pocket, batch);
    const expected = attentionGradientReference(pocket, inputs, inputs.dO);
    const tile = attentionBackwardTile(pocket, false);
    expectClose(await run(subgroups, pocket, batch, inputs, { tile }), expected);
  });

  it.each([1, 3, 100])('sums a prefix of 17 rows over %i partitions', async (partitions) => {
    const batch = packBatch(17, [[5, 3, 4], [6], [2, 9]]);
    const inputs = inputsFor(pocket, batch);
    const expected = attentionGradientReference(pocket, inputs, inputs.dO);
    expectClose(await run(subgroups, pocket, batch, inputs, { partitions }), expected);
  });

  it('sums over the queries that see each key of a prefix', async () => {
    const batch = packBatch(4, [[5, 3], [6]]);
    // The last rows see fewer and fewer of the prefix.
    for (let row = 15; row < 18; row++) batch.keys[4 * row] = 18 - row;
    for (let key = 0; key < 4; key++) batch.queryEnd[key] = 18 - key;
    const inputs = inputsFor(pocket, batch);
    const expected = attentionGradientReference(pocket, inputs, inputs.dO);
    expectClose(await run(subgroups, pocket, batch, inputs, { partitions: 3 }), expected);
  });

  it('gives the same bits twice', async () => {
    const batch = mixedBatch(65);
    const inputs = inputsFor(pocket, batch);
    const once = await run(subgroups, pocket, batch, inputs);
    expect(await run(subgroups, pocket, batch, inputs)).toEqual(once);
  });

  const tiles = [undefined, ...(subgroups ? [teamTile(64, 1, 1, 2, 4)] : [])];
  it.each(tiles)(
    'stays finite where a hidden key scores far above those seen: %o',
    async (tile) => {
      const batch = mixedBatch(64);
      const inputs = inputsFor(pocket, batch);
      // Later rows align more and more with every query, so that hidden keys overflow exp.
      inputs.q = inputs.q.map((x) => Math.abs(x));
      inputs.k = inputs.k.map((x, i) => Math.abs(x) * (Math.floor(i / 64) % 7 === 6 ? 100 : 0.1));
      const expected = attentionGradientReference(pocket, inputs, inputs.dO);
      const actual = await run(subgroups, pocket, batch, inputs, { tile });
      for (const name of ['dQ', 'dK', 'dV'] as const)
        expect(relativeError(actual[name], expected[name]), name).toBeLessThan(1e-3);
    },
  );

  it.each(tiles)('leaves rows outside the spans alone: %o', async (tile) => {
    const batch = mixedBatch(65);
    const inputs = inputsFor(pocket, batch);
    const expected = attentionGradientReference(pocket, inputs, inputs.dO);
    const actual = await run(subgroups, pocket, batch, inputs, {
      queries: [3, 58],
      text: [9, 50],
      prefix: false,
      tile,
    });
    const check = (name: 'dQ' | 'dK' | 'dV', width: number, from: number, to: number) => {
      const inside = [from * width, to * width] as const;
      expect(
        relativeError(actual[name].slice(...inside), expected[name].slice(...inside)),
        name,
      ).toBeLessThan(1e-5);
      const outside = [...actual[name].slice(0, inside[0]), ...actual[name].slice(inside[1])];
      expect(
        outside.every((x) => x === UNTOUCHED),
        name,
      ).toBe(true);
    };
    check('dQ', 128, 3, 61);
    check('dK', 64, 9, 59);
    check('dV', 64, 9, 59);
  });

  it('refuses to split query rows into no parts', async () => {
    const gpu = await testGpu(subgroups);
    await expect(createAttentionBackward(gpu, { ...pocket, partitions: 0 })).rejects.toThrow(
      RangeError,
    );
  });
});

describe('attention backward by teams of lanes', () => {
  const subgroups = true;

  describe.each(teamShapes.map(named))(
    '$heads heads on $kvHeads, head size $headDim, cap $softCap, window $window',
    (shape) => {
      it.each(teamTiles)(
        'equals the reference with %i lanes, %i heads, %i keys, %i pairs, %i splits',
        async (...sizes) => {
          const tile = teamTile(...sizes);
          for (const rows of [1, 65]) {
            const batch = mixedBatch(rows);
            const inputs = inputsFor(shape, batch);
            const expected = attentionGradientReference(shape, inputs, inputs.dO);
            expectClose(await run(subgroups, shape, batch, inputs, { tile }), expected);
          }
        },
      );

      it('equals the reference where only some rows are queries', async () => {
        const batch = mixedBatch(65);
        const queryRows = batch.self.filter((row) => row >= batch.prefix && row % 7 < 3);
        const inputs = inputsFor(shape, batch, queryRows);
        const expected = attentionGradientReference(shape, inputs, inputs.dO);
        const tile = teamTile(64, 1, 2, 2, 2);
        expectClose(await run(subgroups, shape, batch, inputs, { tile }), expected);
      });
    },
  );

  it.each([1, 3, 100])('sums a prefix of 17 rows over %i partitions', async (partitions) => {
    const batch = packBatch(17, [[5, 3, 4], [6], [2, 9]]);
    const inputs = inputsFor(pocket, batch);
    const expected = attentionGradientReference(pocket, inputs, inputs.dO);
    const tile = teamTile(64, 1, 2, 2, 4);
    expectClose(await run(subgroups, pocket, batch, inputs, { partitions, tile }), expected);
  });

  it('equals the reference with the teams that graphics hardware gets', async () => {
    const batch = mixedBatch(65);
    const inputs = inputsFor(pocket, batch);
    const expected = attentionGradientReference(pocket, inputs, inputs.dO);
    const tile = attentionBackwardTile(pocket, false, 4);
    expectClose(await run(subgroups, pocket, batch, inputs, { tile }), expected);
  });

  it.each([32, 64, 96, 128, 256])('fits the memory of any workgroup: rows of %i', (headDim) => {
    for (const lanes of [4, 8]) {
      const { query, keys } = attentionBackwardTile({ ...pocket, headDim }, false, lanes);
      // Half the lanes hand over what a lane has: a part of o and two numbers a head; of dK and dV.
      const part = (4 * headDim) / lanes;
      expect((query.workgroup / 2) * query.heads * (part + 8)).toBeLessThanOrEqual(16_384);
      expect((keys.workgroup / 2) * 2 * part).toBeLessThanOrEqual(16_384);
      expect(keys.workgroup).toBeLessThanOrEqual(256);
    }
  });

  it('gives the same bits twice', async () => {
    const batch = mixedBatch(65);
    const inputs = inputsFor(pocket, batch);
    const tile = teamTile(64, 1, 2, 2, 4);
    const once = await run(subgroups, pocket, batch, inputs, { tile });
    expect(await run(subgroups, pocket, batch, inputs, { tile })).toEqual(once);
  });
});
