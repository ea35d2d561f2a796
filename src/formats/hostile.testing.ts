/** What files may hold that breaks careless readers, and how to see that a reader's time grows evenly. */
import { expect } from 'vitest';

/** A list in a list in a list, so many levels deep. */
export function nestedLists(levels: number): unknown {
  return JSON.parse('['.repeat(levels) + ']'.repeat(levels));
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
