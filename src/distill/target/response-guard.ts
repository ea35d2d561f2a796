/**
 * Case B: the guard reads prompt and answer (METHOD.md §3.2). The safe system draws an answer r of
 * the frozen student, returns it with probability s(x, r) and else says a refusal:
 *
 *   p(r|x) = s(x,r)·π(r|x) + u(x)·ρ(r),   u(x) = E_π[1 − s(x, R)]
 *
 * Its next-token distribution needs S_t = E_π[s(x,R) | r_≤t], which nobody has. But p can be sampled
 * exactly, so losses that are linear in p (likelihood, TaiLr's gradient) are unbiased on accepted
 * answers, each of m at weight 1/m, and a refusal at weight u estimated from the same m. Derived.
 */
import type { Tokens } from '../../engine/types';
import type { ResponseSampling } from './guard-case';
import type { PlannedPath } from './paths';
import type { Random } from '../statistics/prng';

/** An answer of the frozen student and the teacher's s(x, r), strictness and clip applied. */
export interface ScoredAnswer {
  tokens: Tokens;
  safe: number;
}

export interface ResponsePaths {
  /** 1 − û: what takes the place of s(x). */
  safe: number;
  paths: PlannedPath[];
}

/** Estimate of u(x), the share of answers that the guard replaces; unbiased. */
export function replacedShare(answers: readonly ScoredAnswer[]): number {
  if (answers.length === 0) throw new RangeError('A response guard needs at least one answer.');
  return answers.reduce((sum, { safe }) => sum + (1 - safe), 0) / answers.length;
}

/**
 * Paths of one prompt from its `answers` (independent samples of π) and one wording of the refusal.
 * - `exact` and `accepted`: every answer is accepted with probability s, by `random`, and weighs 1/m.
 *   Of more than `maxAccepted`, some are drawn and carry the others' weight. There may be none.
 * - `mean`: the first answer at weight 1 − û.
 *
 * Which rows the paths become is the caller's: likelihood or TaiLr for `exact`, a divergence to case
 * A's mixture with s = 1 − û for the other two, which leaves unsafe mass of about u(1 − u).
 */
export function responsePaths(
  answers: readonly ScoredAnswer[],
  refusal: Tokens,
  sampling: ResponseSampling,
  random: Random,
  maxAccepted = Infinity,
): ResponsePaths {
  const replaced = replacedShare(answers);
  const safe = 1 - replaced;
  const paths: PlannedPath[] = [];
  if (sampling === 'mean') {
    paths.push({ kind: 'sample', tokens: answers[0]!.tokens, weight: safe });
  } else {
    const accepted = answers.filter((answer) => random.next() < answer.safe);
    const kept = subset(accepted, maxAccepted, random);
    for (const { tokens } of kept) {
      const weight = accepted.length / (answers.length * kept.length);
      paths.push({ kind: 'sample', tokens, weight });
    }
  }
  if (replaced > 0) paths.push({ kind: 'refusal', tokens: refusal, weight: replaced });
  return { safe, paths };
}

function subset<T>(items: readonly T[], count: number, random: Random): readonly T[] {
  if (items.length <= count) return items;
  const order = random.permutation(items.length);
  return Array.from(order.subarray(0, count), (i) => items[i]!);
}
