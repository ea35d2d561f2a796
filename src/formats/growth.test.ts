import { expect, it } from 'vitest';
import { expectEvenGrowth } from './growth.testing';

/** Steps that no compiler leaves out. */
function steps(count: number): number {
  let state = 1;
  for (let i = 0; i < count; i++) state = (Math.imul(state, 1103515245) + i) | 0;
  return state;
}

it('lets pass what grows in proportion, also where it waits', async () => {
  await expectEvenGrowth(2_000_000, (size) => () => steps(size));
  await expectEvenGrowth(2_000_000, async (size) => {
    await Promise.resolve();
    return async () => {
      await Promise.resolve();
      steps(size);
    };
  });
});

it('refuses what grows with the square', async () => {
  const work = expectEvenGrowth(1_000, (size) => () => steps(size * size));
  await expect(work).rejects.toThrow(/ms at 1000, .* ms at 4000/);
});
