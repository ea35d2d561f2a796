/** How the time of a reader grows with what it reads. */
import { expect } from 'vitest';

const ATTEMPTS = 12;
const ROUNDS = 3;

/**
 * The time for an input of twice `size` over that for one of `size`, the best of several each. What
 * is quadratic gives 4 every time; tests allow 2.5, which a busy machine passes in one attempt of
 * a few.
 * @param work what is timed; `make` is not
 */
export function growthOf<T>(
  make: (size: number) => T,
  work: (input: T) => void,
  size: number,
): number {
  const inputs = [make(size), make(2 * size)] as const;
  const best = [Infinity, Infinity];
  let ratio = Infinity;
  for (let attempt = 0; attempt < ATTEMPTS && ratio > 2.3; attempt++) {
    // In turn, so that a busy machine slows both.
    for (let round = 0; round < ROUNDS; round++) {
      for (const [i, input] of inputs.entries()) {
        const start = performance.now();
        work(input);
        best[i] = Math.min(best[i]!, performance.now() - start);
      }
    }
    // Below a millisecond nothing is measured but the clock.
    ratio = best[1]! / Math.max(best[0]!, 1);
  }
  return ratio;
}

const MOST_ROUNDS = 40;
/** Twice the work may take this much longer: far below the 4 of quadratic growth. */
const MOST_GROWTH = 2.5;
/** Below this a difference is the clock's, in ms. */
const LEAST = 1;

/**
 * Runs `work` on an input of `size` and of twice that, in turns, and compares the best times: as soon
 * as they have grown evenly once, they do. Sizes are to be such that the smaller one takes some ten
 * milliseconds.
 */
export async function expectEvenGrowth(
  size: number,
  prepare: (size: number) => () => unknown,
): Promise<void> {
  const timed = async (work: () => unknown): Promise<number> => {
    const start = performance.now();
    await work();
    return performance.now() - start;
  };
  const [once, twice] = [prepare(size), prepare(2 * size)];
  let [small, large] = [Infinity, Infinity];
  for (let round = 0; round < MOST_ROUNDS; round++) {
    small = Math.min(small, await timed(once));
    large = Math.min(large, await timed(twice));
    // The first runs are the compiler's; a busy machine gets more turns.
    if (round >= 3 && large <= MOST_GROWTH * Math.max(LEAST, small)) return;
  }
  expect(large / small).toBeLessThan(MOST_GROWTH);
}
