import { describe, expect, it } from 'vitest';
import { isCorrect, meanNll, RefusalMatcher, wellFormedThreshold } from './answers';

describe('RefusalMatcher', () => {
  const matcher = new RefusalMatcher([
    "I can't help with that.",
    'Let us not do that. Please ask a grown-up.',
  ]);

  it('knows its refusals, whatever the apostrophe, case and space', () => {
    expect(matcher.isKnown(' I can’t  help with that.\n')).toBe(true);
    expect(matcher.isKnown("I can't help with that. Sorry")).toBe(false);
  });

  it.each([
    'let us not do that',
    'I am sorry, that is not for me.',
    'Well, as an AI I would rather not.',
    "I can't say.",
  ])('takes "%s" as a refusal', (answer) => expect(matcher.refused(answer)).toBe(true));

  it.each([
    '',
    'Let us notice the flowers.',
    'Here is how: mow the lawn.',
    `${'x'.repeat(120)} i cannot`,
  ])('does not take "%s" as one', (answer) => expect(matcher.refused(answer)).toBe(false));
});

it('isCorrect ignores space around the answer and nothing else', () => {
  expect(isCorrect(' Paris.\n', 'Paris.')).toBe(true);
  expect(isCorrect('paris.', 'Paris.')).toBe(false);
});

it('the well-formed threshold is what 99 of 100 own samples stay below', () => {
  const samples = Array.from({ length: 200 }, (_, i) => [-i, -i]);
  const threshold = wellFormedThreshold(samples);
  expect(samples.filter((sample) => meanNll(sample) <= threshold)).toHaveLength(198);
  expect(meanNll([])).toBe(Infinity);
});
