/** How likely a student opens with a refusal (METHOD.md §8), without decoding anything. */
import type { Tokens } from '../engine/types';
import { scoreWith, type Adaptation } from './adaptation';
import { refusalScore } from './calibration';
import type { StudentEngine } from './engine-port';

/**
 * Log-odds at the first response position of each prompt, nats, clamped to ±30.
 * @param firstTokens `refusalFirstTokens` of the known refusals
 */
export async function refusalScores(
  engine: StudentEngine,
  prompts: readonly Tokens[],
  firstTokens: Tokens,
  adaptation: Adaptation,
  signal?: AbortSignal,
): Promise<number[]> {
  const paths = firstTokens.map((token) => [token]);
  const scored = await engine.scorePaths(
    prompts.map((prompt) => ({ prompt, paths })),
    scoreWith(adaptation),
    signal,
  );
  return scored.map((tokens) => refusalScore(tokens.map(([logProb]) => logProb!)));
}
