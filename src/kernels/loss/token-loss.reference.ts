/** Losses on one given token and their gradients in the logits, in f64 (METHOD.md §4, §4.5–4.7). */
import { logSoftmaxReference } from './divergence.reference';
import type { TokenObjective } from './token-loss';

export interface TokenRow {
  token: number;
  advantage: number;
  /** log q(token) of the policy that drew the token; PPO only. */
  oldLogProb: number;
}

/**
 * D of one row and its gradient. TaiLr's weight and PPO's clip carry no gradient: `weight` is the
 * factor of (q − e_y).
 */
export function tokenLossReference(
  objective: TokenObjective,
  logits: ArrayLike<number>,
  { token, advantage, oldLogProb }: TokenRow,
): { value: number; weight: number; gradient: Float64Array } {
  const logQ = logSoftmaxReference(logits);
  const logProb = logQ[token]!;
  const { value, weight } = lossOf(objective, logProb, advantage, oldLogProb);
  const gradient = logQ.map((l, v) => weight * (Math.exp(l) - (v === token ? 1 : 0)));
  return { value, weight, gradient };
}

function lossOf(
  objective: TokenObjective,
  logProb: number,
  advantage: number,
  oldLogProb: number,
): { value: number; weight: number } {
  switch (objective.name) {
    case 'likelihood':
      return { value: -advantage * logProb, weight: advantage };
    case 'tailr': {
      const { gamma, minWeight } = objective;
      const q = Math.exp(logProb);
      const weight = advantage * Math.max(q / (gamma + (1 - gamma) * q), minWeight);
      return { value: -weight * logProb, weight };
    }
    case 'ppo': {
      const ratio = Math.exp(logProb - oldLogProb);
      const held = Math.min(Math.max(ratio, 1 - objective.clip), 1 + objective.clip);
      const clipped = advantage > 0 ? ratio > held : ratio < held;
      return {
        value: -Math.min(advantage * ratio, advantage * held),
        weight: clipped ? 0 : advantage * ratio,
      };
    }
  }
}
