/** GPU copies of the per-row tables of a pass, allocated once for a row capacity. */
import { type Gpu, Span } from '../kernels/gpu/gpu';

/** Of each row of a pass. */
export interface RowTables {
  /** Input token; 0 in soft-prompt rows. [rows] */
  tokens: Uint32Array;
  /** RoPE position. [rows] */
  positions: Uint32Array;
  /** {prefixEnd, a0, a1, b0}, see kernels/attention. [rows · 4] */
  keys: Uint32Array;
  /** The row's own row in the KV pool; itself where there is no pool. [rows] */
  self: Uint32Array;
  /** End of the queries that see the row as a key; for backward passes. [rows] */
  queryEnd?: Uint32Array;
}

/** Rows [start, start + rows). */
type Rows = Pick<Span, 'start' | 'rows'>;

/** The queries of attention: all rows of a pass or some of them, close together. */
export class QueryRows {
  readonly positions: GPUBuffer;
  readonly keys: GPUBuffer;
  readonly self: GPUBuffer;
  /**
   * Of each row of the batch as a key, {first, end} of the queries that see it and its position; and
   * each query's position. u32 [rows · 4]
   */
  readonly seen: GPUBuffer;
  readonly span: Span;
  /** The same rows counted in query heads, for the norms of single heads. */
  readonly heads: Span;

  /** Pairs of the queries before each one and the keys that they see, [queries + 1]. */
  private pairsBefore: Float64Array = new Float64Array(1);
  /** Pairs of the keys before each one and the queries that see them, [rows + 1]. */
  private keyPairsBefore: Float64Array = new Float64Array(1);

  constructor(
    private readonly gpu: Gpu,
    capacity: number,
    label: string,
  ) {
    this.positions = gpu.storage(`${label} positions`, capacity * 4);
    this.keys = gpu.storage(`${label} keys`, capacity * 16);
    this.self = gpu.storage(`${label} self`, capacity * 4);
    this.seen = gpu.storage(`${label} seen`, capacity * 16);
    this.span = new Span(gpu, label);
    this.heads = new Span(gpu, `${label} query heads`);
  }

  /** `chosen`: the rows that are queries, ascending; absent: all. `heads`: query heads of the model. */
  write(tables: RowTables, heads: number, chosen?: Uint32Array): void {
    const { gpu } = this;
    const all = tables.self.length;
    const count = chosen?.length ?? all;
    const row = (i: number) => (chosen ? chosen[i]! : i);
    this.span.set(0, count);
    this.heads.set(0, count * heads);
    const positions = chosen ? chosen.map((i) => tables.positions[i]!) : tables.positions;
    const self = chosen ? chosen.map((i) => tables.self[i]!) : tables.self;
    const keys = chosen ? new Uint32Array(4 * count) : tables.keys;
    if (chosen)
      for (let i = 0; i < 4 * count; i++) keys[i] = tables.keys[4 * row(i >> 2) + (i & 3)]!;
    gpu.write(this.positions, positions);
    gpu.write(this.keys, keys);
    gpu.write(this.self, self);
    this.pairsBefore = visibleBefore(keys, self);
    const { queryEnd } = tables;
    if (!queryEnd) return;
    const before = countBefore(all, chosen);
    const seen = new Uint32Array(4 * all);
    this.keyPairsBefore = new Float64Array(all + 1);
    for (let key = 0; key < all; key++) {
      const [first, end] = [before[key]!, before[queryEnd[key]!]!];
      seen.set([first, end, tables.positions[key]!, positions[key] ?? 0], 4 * key);
      this.keyPairsBefore[key + 1] = this.keyPairsBefore[key]! + (end - first);
    }
    gpu.write(this.seen, seen);
  }

  /** Pairs of the span's queries, or of some, and the keys that they see: what attention costs. */
  pairs({ start, rows }: Rows = this.span): number {
    return this.pairsBefore[start + rows]! - this.pairsBefore[start]!;
  }

  /** Pairs of keys and the queries that see them. */
  pairsOfKeys({ start, rows }: Rows): number {
    return this.keyPairsBefore[start + rows]! - this.keyPairsBefore[start]!;
  }

  release(): void {
    this.gpu.release(this.positions, this.keys, this.self, this.seen);
    this.span.release();
    this.heads.release();
  }
}

/** How many of the `chosen` rows stand before each of `rows` rows and before the end. */
function countBefore(rows: number, chosen: Uint32Array | undefined): Uint32Array {
  const before = Uint32Array.from({ length: rows + 1 }, (_, row) => (chosen ? 0 : row));
  if (!chosen) return before;
  for (const row of chosen) before[row + 1]!++;
  for (let row = 0; row < rows; row++) before[row + 1]! += before[row]!;
  return before;
}

/** Keys that the queries before each one see together. */
function visibleBefore(keys: Uint32Array, self: Uint32Array): Float64Array {
  const sums = new Float64Array(self.length + 1);
  for (let row = 0; row < self.length; row++) {
    const [prefix, a0, a1, b0] = keys.subarray(4 * row, 4 * row + 4);
    sums[row + 1] = sums[row]! + prefix! + (a1! - a0!) + (self[row]! + 1 - b0!);
  }
  return sums;
}
