/**
 * Value and gradient of any objective at one position, in f64: the reference that kernels, tests and
 * the "how it works" pages share (METHOD.md §4). Nothing here runs in a training step.
 */
import { rowReference, type RefusalTokens } from '../../kernels/loss/divergence.reference';
import { tokenLossReference, type TokenRow } from '../../kernels/loss/token-loss.reference';
import type { EngineObjective } from '../../engine/types';
import type { ObjectiveSpec } from './spec';

/** What the engine minimises for the objective: which kernel makes its dlogits. */
export function engineObjective(objective: ObjectiveSpec): EngineObjective {
  switch (objective.name) {
    case 'tv':
    case 'naive-tv':
    case 'kl':
    case 'reverse-kl':
    case 'js':
      return { family: 'divergence', name: objective.name };
    case 'nll':
      // KL to the answers' own tokens, see rows.ts.
      return { family: 'divergence', name: 'kl' };
    case 'tailr': {
      const { name, gamma, minWeight } = objective;
      return { family: 'token', objective: { name, gamma, minWeight } };
    }
    case 'reinforce':
      return { family: 'token', objective: { name: 'likelihood' } };
    case 'ppo':
      return { family: 'token', objective: { name: 'ppo', clip: objective.clip } };
  }
}

/** What one loss row knows: a mixture p = (1 − w)·softmax(teacher) + w·ρ, or one sampled token. */
export type PositionTarget =
  | { kind: 'mixture'; teacherLogits: ArrayLike<number>; w: number; rho: RefusalTokens }
  | ({ kind: 'token' } & TokenRow);

/**
 * Loss of one row and its gradient in the student's logits.
 * @throws RangeError where the target is not of the kind that the objective reads
 */
export function positionLoss(
  objective: EngineObjective,
  studentLogits: ArrayLike<number>,
  target: PositionTarget,
): { value: number; gradient: Float64Array } {
  if (objective.family === 'token') {
    if (target.kind !== 'token') throw new RangeError('A token loss needs a sampled token.');
    return tokenLossReference(objective.objective, studentLogits, target);
  }
  if (target.kind !== 'mixture') throw new RangeError('A divergence needs a target distribution.');
  const { teacherLogits, w, rho } = target;
  return rowReference(objective.name, studentLogits, teacherLogits, w, rho);
}
