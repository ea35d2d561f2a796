/** Log-softmax at one token per row: the teacher's log-probabilities of realised tokens. */
import source from './divergence-logprob.wgsl?raw';
import { bind, spread, type Gpu, type Op, type Span } from '../gpu/gpu';
import { positive, withRows } from '../rows/reduce-lanes';

export interface LogProbShape {
  vocabulary: number;
  /** Invocations per row (a power of two in 4..256). Default: chosen from the adapter. */
  lanes?: number;
}

export interface LogProbArgs {
  /** [rows, vocabulary], read only. */
  logits: GPUBuffer;
  /** u32 [rows] */
  token: GPUBuffer;
  /** [rows], written: natural logarithm. */
  y: GPUBuffer;
  span: Span;
}

export interface LogProbKernel {
  bind(args: LogProbArgs): Op;
}

/** @throws RangeError on a vocabulary below 1. */
export async function createLogProb(gpu: Gpu, shape: LogProbShape): Promise<LogProbKernel> {
  const { vocabulary } = shape;
  positive('vocabulary', vocabulary);
  const pipeline = await gpu.pipeline(
    'log-probability',
    withRows(gpu, source, { length: vocabulary, lanes: shape.lanes }, { VOCABULARY: vocabulary }),
  );
  return {
    bind: ({ logits, token, y, span }) =>
      bind(gpu, 'log-probability', pipeline, [logits, token, y, span.buffer], () =>
        spread(span.rows),
      ),
  };
}
