/** Copies, gathers, scatters and clears rows. Formulas in rows.wgsl. */
import { bind, spread, type Gpu, type Op, type Span } from '../gpu/gpu';
import { positive } from './reduce-lanes';
import source from './rows.wgsl?raw';
import { specialise } from '../gpu/wgsl';

export interface RowsShape {
  /** Width of a row. */
  dim: number;
  /** `bindAdd` will be used: one more pipeline. Default false. */
  add?: boolean;
}

export interface CopyArgs {
  x: GPUBuffer;
  /** Rows of x that are copied. */
  span: Span;
  y: GPUBuffer;
  /** Its `start` says where the first of them lands in y; its row count is not read. */
  place: Span;
}

export interface IndexedArgs {
  x: GPUBuffer;
  y: GPUBuffer;
  /** u32, one entry per row of the span (entry `span.start` belongs to the first). */
  index: GPUBuffer;
  span: Span;
}

export interface RowsKernel {
  /** y[place.start + r] = x[span.start + r] */
  bindCopy(args: CopyArgs): Op;
  /** y[place.start + r] += x[span.start + r]. Needs the shape's `add`. */
  bindAdd(args: CopyArgs): Op;
  /** y[r] = x[index[r]] for rows r of the span. */
  bindGather(args: IndexedArgs): Op;
  /** y[index[r]] = x[r] for rows r of the span; indices unique. Other rows of y stay: clear first. */
  bindScatter(args: IndexedArgs): Op;
  /** y[r] = 0 for rows r of the span. */
  bindClear(args: { y: GPUBuffer; span: Span }): Op;
}

const GROUP = 64;
type Mode = 'COPY' | 'ADD' | 'GATHER' | 'SCATTER' | 'CLEAR';

/** @throws RangeError on a width below 1. */
export async function createRows(gpu: Gpu, { dim, add = false }: RowsShape): Promise<RowsKernel> {
  positive('dim', dim);
  const vec4 = dim % 4 === 0;
  const make = (mode: Mode): Promise<GPUComputePipeline> =>
    gpu.pipeline(
      `rows ${mode.toLowerCase()}`,
      specialise(
        source,
        { DIM: dim, GROUP },
        {
          VEC4: vec4,
          COPY: mode === 'COPY' || mode === 'ADD',
          ADD: mode === 'ADD',
          GATHER: mode === 'GATHER',
          SCATTER: mode === 'SCATTER',
          CLEAR: mode === 'CLEAR',
          INDEXED: mode === 'GATHER' || mode === 'SCATTER',
        },
      ),
    );
  const [adding, copy, gather, scatter, clear] = await Promise.all([
    add ? make('ADD') : null,
    make('COPY'),
    make('GATHER'),
    make('SCATTER'),
    make('CLEAR'),
  ]);
  const perRow = vec4 ? dim / 4 : dim;
  const grid = (span: Span) => () => spread(Math.ceil((span.rows * perRow) / GROUP));
  return {
    bindCopy: ({ x, span, y, place }) =>
      bind(gpu, 'rows copy', copy, [span.buffer, y, x, place.buffer], grid(span)),
    bindAdd({ x, span, y, place }) {
      if (!adding) throw new RangeError('These rows were made without addition.');
      return bind(gpu, 'rows add', adding, [span.buffer, y, x, place.buffer], grid(span));
    },
    bindGather: ({ x, y, index, span }) =>
      bind(gpu, 'rows gather', gather, [span.buffer, y, x, index], grid(span)),
    bindScatter: ({ x, y, index, span }) =>
      bind(gpu, 'rows scatter', scatter, [span.buffer, y, x, index], grid(span)),
    bindClear: ({ y, span }) => bind(gpu, 'rows clear', clear, [span.buffer, y], grid(span)),
  };
}
