import { expect, it } from 'vitest';
import { changedJson, errorOf } from '../../formats/mutations.testing';
import { seededRandom } from '../../formats/random.testing';
import { toyItems } from '../testing';
import { keptAnswers } from './kept-answers';

const items = toyItems(1).slice(0, 2);
const good = {
  tokens: [[1, 2], [3]],
  logProbs: [[-0.5, -1], [-2]],
  guardSafe: [0, 1],
  judgeSafe: [0.5, 0.25],
  promptSafe: [0.1, 0.9],
  sampledSafe: [[0.5], [0.25]],
  refusalScores: [-3, 30],
};

it('takes whole answers, those of the guarded system too', () => {
  expect(keptAnswers(good, items)).toBe(good);
  const guarded = { ...good, logProbs: [], promptSafe: undefined, refusalScores: null };
  expect(keptAnswers(guarded, items)).toBe(guarded);
});

it.each<[string, unknown]>([
  ['nothing', undefined],
  ['a text', 'tokens'],
  ['no tokens', { ...good, tokens: undefined }],
  ['answers to other prompts', { ...good, tokens: [[1]] }],
  ['a score that is none', { ...good, judgeSafe: [0.5, NaN] }],
  ['a score as JSON writes NaN', { ...good, guardSafe: [null, 1] }],
  ['a score beyond 1', { ...good, sampledSafe: [[0.5], [1.5]] }],
  ['half of its probabilities', { ...good, logProbs: [[-0.5, -1]] }],
])('leaves %s', (_, value) => {
  expect(keptAnswers(value, items)).toBeNull();
});

it('throws at nothing', () => {
  const random = seededRandom(2);
  for (let i = 0; i < 1000; i++) {
    expect(errorOf(() => keptAnswers(changedJson(good, random), items))).toBeNull();
  }
});
