/**
 * Loss rows of a training batch: each position's target, its weight, and the cached
 * hidden state that its teacher logits come from. Pure packing; METHOD.md §3.1.
 */
import { TargetMismatchError } from './errors';
import type { PackedBatch } from './pack';
import type { SparseRow, Teacher, TrainExample } from './types';

export interface LossRows {
  count: number;
  /** [count] */
  coef: Float32Array;
  /** Posterior of the refusal branch, [count]. */
  posterior: Float32Array;
  /** CSR of the refusal branch's next-token distribution. */
  rhoStart: Uint32Array;
  rhoToken: Uint32Array;
  rhoProb: Float32Array;
  /** Teacher's final hidden states, [count, dim]; zeros where a row has no teacher. */
  hidden: Float32Array;
  /** 1 where a row has a teacher, [count]. */
  taught: Uint8Array;
}

/**
 * Merges the paths of each example into its loss rows. The coefficients of the shared first
 * position add up.
 * @throws TargetMismatchError where paths disagree about the target of their shared first position.
 * @throws RangeError where a path has another number of hidden values, or no teacher and needs one.
 */
export function lossRows(
  packed: PackedBatch,
  examples: readonly TrainExample[],
  teacher: Teacher,
  dim: number,
): LossRows {
  const count = packed.lossRows.length;
  const coef = new Float32Array(count);
  const posterior = new Float32Array(count);
  const hidden = new Float32Array(count * dim);
  const taught = new Uint8Array(count);
  const sparse = new Array<SparseRow | undefined>(count);
  for (const [e, example] of examples.entries()) {
    for (const [p, path] of example.paths.entries()) {
      const states = teacher[e]?.[p]?.hidden;
      if (!states && path.refusalPosterior.some((w) => w < 1)) {
        throw new RangeError('A target that is not all refusal needs what the teacher says.');
      }
      if (states && states.length !== path.tokens.length * dim) {
        throw new RangeError(
          `A teacher path has ${states.length} hidden values; ${path.tokens.length * dim} were expected.`,
        );
      }
      for (let t = 0; t < path.tokens.length; t++) {
        const at = packed.loss[e]![p]![t]!;
        const seen = sparse[at];
        if (
          seen &&
          !sameTarget(seen, posterior[at]!, path.refusalNext[t]!, path.refusalPosterior[t]!)
        )
          throw new TargetMismatchError(e);
        coef[at]! += path.coef[t]!;
        if (seen) continue;
        sparse[at] = path.refusalNext[t]!;
        posterior[at] = path.refusalPosterior[t]!;
        if (!states) continue;
        taught[at] = 1;
        hidden.set(states.subarray(t * dim, (t + 1) * dim), at * dim);
      }
    }
  }
  const rhoStart = new Uint32Array(count + 1);
  for (let i = 0; i < count; i++) rhoStart[i + 1] = rhoStart[i]! + (sparse[i]?.tokens.length ?? 0);
  return {
    count,
    coef,
    posterior,
    rhoStart,
    rhoToken: Uint32Array.from(sparse.flatMap((row) => row?.tokens ?? [])),
    rhoProb: Float32Array.from(sparse.flatMap((row) => row?.probs ?? [])),
    hidden,
    taught,
  };
}

function sameTarget(a: SparseRow, aPosterior: number, b: SparseRow, bPosterior: number): boolean {
  return (
    Math.abs(aPosterior - bPosterior) <= 1e-6 &&
    a.tokens.length === b.tokens.length &&
    a.tokens.every((token, i) => token === b.tokens[i]) &&
    a.probs.every((prob, i) => Math.abs(prob - b.probs[i]!) <= 1e-6)
  );
}
