/** How the time of work grows with the size of its input. */
import { expect } from 'vitest';

/** How many times as large the larger input is. */
const LARGER = 4;
/** It may take this many times as long: twice its size, and half of what quadratic growth gives. */
const MOST_GROWTH = (LARGER * LARGER) / 2;
/** A busy machine spoils single tries; what grows too fast does so in every one. */
const MOST_ROUNDS = 20;
/** Milliseconds after which what did not grow evenly is not tried again. */
const ENOUGH = 5000;
/** Milliseconds below which a quotient says nothing. */
const LEAST = 1;

/**
 * What `work` takes, in ms: of the clock and of this process, which is the less. On a busy machine the
 * clock counts what others do; on an idle one, the process what its garbage collector does beside it.
 */
export async function timeOf(work: () => unknown): Promise<number> {
  const [start, used] = [performance.now(), process.cpuUsage()];
  await work();
  const { user, system } = process.cpuUsage(used);
  return Math.min(performance.now() - start, (user + system) / 1000);
}

/**
 * Fails where the time of work grows faster than in proportion: on an input of four times `size`, by
 * more than {@link MOST_GROWTH}. Both run in turns and their best tries are compared, until they have
 * grown evenly once. Choose a size that takes five milliseconds or more.
 * @param prepare makes the input, which is not timed, and gives back the work on it
 */
export async function expectEvenGrowth(
  size: number,
  prepare: (size: number) => (() => unknown) | Promise<() => unknown>,
): Promise<void> {
  const one = await prepare(size);
  const larger = await prepare(LARGER * size);
  // As much as the larger work, so that both leave as much to the garbage collector.
  const often = async () => {
    for (let i = 0; i < LARGER; i++) await one();
  };
  const start = performance.now();
  let [small, large] = [Infinity, Infinity];
  for (let round = 0; round < MOST_ROUNDS; round++) {
    small = Math.min(small, (await timeOf(often)) / LARGER);
    large = Math.min(large, await timeOf(larger));
    // The first runs are the compiler's.
    if (round === 0) continue;
    if (large <= MOST_GROWTH * Math.max(LEAST, small)) return;
    if (round > 1 && performance.now() - start > ENOUGH) break;
  }
  const figures = `${small.toFixed(1)} ms at ${size}, ${large.toFixed(1)} ms at ${LARGER * size}`;
  expect(large / small, figures).toBeLessThan(MOST_GROWTH);
}
