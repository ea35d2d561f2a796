/** Fake int4 quantisation of a soft prompt's rows. Formula in fake-quant.wgsl. */
import source from './fake-quant.wgsl?raw';
import { bind, spread, type Gpu, type Op, type Span } from '../gpu/gpu';
import { lanesFor, positive, withLanes } from './reduce-lanes';
import { createRows } from './rows';

export interface FakeQuantShape {
  /** Width of a row. */
  dim: number;
}

export interface FakeQuantArgs {
  /** [rows, dim], not `y`. */
  x: GPUBuffer;
  /** [rows, dim], written. */
  y: GPUBuffer;
  span: Span;
  /** false: y = x, so that a trainer can switch between the two. */
  quantise: boolean;
}

export interface FakeQuantKernel {
  bind(args: FakeQuantArgs): Op;
}

/** @throws RangeError on a width below 1. */
export async function createFakeQuant(gpu: Gpu, { dim }: FakeQuantShape): Promise<FakeQuantKernel> {
  positive('dim', dim);
  const [pipeline, rows] = await Promise.all([
    gpu.pipeline('fake-quant', withLanes(gpu, source, lanesFor(gpu, dim), { DIM: dim })),
    createRows(gpu, { dim }),
  ]);
  return {
    bind: ({ x, y, span, quantise }) =>
      quantise
        ? bind(gpu, 'fake-quant', pipeline, [x, y, span.buffer], () => spread(span.rows))
        : rows.bindCopy({ x, y, span, place: span }),
  };
}
