/** How likely a student opens with a refusal (METHOD.md §8), without decoding anything. */
import type { Tokens } from '../../engine/types';
import { scoreWith, type Adaptation } from '../adapters/adaptation';
import { refusalScore } from './calibration';
import type { StudentEngine } from '../engine-port';

/**
 * Log-odds that an answer to each prompt begins with one of `openings`, nats, clamped to ±30.
 * @param openings of the known refusals, as tokens; no one begins with another
 */
export async function refusalScores(
  engine: StudentEngine,
  prompts: readonly Tokens[],
  openings: readonly Tokens[],
  adaptation: Adaptation,
  signal?: AbortSignal,
): Promise<number[]> {
  const scored = await engine.scorePaths(
    prompts.map((prompt) => ({ prompt, paths: [...openings] })),
    scoreWith(adaptation),
    signal,
  );
  return scored.map((paths) => refusalScore(paths.map(sumOf)));
}

function sumOf(logProbs: ArrayLike<number>): number {
  let total = 0;
  for (let t = 0; t < logProbs.length; t++) total += logProbs[t]!;
  return total;
}
