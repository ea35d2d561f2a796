/** RMSNorm over rows, forward and backward. Formula in rmsnorm.wgsl. */
import { bind, spread, type Gpu, type Op, type Span } from '../gpu/gpu';
import { lanesFor, positive, withRows } from './reduce-lanes';
import source from './rmsnorm.wgsl?raw';

export interface RmsNormShape {
  /** Width of a row. */
  dim: number;
  /** Added to the mean square; from the model's configuration. */
  eps: number;
  /** `thread`: one invocation a row; else invocations a row. Default: chosen from the adapter. */
  lanes?: number | 'thread';
  /** `bind` will be given residuals: one more pipeline. Default false. */
  residual?: boolean;
}

export interface RmsNormForward {
  /** [rows, dim], not `y`. */
  x: GPUBuffer;
  /** [dim] */
  weight: GPUBuffer;
  /** [rows, dim], added to the output; another buffer than `y`. Needs the shape's `residual`. */
  residual?: GPUBuffer;
  /** [rows, dim], written. */
  y: GPUBuffer;
  span: Span;
}

export interface RmsNormBackward {
  /** Input of the forward pass [rows, dim]. */
  x: GPUBuffer;
  /** [dim] */
  weight: GPUBuffer;
  /** Gradient of the output [rows, dim]. */
  dy: GPUBuffer;
  /** Gradient of the input [rows, dim]; must be neither `x` nor `dy`. */
  dx: GPUBuffer;
  /** true: dx += (dx holds the residual stream's gradient); false: dx =. */
  accumulate: boolean;
  span: Span;
}

export interface RmsNormKernel {
  bind(args: RmsNormForward): Op;
  bindBackward(args: RmsNormBackward): Op;
}

/** One invocation a row needs this many rows side by side to fill a workgroup. */
const ROWS_PER_GROUP = 16;

/** @throws RangeError on a width below 1 or a negative `eps`. */
export async function createRmsNorm(gpu: Gpu, shape: RmsNormShape): Promise<RmsNormKernel> {
  const { dim, eps } = shape;
  positive('dim', dim);
  if (!(eps >= 0)) throw new RangeError(`eps is ${eps}; it must not be negative.`);
  const lanes = shape.lanes ?? (gpu.description.isFallbackAdapter ? 'thread' : lanesFor(gpu, dim));
  const rowPerThread = lanes === 'thread';
  const code = (flags: Record<'BACKWARD' | 'ACCUMULATE' | 'RESIDUAL', boolean>): string =>
    withRows(
      gpu,
      source,
      { length: dim, lanes: lanes === 'thread' ? ROWS_PER_GROUP : lanes },
      { DIM: dim, EPS_F: eps },
      { ROW_PER_THREAD: rowPerThread, ...flags },
    );
  const plain = { BACKWARD: false, ACCUMULATE: false, RESIDUAL: false };
  const [forward, overwrite, accumulate, adding] = await Promise.all([
    gpu.pipeline('rmsnorm', code(plain)),
    gpu.pipeline('rmsnorm backward', code({ ...plain, BACKWARD: true })),
    gpu.pipeline('rmsnorm backward, adding', code({ ...plain, BACKWARD: true, ACCUMULATE: true })),
    shape.residual ? gpu.pipeline('rmsnorm to residual', code({ ...plain, RESIDUAL: true })) : null,
  ]);
  const grid = (span: Span) => () =>
    spread(rowPerThread ? Math.ceil(span.rows / ROWS_PER_GROUP) : span.rows);
  return {
    bind({ x, weight, residual, y, span }) {
      const buffers = [x, weight, y, span.buffer];
      if (!residual) return bind(gpu, 'rmsnorm', forward, buffers, grid(span));
      if (!adding) throw new RangeError('This RMSNorm was made without residuals.');
      return bind(gpu, 'rmsnorm to residual', adding, [...buffers, residual], grid(span));
    },
    bindBackward: ({ x, weight, dy, dx, accumulate: adds, span }) =>
      bind(
        gpu,
        'rmsnorm backward',
        adds ? accumulate : overwrite,
        [x, weight, dy, dx, span.buffer],
        grid(span),
      ),
  };
}
