/**
 * Rewards and advantages of REINFORCE and PPO (METHOD.md §4.6, §4.7, §7): the guard's reward on a
 * whole answer, the KL penalty to the frozen student inside it, leave-one-out baselines, GAE.
 */
import type { RewardName } from './spec';

/** s(x, r) as a reward. `safe` is clipped away from 0 and 1 by the recipe, so the logarithm is finite. */
export function guardReward(safe: number, reward: RewardName): number {
  return reward === 'log-safe' ? Math.log(safe) : safe;
}

/** log q(r) − log π(r) of a whole answer: one-sample (k1) KL, nats. */
export function sequenceLogRatio(logProbs: ArrayLike<number>, base: ArrayLike<number>): number {
  checkLengths(logProbs, base);
  let sum = 0;
  for (let t = 0; t < logProbs.length; t++) sum += logProbs[t]! - base[t]!;
  return sum;
}

/**
 * Reward of each token for PPO, [T]: −β(log q − log π) everywhere and `reward` at the last.
 * @throws RangeError for an answer without tokens
 */
export function tokenRewards(
  reward: number,
  logProbs: ArrayLike<number>,
  base: ArrayLike<number>,
  beta: number,
): Float64Array {
  checkLengths(logProbs, base);
  if (logProbs.length === 0) throw new RangeError('An answer without tokens has no reward.');
  const rewards = Float64Array.from(logProbs, (logProb, t) => -beta * (logProb - base[t]!));
  rewards[rewards.length - 1]! += reward;
  return rewards;
}

/**
 * REINFORCE's advantages of the k answers to one prompt: each reward less the mean of the others',
 * which does not depend on the answer itself and so leaves the gradient unbiased.
 * @throws RangeError for fewer than two answers
 */
export function leaveOneOut(rewards: ArrayLike<number>): Float64Array {
  const k = rewards.length;
  if (k < 2) throw new RangeError('Leave-one-out needs at least two answers to a prompt.');
  let sum = 0;
  for (let i = 0; i < k; i++) sum += rewards[i]!;
  return Float64Array.from(rewards, (reward) => reward - (sum - reward) / (k - 1));
}

export interface Advantages {
  /** A_t, [T]. */
  advantages: Float64Array;
  /** What the value head should have said, A_t + V_t, [T]. */
  returns: Float64Array;
}

/**
 * Generalised advantage estimation, A_t = Σ_l (γλ)^l δ_{t+l} with δ_t = R_t + γV_{t+1} − V_t and
 * V = 0 after the end. λ = 1 is the return less the value; λ = 0 one-step.
 * @param values V at each position before its token is drawn, [T]
 */
export function generalisedAdvantages(
  rewards: ArrayLike<number>,
  values: ArrayLike<number>,
  { gamma, lambda }: { gamma: number; lambda: number },
): Advantages {
  checkLengths(rewards, values);
  const advantages = new Float64Array(rewards.length);
  let next = 0;
  for (let t = rewards.length - 1; t >= 0; t--) {
    const after = t + 1 < rewards.length ? values[t + 1]! : 0;
    const delta = rewards[t]! + gamma * after - values[t]!;
    next = delta + gamma * lambda * next;
    advantages[t] = next;
  }
  return { advantages, returns: advantages.map((advantage, t) => advantage + values[t]!) };
}

const WHITEN_EPSILON = 1e-8;

/** Advantages of a batch, [answers][T], shifted and scaled together to mean 0 and variance 1. */
export function whiten(batch: readonly ArrayLike<number>[]): Float64Array[] {
  let count = 0;
  let sum = 0;
  for (const row of batch) {
    for (let t = 0; t < row.length; t++) sum += row[t]!;
    count += row.length;
  }
  const mean = sum / Math.max(1, count);
  let squares = 0;
  for (const row of batch) {
    for (let t = 0; t < row.length; t++) squares += (row[t]! - mean) ** 2;
  }
  // Unbiased, as in TRL; a single token has no variance.
  const scale = 1 / Math.sqrt(squares / Math.max(1, count - 1) + WHITEN_EPSILON);
  return batch.map((row) => Float64Array.from(row, (value) => (value - mean) * scale));
}

function checkLengths(a: ArrayLike<number>, b: ArrayLike<number>): void {
  if (a.length !== b.length) throw new RangeError(`${a.length} values against ${b.length}.`);
}
