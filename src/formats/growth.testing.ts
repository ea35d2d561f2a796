/** How the time of a reader grows with what it reads. */

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
