/**
 * From the student's own answers and the guard's verdicts to what a policy-gradient step trains on
 * (METHOD.md §4.6, §4.7). The engine samples and scores, this decides; `policyExample` makes rows.
 */
import {
  generalisedAdvantages,
  guardReward,
  leaveOneOut,
  sequenceLogRatio,
  tokenRewards,
  whiten,
} from './advantages';
import type { PpoObjective, ReinforceObjective } from './spec';
import type { Rollout } from './rows';
import type { Tokens } from '../../engine/types';
import type { PolicyNumbers } from '../types';

/** An answer of the student with its present adapter. */
export interface StudentAnswer {
  tokens: Tokens;
  /** log q of each token when it was sampled, [T], nats. */
  logProbs: ArrayLike<number>;
  /** log π of each token of the frozen student without the adapter, [T], nats. */
  base: ArrayLike<number>;
  /** The response guard's s(x, r), strictness and clip applied. */
  safe: number;
}

/** What an answer is worth, R(x, r) − β·log(q/π). */
export function answerWorth(
  { logProbs, base, safe }: StudentAnswer,
  { beta, reward }: Pick<ReinforceObjective, 'beta' | 'reward'>,
): number {
  return guardReward(safe, reward) - beta * sequenceLogRatio(logProbs, base);
}

/** REINFORCE: the answers to one prompt, each against the mean of the others. */
export function reinforceRollouts(
  answers: readonly StudentAnswer[],
  objective: Pick<ReinforceObjective, 'beta' | 'reward'>,
): Rollout[] {
  const advantages = leaveOneOut(answers.map((answer) => answerWorth(answer, objective)));
  return answers.map(({ tokens, logProbs }, i) => ({
    tokens,
    logProbs,
    advantages: new Float64Array(tokens.length).fill(advantages[i]!),
  }));
}

export interface PpoBatch {
  /** In the order of the answers; advantages are whitened over the whole batch. */
  rollouts: Rollout[];
  /** Targets of the value head at each position, [answers][T]. */
  returns: Float64Array[];
}

/**
 * PPO: all answers of a batch, whatever their prompts.
 * @param values what the value head says at each position before its token is drawn, [answers][T]
 */
export function ppoBatch(
  answers: readonly StudentAnswer[],
  values: readonly ArrayLike<number>[],
  objective: Pick<PpoObjective, 'beta' | 'reward' | 'lambda'>,
): PpoBatch {
  if (values.length !== answers.length) throw new RangeError('Every answer needs its values.');
  const estimates = answers.map(({ logProbs, base, safe }, i) => {
    const reward = guardReward(safe, objective.reward);
    const rewards = tokenRewards(reward, logProbs, base, objective.beta);
    return generalisedAdvantages(rewards, values[i]!, { gamma: 1, lambda: objective.lambda });
  });
  const advantages = whiten(estimates.map((estimate) => estimate.advantages));
  return {
    rollouts: answers.map(({ tokens, logProbs }, i) => ({
      tokens,
      logProbs,
      advantages: advantages[i]!,
    })),
    returns: estimates.map(({ returns }) => returns),
  };
}

/** What a live chart shows of a policy-gradient step. */
export function policyNumbers(answers: readonly StudentAnswer[]): PolicyNumbers {
  const mean = (of: (answer: StudentAnswer) => number) =>
    answers.reduce((sum, answer) => sum + of(answer), 0) / answers.length;
  return {
    safe: mean(({ safe }) => safe),
    kl: mean(({ logProbs, base }) => sequenceLogRatio(logProbs, base)),
    length: mean(({ tokens }) => tokens.length),
  };
}
