import { describe, expect, it } from 'vitest';
import { exampleLossRows, exampleRows, pack, type PackedRows, sharePrompts } from './pack';

const examples = [
  {
    prompt: [1, 2, 3],
    paths: [
      [10, 11, 12],
      [20, 21],
    ],
  },
  { prompt: [4], paths: [[30]] },
  { prompt: [5, 6], paths: [[40, 41, 42, 43], [50], [60, 61]] },
];

function visible(batch: PackedRows, query: number): number[] {
  const [prefixEnd, a0, a1, b0] = batch.keys.subarray(query * 4, query * 4 + 4);
  const seen: number[] = [];
  for (let key = 0; key < batch.rows; key++) {
    if (key < prefixEnd! || (key >= a0! && key < a1!) || (key >= b0! && key <= query))
      seen.push(key);
  }
  return seen;
}

describe.each([0, 1, 16])('a packed batch behind %i soft-prompt rows', (n) => {
  const batch = pack(examples, n);

  it('has one row for each token that predicts something', () => {
    expect(batch.rows).toBe(n + examples.reduce((sum, e) => sum + exampleRows(e), 0));
    expect(batch.lossRows.length).toBe(examples.reduce((sum, e) => sum + exampleLossRows(e), 0));
    expect([...batch.tokens.subarray(n)]).toEqual([1, 2, 3, 10, 11, 20, 4, 5, 6, 40, 41, 42, 60]);
  });

  it('lets a row see the soft prompt, its own prompt and its own path only', () => {
    const prefix = Array.from({ length: n }, (_, i) => i);
    expect(visible(batch, n + 5)).toEqual([...prefix, n, n + 1, n + 2, n + 5]);
    expect(visible(batch, n + 6)).toEqual([...prefix, n + 6]);
    expect(visible(batch, n + 12)).toEqual([...prefix, n + 7, n + 8, n + 12]);
  });

  it('names, for every key, exactly the queries that see it', () => {
    for (let key = 0; key < batch.rows; key++) {
      const queries: number[] = [];
      for (let q = 0; q < batch.rows; q++) if (visible(batch, q).includes(key)) queries.push(q);
      const expected = Array.from({ length: batch.queryEnd[key]! - key }, (_, i) => key + i);
      expect(queries).toEqual(expected);
    }
  });

  it('shares the first loss row between the paths of an example', () => {
    expect(batch.loss[2]!.map((path) => path[0])).toEqual([5, 5, 5]);
    expect(batch.lossRows[batch.loss[2]![0]![3]!]).toBe(n + 11);
    expect(batch.lossRows[batch.loss[2]![2]![1]!]).toBe(n + 12);
  });

  it('counts positions from the soft prompt on, the same for every path', () => {
    expect([...batch.positions.subarray(n, n + 6)].map((p) => p - n)).toEqual([0, 1, 2, 3, 4, 3]);
  });
});

describe('sharePrompts', () => {
  const items = [
    { prompt: [1, 2, 3], path: [10, 11, 12] },
    { prompt: [4], path: [10] },
    { prompt: [1, 2, 3], path: [20] },
    { prompt: [1, 23], path: [10] },
    { prompt: [1, 2, 3], path: [30, 31] },
  ];

  it('makes paths of one example of what items of equal prompts ask', () => {
    const { inputs, places } = sharePrompts(items, 100);
    expect(inputs).toEqual([
      { prompt: [1, 2, 3], paths: [[10, 11, 12], [20], [30, 31]] },
      { prompt: [4], paths: [[10]] },
      { prompt: [1, 23], paths: [[10]] },
    ]);
    for (const [i, { prompt, path }] of items.entries()) {
      const [input, own] = places[i]!;
      expect(inputs[input]!.prompt).toEqual(prompt);
      expect(inputs[input]!.paths[own]).toEqual(path);
    }
  });

  it('shares only as long as the rows fit', () => {
    const { inputs } = sharePrompts(items, 5);
    expect(inputs.map(({ paths }) => paths.length)).toEqual([2, 1, 1, 1]);
    expect(Math.max(...inputs.map(exampleRows))).toBeLessThanOrEqual(5);
    // One that is too long by itself is not this function's matter.
    expect(sharePrompts(items, 1).inputs).toHaveLength(items.length);
  });
});

it('refuses empty prompts and empty paths', () => {
  expect(() => pack([{ prompt: [], paths: [] }], 0)).toThrow(RangeError);
  expect(() => pack([{ prompt: [1], paths: [[]] }], 0)).toThrow(RangeError);
});
