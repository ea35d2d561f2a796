import { expect, it } from 'vitest';
import { mean, proportion, shownInterval, wilson } from './statistics';

it('an interval over intents is shown where intents repeat, and else the prompts’', () => {
  const outcomes = [true, true, true, true, false, false, false, false];
  const repeated = proportion(outcomes, ['a', 'a', 'a', 'a', 'b', 'b', 'b', 'b']);
  expect(shownInterval(repeated)).toEqual({ low: 0, high: 1 });
  const single = proportion(
    outcomes,
    outcomes.map((_, i) => `${i}`),
  );
  expect(shownInterval(single)).toEqual(wilson(4, 8));
  expect(shownInterval(proportion(outcomes))).toEqual(wilson(4, 8));
});

it('outcomes that are all alike still have an interval, as wide as the intents allow', () => {
  for (const outcome of [true, false]) {
    const all = proportion(
      Array<boolean>(20).fill(outcome),
      Array.from({ length: 20 }, (_, i) => `${i % 5}`),
    );
    expect(shownInterval(all)).toEqual(wilson(outcome ? 5 : 0, 5));
  }
  expect(shownInterval(mean([0, 0, 0, 0], ['a', 'a', 'b', 'b']))).toEqual({ low: 0, high: 0 });
});
