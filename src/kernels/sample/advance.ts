/** One decoding step on: row tables grow by one on the GPU. Formula in advance.wgsl. */
import source from './advance.wgsl?raw';
import { bind, type Gpu, type Op, type Span, spread } from '../gpu/gpu';
import { specialise } from '../gpu/wgsl';

export interface AdvanceArgs {
  /** u32 [rows] each. */
  positions: GPUBuffer;
  self: GPUBuffer;
  counter: GPUBuffer;
  span: Span;
}

export interface AdvanceKernel {
  bind(args: AdvanceArgs): Op;
}

export async function createAdvance(gpu: Gpu): Promise<AdvanceKernel> {
  const pipeline = await gpu.pipeline('advance', specialise(source));
  return {
    bind: ({ positions, self, counter, span }) =>
      bind(gpu, 'advance', pipeline, [span.buffer, positions, self, counter], () =>
        spread(Math.ceil(span.rows / 64)),
      ),
  };
}
