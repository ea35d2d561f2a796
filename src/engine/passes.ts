/** Splits a batch into passes that fit the rows that were planned. Pure. */
import { SequenceTooLongError } from './errors';
import { lossRows, type LossRows } from './loss-rows';
import { exampleRows, pack, packedAs, type PackedRows } from './pack';
import type { Batch } from './types';

/** Examples that go through together. */
export interface Pass {
  packed: PackedRows;
  rows: LossRows;
}

export interface PassLimits {
  /** Soft-prompt rows in front of every pass. */
  prefix: number;
  /** Most rows of a pass, those included. */
  rows: number;
  /** Positions that the model has. */
  positions: number;
  /** Width of the teacher's hidden states. */
  dim: number;
}

/**
 * As many examples a pass as fit, in order.
 * @throws SequenceTooLongError, RangeError where an example alone does not fit; see `lossRows`
 */
export function packPasses(batch: Batch, limits: PassLimits): Pass[] {
  const { prefix, positions, dim } = limits;
  const inputs = packedAs(batch);
  const passes: Pass[] = [];
  let from = 0;
  let rows = prefix;
  const close = (to: number) => {
    if (to === from) return;
    const packed = pack(inputs.slice(from, to), prefix);
    const last = packed.positions.reduce((most, position) => Math.max(most, position), 0);
    if (last >= positions) throw new SequenceTooLongError(last + 1, 0, positions);
    passes.push({ packed, rows: lossRows(packed, part(batch, from, to), dim) });
    from = to;
    rows = prefix;
  };
  for (const [at, input] of inputs.entries()) {
    const size = exampleRows(input);
    if (rows + size > limits.rows) close(at);
    if (rows + size > limits.rows) {
      throw new RangeError(
        `An example of ${size} positions does not fit the ${limits.rows - prefix} of a pass.`,
      );
    }
    rows += size;
  }
  close(inputs.length);
  return passes;
}

/** Examples [from, to) of a batch. */
function part(batch: Batch, from: number, to: number): Batch {
  switch (batch.family) {
    case 'divergence': {
      const { family, examples, teacher } = batch;
      return { family, examples: examples.slice(from, to), teacher: teacher.slice(from, to) };
    }
    case 'token':
      return { family: batch.family, examples: batch.examples.slice(from, to) };
  }
}
