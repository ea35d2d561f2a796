/**
 * Loss rows of objectives on sampled tokens: the counterpart of loss.ts for `kernels/token-loss`,
 * which reads one token a row. Paths of one prompt would share the row that predicts their first
 * tokens; so each path gets the prompt's last token to itself, which costs one packed row a path
 * and leaves every context and position as it was. Pure packing.
 */
import type { PackedBatch, PackInput } from './pack';
import type { TokenExample } from './types';

/** In the order of the packed batch's loss rows. */
export interface TokenRows {
  count: number;
  /** y of each row, u32 [count]. */
  token: Uint32Array;
  /** [count]; 0 in an example's first row, which would predict its prompt's last token. */
  coef: Float32Array;
  advantage: Float32Array;
  oldLogProb: Float32Array;
}

/**
 * What an example packs as, for sizes too: no row of its paths is shared.
 * @throws RangeError for a prompt of one token
 */
export function unshared({ prompt, paths }: PackInput): PackInput {
  if (prompt.length < 2) throw new RangeError('A prompt with token losses needs two tokens.');
  const last = prompt.at(-1)!;
  return { prompt: prompt.slice(0, -1), paths: paths.map((tokens) => [last, ...tokens]) };
}

/** As {@link unshared}, of an example with its losses. */
export function tokenInput({ prompt, paths }: TokenExample): PackInput {
  return unshared({ prompt, paths: paths.map(({ tokens }) => tokens) });
}

/**
 * Loss rows of examples that were packed as {@link tokenInput} says.
 * @throws RangeError for a path with not one number for each token
 */
export function tokenRows(packed: PackedBatch, examples: readonly TokenExample[]): TokenRows {
  const count = packed.lossRows.length;
  const rows: TokenRows = {
    count,
    token: new Uint32Array(count),
    coef: new Float32Array(count),
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
