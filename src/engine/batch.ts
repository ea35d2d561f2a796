/** GPU copies of a packed batch's per-row tables, allocated once for a row capacity. */
import type { Gpu } from '../kernels/gpu';

export interface RowTables {
  tokens: Uint32Array;
  positions: Uint32Array;
  keys: Uint32Array;
  self: Uint32Array;
  queryEnd?: Uint32Array;
}

export class RowBuffers {
  readonly tokens: GPUBuffer;
  readonly positions: GPUBuffer;
  readonly keys: GPUBuffer;
  readonly self: GPUBuffer;
  readonly queryEnd: GPUBuffer;

  constructor(
    private readonly gpu: Gpu,
    readonly capacity: number,
    label: string,
  ) {
    this.tokens = gpu.storage(`${label} tokens`, capacity * 4);
    this.positions = gpu.storage(`${label} positions`, capacity * 4);
    this.keys = gpu.storage(`${label} keys`, capacity * 16);
    this.self = gpu.storage(`${label} self`, capacity * 4);
    this.queryEnd = gpu.storage(`${label} query end`, capacity * 4);
  }

  /** @throws RangeError where the tables hold more rows than the capacity. */
  write(tables: RowTables): void {
    const rows = tables.tokens.length;
    if (rows > this.capacity) {
      throw new RangeError(`A batch of ${rows} rows does not fit ${this.capacity}.`);
    }
    this.gpu.write(this.tokens, tables.tokens);
    this.gpu.write(this.positions, tables.positions);
    this.gpu.write(this.keys, tables.keys);
    this.gpu.write(this.self, tables.self);
    if (tables.queryEnd) this.gpu.write(this.queryEnd, tables.queryEnd);
  }

  release(): void {
    this.gpu.release(this.tokens, this.positions, this.keys, this.self, this.queryEnd);
  }
}
