/**
 * What each objective is and needs, for the recipe form, runs, charts and tables. Its formula stands in
 * the head of its shader (METHOD.md §4).
 */
import type { ObjectiveName } from './spec';

/** Where an objective's training answers come from. */
export type AnswerOrigin =
  /** Sampled once from the frozen student and cached. */
  | 'base'
  /** Sampled during training from the student with its present adapter. */
  | 'student';

export interface ObjectiveInfo {
  label: string;
  /** What it does, one sentence for a reader who knows what a probability is. */
  summary: string;
  family: 'distillation' | 'direct';
  needs: {
    /** The full next-token distribution of the target: π's logits and the posterior w. */
    mixture: boolean;
    /** A sampled token at each position. */
    sampledToken: boolean;
    /** An advantage for each token, hence a guard that reads answers. */
    advantage: boolean;
    answers: AnswerOrigin;
    /** A value head on the detached hidden states. */
    valueHead: boolean;
  };
}

const dense = {
  mixture: true,
  sampledToken: false,
  advantage: false,
  answers: 'base',
  valueHead: false,
} as const;
const sampled = {
  mixture: false,
  sampledToken: true,
  advantage: false,
  answers: 'base',
  valueHead: false,
} as const;
const onPolicy = {
  mixture: false,
  sampledToken: true,
  advantage: true,
  answers: 'student',
  valueHead: false,
} as const;

export const OBJECTIVES: Readonly<Record<ObjectiveName, ObjectiveInfo>> = {
  tv: {
    label: 'TV',
    summary: 'Total variation to the exact mixture: learns its probabilities, deaf to what q ≈ 0.',
    family: 'distillation',
    needs: dense,
  },
  'naive-tv': {
    label: 'TV, branch by branch',
    summary:
      'Total variation to each branch, averaged: thresholds the guard instead of matching it.',
    family: 'distillation',
    needs: dense,
  },
  kl: {
    label: 'KL',
    summary:
      'Forward KL from the exact mixture: pushes hardest where the student gives too little.',
    family: 'distillation',
    needs: dense,
  },
  'reverse-kl': {
    label: 'Reverse KL',
    summary:
      'KL from the student to the mixture: gives up modes rather than saying what p would not.',
    family: 'distillation',
    needs: dense,
  },
  js: {
    label: 'Jensen–Shannon',
    summary: 'KL of both to their mean: symmetric, bounded, and as deaf to what q ≈ 0 as TV.',
    family: 'distillation',
    needs: dense,
  },
  tailr: {
    label: 'TaiLr',
    summary: 'One-sample TV: NLL that trusts a token less the less the student believes it.',
    family: 'distillation',
    needs: sampled,
  },
  nll: {
    label: 'NLL',
    summary: 'Likelihood of answers: of the safe system, of hard labels, or of refusals alone.',
    family: 'direct',
    needs: sampled,
  },
  reinforce: {
    label: 'REINFORCE',
    summary: 'Says more of what the guard liked better than the other answers to the same prompt.',
    family: 'direct',
    needs: onPolicy,
  },
  ppo: {
    label: 'PPO',
    summary:
      'Policy gradient with a learnt baseline and a clip, so that answers are used repeatedly.',
    family: 'direct',
    needs: { ...onPolicy, valueHead: true },
  },
};
