/** Copies projection rows into rows of the KV pool: for v what RoPE does for k on its way. */
import source from './rope-scatter.wgsl?raw';
import { bind, spread, type Gpu, type Op, type Span } from './gpu';
import { specialise } from './wgsl';

export interface KvScatterBuffers {
  /** [rows, dim] */
  x: GPUBuffer;
  /** Out: [poolRows, dim] */
  y: GPUBuffer;
  /** u32 [rows]: row i of x goes to row destination[i] of y. */
  destination: GPUBuffer;
  /** Rows of x and destination. */
  span: Span;
}

export interface KvScatterKernel {
  bind(buffers: KvScatterBuffers): Op;
}

const WORKGROUP = 64;

/** `dim` is Hkv·hd. @throws RangeError where it is no multiple of 4. */
export async function createKvScatter(
  gpu: Gpu,
  { dim }: { dim: number },
): Promise<KvScatterKernel> {
  if (dim <= 0 || dim % 4) throw new RangeError(`Rows of ${dim} cannot be scattered.`);
  const code = specialise(source, { WORKGROUP, DIM4: dim / 4 });
  const pipeline = await gpu.pipeline('kv scatter', code);
  return {
    bind: ({ x, y, destination, span }) =>
      bind(gpu, 'kv scatter', pipeline, [span.buffer, x, destination, y], () =>
        spread(Math.ceil((span.rows * dim) / 4 / WORKGROUP)),
      ),
  };
}
