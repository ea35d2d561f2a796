/**
 * The residual stream behind every layer at the last token of prompts: what untrained steering
 * vectors are made from. No gradients; the pass's buffers live as long as the call.
 */
import type { Gpu } from '../kernels/gpu/gpu';
import { CancelledError, SequenceTooLongError } from './errors';
import { ForwardPass } from './forward';
import type { ForwardKernels } from './forward-kernels';
import { pack } from './pack';
import type { Tokens } from './types';
import type { DecoderWeights } from './weights';
import type { Submitter } from './work';

/** Rows of a pass: each layer's are read back. */
const PASS_ROWS = 512;

interface ResidualDeps {
  gpu: Gpu;
  weights: DecoderWeights;
  kernels: ForwardKernels;
  submitter: Submitter;
}

/**
 * [layers, dim] of each prompt.
 * @throws SequenceTooLongError, CancelledError
 */
export async function residuals(
  { gpu, weights, kernels, submitter }: ResidualDeps,
  prompts: readonly Tokens[],
  signal?: AbortSignal,
): Promise<Float32Array[]> {
  const { dim, layers, maxPositions } = weights.config;
  const room = Math.min(weights.positions, maxPositions);
  const longest = prompts.reduce((most, { length }) => Math.max(most, length), 0);
  if (longest > room) throw new SequenceTooLongError(longest, 0, room);
  if (longest === 0) return [];
  const total = prompts.reduce((sum, { length }) => sum + length, 0);
  const capacity = Math.min(total, Math.max(longest, PASS_ROWS));
  const options = { capacity, keep: 'inputs', pool: null, maxPrefix: 0 } as const;
  const pass = new ForwardPass(gpu, weights, kernels, { ...options, label: 'residuals' });
  // What stands behind a layer is the next one's input.
  const behind = [...pass.layers.slice(1).map(({ input }) => input), pass.output];
  const results: Float32Array[] = [];
  try {
    for (const batch of batches(prompts, capacity)) {
      if (signal?.aborted) throw new CancelledError();
      pass.load(
        pack(
          batch.map((prompt) => ({ prompt, paths: [] })),
          0,
        ),
        0,
      );
      submitter.run(pass.ops, 'residuals');
      const rows = batch.reduce((sum, { length }) => sum + length, 0);
      const values = await Promise.all(behind.map((buffer) => gpu.readFloats(buffer, rows * dim)));
      let end = 0;
      for (const { length } of batch) {
        end += length;
        const result = new Float32Array(layers * dim);
        values.forEach((layer, l) =>
          result.set(layer.subarray((end - 1) * dim, end * dim), l * dim),
        );
        results.push(result);
      }
    }
  } finally {
    pass.release();
  }
  return results;
}

function* batches(prompts: readonly Tokens[], capacity: number): Iterable<Tokens[]> {
  let batch: Tokens[] = [];
  let rows = 0;
  for (const prompt of prompts) {
    if (rows + prompt.length > capacity) {
      yield batch;
      [batch, rows] = [[], 0];
    }
    batch.push(prompt);
    rows += prompt.length;
  }
  if (batch.length > 0) yield batch;
}
