/** Seeded sampling of the next token, one per row. Formula in sample.wgsl. */
import { bind, spread, type Gpu, type Op, type Span } from '../gpu/gpu';
import { positive, withRows } from '../rows/reduce-lanes';
import source from './sample.wgsl?raw';

export interface SampleShape {
  vocabulary: number;
  /** Invocations per row (a power of two in 4..256). Default: chosen from the adapter. */
  lanes?: number;
}

export interface SampleArgs {
  /** [rows, vocabulary], read only. */
  logits: GPUBuffer;
  /** u32 [rows]: random stream of the row's sequence. */
  stream: GPUBuffer;
  /** u32 [rows]: position in that stream, a new one for each token. */
  counter: GPUBuffer;
  /** Uniform of 16 bytes: temperature f32 (0 is greedy), seed u32, two words unused. */
  settings: GPUBuffer;
  /** u32 [rows], written. */
  token: GPUBuffer;
  /** [rows], written: log softmax(logits) at the token, at temperature 1. */
  logProb: GPUBuffer;
  span: Span;
}

export interface SampleKernel {
  bind(args: SampleArgs): Op;
}

/** Token indices are compared as f32. */
const LARGEST_VOCABULARY = 2 ** 24;

/** @throws RangeError on a vocabulary below 1 or above 2^24. */
export async function createSample(gpu: Gpu, shape: SampleShape): Promise<SampleKernel> {
  const { vocabulary } = shape;
  positive('vocabulary', vocabulary);
  if (vocabulary > LARGEST_VOCABULARY) {
    throw new RangeError(`vocabulary is ${vocabulary}; at most ${LARGEST_VOCABULARY} works.`);
  }
  const pipeline = await gpu.pipeline(
    'sample',
    withRows(gpu, source, { length: vocabulary, lanes: shape.lanes }, { VOCABULARY: vocabulary }),
  );
  return {
    bind: ({ logits, stream, counter, settings, token, logProb, span }) =>
      bind(
        gpu,
        'sample',
        pipeline,
        [logits, stream, counter, token, logProb, settings, span.buffer],
        () => spread(span.rows),
      ),
  };
}
