/**
 * Packs prompts and their response paths into one batch without padding.
 *
 * Rows: [soft prompt 0..n) then, for each example, its prompt and its paths one after another:
 * `n | x₁ r₁ r̄₁ | x₂ r₂ r̄₂ | …`. A path's rows see the soft prompt, the whole of their own example's
 * prompt and their own path, causally; sibling paths do not see each other. The queries that see
 * key row j are then exactly the rows [j, queryEnd[j]), which is what the backward kernels rely on.
 *
 * The last token of a path predicts nothing, so it is a target but not a row.
 */
import type { Tokens } from './types';

export interface PackInput {
  prompt: Tokens;
  paths: readonly Tokens[];
}

export interface PackedBatch {
  /** Soft-prompt rows in front. */
  prefix: number;
  /** All rows, soft prompt included. */
  rows: number;
  /** Input token of each row; 0 in soft-prompt rows. [rows] */
  tokens: Uint32Array;
  /** RoPE position of each row. [rows] */
  positions: Uint32Array;
  /** {prefixEnd, a0, a1, b0} of each row, see kernels/attention. [rows · 4] */
  keys: Uint32Array;
  /** Each row's own row in the KV pool: itself. [rows] */
  self: Uint32Array;
  /** End of the queries that see each row as a key. [rows] */
  queryEnd: Uint32Array;
  /** Rows whose next-token distribution carries loss, ascending. [lossCount] */
  lossRows: Uint32Array;
  /** Index into `lossRows` of each position of each path: `loss[example][path][t]`. */
  loss: number[][][];
}

/**
 * Items of equal prompts as paths of one, where these take at most `rows` rows, in the order of their
 * first; `places[i]`: where item i went, [input, path].
 */
export function sharePrompts(
  items: readonly { prompt: Tokens; path: Tokens }[],
  rows: number,
): { inputs: PackInput[]; places: (readonly [number, number])[] } {
  const inputs: { prompt: Tokens; paths: Tokens[] }[] = [];
  /** The last input of each prompt, and the rows that it takes so far. */
  const open = new Map<string, { at: number; taken: number }>();
  const places = items.map(({ prompt, path }) => {
    const key = prompt.join();
    const last = open.get(key);
    const more = Math.max(0, path.length - 1);
    if (last && last.taken + more <= rows) {
      last.taken += more;
      return [last.at, inputs[last.at]!.paths.push(path) - 1] as const;
    }
    const at = inputs.push({ prompt, paths: [path] }) - 1;
    open.set(key, { at, taken: prompt.length + more });
    return [at, 0] as const;
  });
  return { inputs, places };
}

/** Rows that an example takes in a packed batch. */
export function exampleRows(input: PackInput): number {
  return input.paths.reduce((sum, path) => sum + Math.max(0, path.length - 1), input.prompt.length);
}

/** Loss rows that an example takes: one shared first position and the rest of each path. */
export function exampleLossRows(input: PackInput): number {
  return input.paths.reduce((sum, path) => sum + Math.max(0, path.length - 1), 1);
}

/** @throws RangeError where an example has an empty prompt or an empty path. */
export function pack(examples: readonly PackInput[], prefix: number): PackedBatch {
  const rows = examples.reduce((sum, example) => sum + exampleRows(example), prefix);
  const tokens = new Uint32Array(rows);
  const positions = new Uint32Array(rows);
  const keys = new Uint32Array(rows * 4);
  const self = Uint32Array.from({ length: rows }, (_, row) => row);
  const queryEnd = new Uint32Array(rows);
  const lossRows: number[] = [];
  const loss: number[][][] = [];

  for (let row = 0; row < prefix; row++) {
    positions[row] = row;
    queryEnd[row] = rows;
  }
  let row = prefix;
  const put = (token: number, position: number, a0: number, a1: number, b0: number) => {
    tokens[row] = token;
    positions[row] = position;
    keys.set([prefix, a0, a1, b0], row * 4);
    row++;
  };
  for (const { prompt, paths } of examples) {
    if (prompt.length === 0) throw new RangeError('A prompt needs at least one token.');
    const promptStart = row;
    prompt.forEach((token, i) => put(token, prefix + i, 0, 0, promptStart));
    const promptEnd = row;
    const firstLoss = lossRows.push(promptEnd - 1) - 1;
    const exampleLoss = paths.map((path) => {
      if (path.length === 0) throw new RangeError('A path needs at least one token.');
      const start = row;
      const indices = [firstLoss];
      for (let t = 0; t + 1 < path.length; t++) {
        indices.push(lossRows.push(row) - 1);
        put(path[t]!, prefix + prompt.length + t, promptStart, promptEnd, start);
      }
      queryEnd.fill(row, start, row);
      return indices;
    });
    queryEnd.fill(row, promptStart, promptEnd);
    loss.push(exampleLoss);
  }
  return {
    prefix,
    rows,
    tokens,
    positions,
    keys,
    self,
    queryEnd,
    lossRows: Uint32Array.from(lossRows),
    loss,
  };
}
