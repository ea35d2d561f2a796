/**
 * Loss of one given token at each loss row, with its closed-form gradient in the student's logits
 * (METHOD.md §4, §4.5–4.7): likelihood (NLL, REINFORCE), TaiLr, PPO. Formulas in token-loss.wgsl.
 */
import { bind, spread, type Gpu, type Op, type Span } from '../gpu/gpu';
import { positive, withRows } from '../rows/reduce-lanes';
import source from './token-loss.wgsl?raw';

/** What is done with log q(y); every row has an advantage A, 1 where there is nothing to weigh. */
export type TokenObjective =
  /** −A log q(y): NLL with A = 1, REINFORCE with an advantage. */
  | { name: 'likelihood' }
  /** −A w log q(y), w = max(q/(γ + (1 − γ)q), minWeight) held fixed. γ = 0 is NLL, γ = 1 TV's. */
  | { name: 'tailr'; gamma: number; minWeight: number }
  /** −min(A k, A clamp(k, 1 ± clip)), k = q(y)/q_old(y). */
  | { name: 'ppo'; clip: number };

export interface TokenLossShape {
  vocabulary: number;
  objective: TokenObjective;
  /** Invocations per row (a power of two in 4..256). Default: chosen from the adapter. */
  lanes?: number;
}

export interface TokenLossArgs {
  /** [rows, vocabulary]: the student's logits; overwritten by coef · dD/dlogits. */
  studentLogits: GPUBuffer;
  /** u32 [rows]: y. */
  token: GPUBuffer;
  /** [rows]: weight of the row in the total loss. */
  coef: GPUBuffer;
  /** [rows]: A. */
  advantage: GPUBuffer;
  /** [rows]: log q_old(y) in nats; PPO needs it, the others do not read it. */
  oldLogProb?: GPUBuffer;
  /** [rows], written: D of the row, not weighted. */
  rowLoss: GPUBuffer;
  span: Span;
}

export interface TokenLossKernel {
  bind(args: TokenLossArgs): Op;
}

function unit(name: string, value: number): void {
  if (!(value >= 0 && value <= 1)) throw new RangeError(`${name} is ${value}; 0 to 1 is possible.`);
}

/** @throws RangeError on a vocabulary below 1, or a γ, minimum weight or clip outside [0, 1]. */
export async function createTokenLoss(gpu: Gpu, shape: TokenLossShape): Promise<TokenLossKernel> {
  const { vocabulary, objective } = shape;
  positive('vocabulary', vocabulary);
  const { gamma, minWeight, clip } = { gamma: 0, minWeight: 0, clip: 0, ...objective };
  unit('γ', gamma);
  unit('The minimum weight', minWeight);
  unit('The clip', clip);
  const ppo = objective.name === 'ppo';
  const label = `token loss ${objective.name}`;
  const pipeline = await gpu.pipeline(
    label,
    withRows(
      gpu,
      source,
      { length: vocabulary, lanes: shape.lanes },
      { VOCABULARY: vocabulary, GAMMA_F: gamma, LEAST_F: minWeight, CLIP_F: clip },
      { TAILR: objective.name === 'tailr', PPO: ppo },
    ),
  );
  return {
    bind: ({ studentLogits, token, coef, advantage, oldLogProb, rowLoss, span }) => {
      const buffers = [studentLogits, token, coef, advantage, rowLoss, span.buffer];
      if (ppo) {
        if (!oldLogProb) throw new RangeError('PPO needs the log-probabilities of the old policy.');
        buffers.push(oldLogProb);
      }
      return bind(gpu, label, pipeline, buffers, () => spread(span.rows));
    },
  };
}
