/** Splits a batch into passes that fit the rows that were planned. Pure. */
import { SequenceTooLongError } from './errors';
import type { PassRows } from './loss-stage';
import { exampleRows, pack, type PackedBatch, type PackInput } from './pack';

/** Examples that go through together, packed. */
export interface Pass {
  packed: PackedBatch;
  rows: PassRows;
}

export interface PassLimits {
  /** Soft-prompt rows in front of every pass. */
  prefix: number;
  /** Most rows of a pass, those included. */
  rows: number;
  /** Positions that the model has. */
  positions: number;
}

/**
 * As many inputs a pass as fit, in order.
 * @param rowsOf the loss rows of inputs [from, to), which were packed together
 * @throws SequenceTooLongError, RangeError where an input alone does not fit.
 */
export function packPasses(
  inputs: readonly PackInput[],
  limits: PassLimits,
  rowsOf: (packed: PackedBatch, from: number, to: number) => PassRows,
): Pass[] {
  const { prefix, positions } = limits;
  const passes: Pass[] = [];
  let from = 0;
  let rows = prefix;
  const close = (to: number) => {
    if (to === from) return;
    const packed = pack(inputs.slice(from, to), prefix);
    const last = packed.positions.reduce((most, position) => Math.max(most, position), 0);
    if (last >= positions) throw new SequenceTooLongError(last + 1, 0, positions);
    passes.push({ packed, rows: rowsOf(packed, from, to) });
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
