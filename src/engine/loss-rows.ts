/**
 * From a packed batch to its loss rows, in the order of the rows that predict something: what each
 * is to say and how much it weighs. Divergences read a target distribution and the cached hidden
 * state that its teacher logits come from; token losses read one token. Pure; METHOD.md §3.1.
 */
import { TargetMismatchError } from './errors';
import type { PackedRows } from './pack';
import type { Batch, DivergenceBatch, SparseRow, TokenBatch } from './types';

export interface DivergenceRows {
  family: 'divergence';
  count: number;
  /** Weight of each row in the total loss, [count]. */
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

export interface TokenRows {
  family: 'token';
  count: number;
  /** [count]; 0 in an example's first row, which would predict its prompt's last token. */
  coef: Float32Array;
  /** y of each row, u32 [count]. */
  token: Uint32Array;
  advantage: Float32Array;
  oldLogProb: Float32Array;
}

/** The rows of one pass that carry loss. */
export type LossRows = DivergenceRows | TokenRows;

/**
 * @param packed the batch's examples, as `packedAs` of pack.ts has them
 * @param dim width of the teacher's hidden states
 * @throws TargetMismatchError where paths disagree about the target of their shared first position
 * @throws RangeError where a path has not one number for each token, or no teacher and needs one
 */
export function lossRows(packed: PackedRows, batch: Batch, dim: number): LossRows {
  switch (batch.family) {
    case 'divergence':
      return divergenceRows(packed, batch, dim);
    case 'token':
      return tokenRows(packed, batch);
  }
}

/** The coefficients of the shared first position add up. */
function divergenceRows(
  packed: PackedRows,
  { examples, teacher }: DivergenceBatch,
  dim: number,
): DivergenceRows {
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
    family: 'divergence',
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

/** Every path has its first row to itself, behind the prompt's last token. */
function tokenRows(packed: PackedRows, { examples }: TokenBatch): TokenRows {
  const count = packed.lossRows.length;
  const rows: TokenRows = {
    family: 'token',
    count,
    coef: new Float32Array(count),
    token: new Uint32Array(count),
    advantage: new Float32Array(count),
    oldLogProb: new Float32Array(count),
  };
  for (const [e, { paths }] of examples.entries()) {
    for (const [p, { tokens, coef, advantage, oldLogProb }] of paths.entries()) {
      if ([coef, advantage, oldLogProb].some((values) => values.length !== tokens.length)) {
        throw new RangeError(`A path of ${tokens.length} tokens has not one number for each.`);
      }
      tokens.forEach((token, t) => {
        const at = packed.loss[e]![p]![t + 1]!;
        rows.token[at] = token;
        rows.coef[at] = coef[t]!;
        rows.advantage[at] = advantage[t]!;
        rows.oldLogProb[at] = oldLogProb[t]!;
      });
    }
  }
  return rows;
}
