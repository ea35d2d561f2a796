/** Compiles the losses that a trainer needs: its objective's, and its warm-up's where it has one. */
import { createDivergence } from '../kernels/loss/divergence';
import type { Gpu } from '../kernels/gpu/gpu';
import { createTokenLoss } from '../kernels/loss/token-loss';
import { DivergenceLoss } from './loss-divergence';
import type { LossMaker } from './loss-head';
import { TokenLoss } from './loss-tokens';
import type { EngineObjective } from './types';
import type { DecoderWeights } from './weights';

/** @throws RangeError where objective and warm-up are of different families, or cannot be. */
export async function createLoss(
  gpu: Gpu,
  weights: DecoderWeights,
  { objective, warmUp }: { objective: EngineObjective; warmUp?: EngineObjective },
): Promise<LossMaker> {
  const vocabulary = weights.config.vocabSize;
  if (objective.family === 'divergence') {
    const make = ({ name }: typeof objective) =>
      createDivergence(gpu, { vocabulary, objective: name });
    const other = sameFamily(objective, warmUp);
    const [main, warm] = await Promise.all([make(objective), other && make(other)]);
    return (kernels, tile) =>
      new DivergenceLoss(gpu, weights, kernels, { main, warmUp: warm }, tile);
  }
  const make = (of: typeof objective) =>
    createTokenLoss(gpu, { vocabulary, objective: of.objective });
  const other = sameFamily(objective, warmUp);
  const [main, warm] = await Promise.all([make(objective), other && make(other)]);
  return (_, tile) => new TokenLoss(gpu, { main, warmUp: warm }, tile);
}

function sameFamily<T extends EngineObjective>(
  { family }: T,
  warmUp: EngineObjective | undefined,
): T | null {
  if (!warmUp) return null;
  if (warmUp.family !== family) {
    throw new RangeError(`A warm-up of ${family} losses is one of them, not of ${warmUp.family}s.`);
  }
  return warmUp as T;
}
