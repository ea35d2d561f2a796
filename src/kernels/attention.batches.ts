/** Packed batches for the tests and the benchmark of attention: [prefix | x₁ | r₁ | r̄₁ | x₂ | …]. */
export interface PackedBatch {
  rows: number;
  prefix: number;
  /** {prefixEnd, a0, a1, b0} a row. */
  keys: Uint32Array;
  /** Row i is its own key. */
  self: Uint32Array;
  /** Key row j is seen by the rows [j, queryEnd[j]); of no meaning for prefix rows. */
  queryEnd: Uint32Array;
}

/** Each example is [prompt length, response length, response length, …]. */
export function packBatch(prefix: number, examples: readonly (readonly number[])[]): PackedBatch {
  const rows = prefix + examples.flat().reduce((sum, length) => sum + length, 0);
  const keys = new Uint32Array(4 * rows);
  const queryEnd = new Uint32Array(rows);
  queryEnd.fill(rows, 0, prefix);
  let at = prefix;
  const append = (length: number, a0: number, a1: number, end: number) => {
    for (let row = at; row < at + length; row++) {
      keys.set([prefix, a0, a1, at], 4 * row);
      queryEnd[row] = end;
    }
    at += length;
  };
  for (const [prompt = 0, ...responses] of examples) {
    const start = at;
    append(prompt, 0, 0, start + [prompt, ...responses].reduce((sum, length) => sum + length, 0));
    for (const response of responses) append(response, start, start + prompt, at + response);
  }
  return { rows, prefix, keys, self: Uint32Array.from({ length: rows }, (_, i) => i), queryEnd };
}

/** A mixed batch of exactly `rows` rows with ragged examples and a prefix of 0 to 5 rows. */
export function mixedBatch(rows: number): PackedBatch {
  const prefix = Math.min(5, Math.floor(rows / 8));
  const examples: number[][] = [];
  let left = rows - prefix;
  for (let e = 0; left > 0; e++) {
    const lengths = [[7, 3, 5], [1, 1], [9], [2, 6, 1, 4], [13, 2, 2]][e % 5]!;
    const fitting = lengths.map((length) => {
      const taken = Math.min(left, length);
      left -= taken;
      return taken;
    });
    examples.push(fitting.filter((length) => length > 0));
  }
  return packBatch(prefix, examples);
}
