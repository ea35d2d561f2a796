/**
 * The teacher's next-token distribution (METHOD.md §3.1). The safe system answers with the frozen
 * student π where the guard passes (probability s) and with a refusal ρ where it does not:
 *
 *   p(r|x) = s·π(r|x) + (1 − s)·ρ(r),   ρ uniform over K refusal strings that end in EOS
 *
 *   w_t = P(refusal branch | x, r_<t),   logit w_t = log((1−s)/s) + log ρ(r_<t) − log π(r_<t|x)
 *   p(r_t|x, r_<t) = (1 − w_t)·π(r_t|x, r_<t) + w_t·ρ(r_t|r_<t)
 *
 * ρ(r_<t) is the share of the strings that start with r_<t; ρ(·|r_<t) is uniform over the strings
 * that still match. Off every string w is exactly 0. Derived, not quoted from the paper.
 */
import type { SparseRow, Tokens } from '../../engine/types';
import type { Recipe } from '../types';

/** logit w is clamped to ±30: beyond it the posterior is 0 or 1 to 1e-13. */
const LOGIT_LIMIT = 30;

interface TrieNode {
  /** Strings that pass through here. */
  count: number;
  children: Map<number, TrieNode>;
  next: SparseRow;
}

export interface RefusalTarget {
  /** w_t at each position of the path, [T]. */
  posterior: Float64Array;
  /** ρ(·|r_<t) at each position; empty off the refusals, where w_t = 0. */
  next: SparseRow[];
}

const NOWHERE: SparseRow = { tokens: [], probs: [] };

/** K refusal strings as a prefix tree of tokens; each counts 1/K. */
export class RefusalTrie {
  readonly strings: readonly Tokens[];
  private readonly root: TrieNode;

  /** @throws RangeError where there is no string, an empty one, or the same one twice. */
  constructor(strings: readonly Tokens[]) {
    if (strings.length === 0) throw new RangeError('A refusal trie needs at least one refusal.');
    this.strings = strings;
    this.root = { count: 0, children: new Map(), next: NOWHERE };
    const ends = new Set<TrieNode>();
    for (const string of strings) {
      if (string.length === 0) throw new RangeError('A refusal has no tokens.');
      let node = this.root;
      node.count++;
      for (const token of string) {
        let child = node.children.get(token);
        if (!child) {
          child = { count: 0, children: new Map(), next: NOWHERE };
          node.children.set(token, child);
        }
        child.count++;
        node = child;
      }
      if (ends.has(node)) throw new RangeError('Two refusals are the same tokens.');
      ends.add(node);
    }
    const close = (node: TrieNode) => {
      const entries = [...node.children.entries()];
      const going = entries.reduce((sum, [, child]) => sum + child.count, 0);
      node.next = {
        tokens: entries.map(([token]) => token),
        probs: entries.map(([, child]) => child.count / going),
      };
      for (const [, child] of entries) close(child);
    };
    close(this.root);
  }

  /**
   * w_t and ρ_t along `path`, for a guard that passes with probability `safe`.
   * @param logProbs log π(path_t | x, path_<t) of the frozen student, [T], nats.
   */
  along(path: Tokens, logProbs: ArrayLike<number>, safe: number): RefusalTarget {
    if (logProbs.length !== path.length) {
      throw new RangeError(`${path.length} tokens, but ${logProbs.length} log-probabilities.`);
    }
    const posterior = new Float64Array(path.length);
    const next: SparseRow[] = new Array<SparseRow>(path.length).fill(NOWHERE);
    let node: TrieNode | undefined = this.root;
    let logit = Math.log(1 - safe) - Math.log(safe);
    for (let t = 0; t < path.length && node && node.children.size > 0; t++) {
      posterior[t] = sigmoid(clamp(logit, -LOGIT_LIMIT, LOGIT_LIMIT));
      next[t] = node.next;
      const child: TrieNode | undefined = node.children.get(path[t]!);
      if (child) logit += Math.log(child.count / node.count) - logProbs[t]!;
      node = child;
    }
    return { posterior, next };
  }
}

/** How a guard's P(safe) becomes s. */
export type TeacherSettings = Pick<Recipe, 'strictness' | 'guardTemperature' | 'guardClip'>;

/**
 * The teacher's s from the guard's raw P(safe) (METHOD.md §3.3):
 * logit s′ = logit(s)/τ + b, then clipped to [ε, 1 − ε]. `strictness` is b; negative is stricter.
 */
export function teacherSafety(raw: number, recipe: TeacherSettings): number {
  // A guard in f32 may say exactly 0 or 1; its logit then stays finite, so that b can move it.
  const s = clamp(raw, 1e-7, 1 - 1e-7);
  const logit = (Math.log(s) - Math.log1p(-s)) / recipe.guardTemperature + recipe.strictness;
  return clamp(sigmoid(logit), recipe.guardClip, 1 - recipe.guardClip);
}

export function sigmoid(x: number): number {
  return x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x));
}

export function clamp(x: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, x));
}
