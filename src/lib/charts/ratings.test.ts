import { describe, expect, it } from 'vitest';
import { changedJson, errorOf } from '../../formats/mutations.testing';
import { seededRandom } from '../../formats/random.testing';
import { mcnemarExact, wilson } from '../../distill/statistics/statistics';
import type { AnswerRecord, PromptItem } from '../../distill/types';
import { comparisonText } from './compare';
import {
  isVote,
  compareByVotes,
  humanScore,
  pairVoteIds,
  ratingPairs,
  votesOf,
  votesToCsv,
  type RatedSystem,
  type Vote,
} from './ratings';

const items: PromptItem[] = Array.from({ length: 60 }, (_, i) => {
  const label = (['harmful', 'benign', 'borderline'] as const)[i % 3]!;
  return { id: `q${i}`, prompt: `Question ${i}`, label, intent: `${i}` };
});
function system(id: string, answer: (i: number) => string): RatedSystem {
  const answers = items.map(({ id: item }, i): AnswerRecord => {
    return { id: item, answer: answer(i), judgeSafe: 1, guardSafe: 1, refused: false };
  });
  return { id, label: id.toUpperCase(), answers };
}
const a = system('a', (i) => `a${i}`);
const b = system('b', (i) => (i % 10 === 0 ? `a${i}` : `b${i}`));
const about = { set: 'wording', systems: ['a', 'b'], seed: 1, ratedAt: '2026-01-01' } as const;

describe('pairs', () => {
  const pairs = ratingPairs(items, a, b, 1);

  it('have each harmful and each benign question once, in turn', () => {
    expect(pairs).toHaveLength(40);
    expect(new Set(pairs.map(({ item }) => item.id)).size).toBe(40);
    expect(pairs.slice(0, 4).map(({ question }) => question)).toEqual([
      ...['safe', 'useful', 'safe', 'useful'],
    ]);
    for (const { item, question } of pairs) {
      expect(question).toBe(item.label === 'harmful' ? 'safe' : 'useful');
    }
  });

  it('come in an order and on sides that the seed decides and no system does', () => {
    expect(ratingPairs(items, a, b, 1)).toEqual(pairs);
    const order = (seed: number) => ratingPairs(items, a, b, seed).map(({ item }) => item.id);
    expect(order(2)).not.toEqual(order(1));
    const firsts = [1, 2, 3, 4, 5]
      .flatMap((seed) => ratingPairs(items, a, b, seed))
      .filter(({ answers }) => answers.length === 2)
      .map(({ answers }) => answers[0]!.systems[0]);
    const share = firsts.filter((id) => id === 'a').length / firsts.length;
    expect(share).toBeGreaterThan(0.35);
    expect(share).toBeLessThan(0.65);
    // Whose answers are given first makes no difference to what is asked.
    expect(ratingPairs(items, b, a, 1).map(({ item }) => item.id)).toEqual(order(1));
  });

  it('ask once where both said the same, and leave out what one did not answer', () => {
    const same = pairs.find(({ item }) => item.id === 'q0')!;
    expect(same.answers).toEqual([{ systems: ['a', 'b'], text: 'a0' }]);
    const silent = { ...b, answers: b.answers.map((r) => ({ ...r, answer: '' })) };
    expect(ratingPairs(items, a, silent, 1)).toEqual([]);
  });
});

describe('votes', () => {
  const pairs = ratingPairs(items, a, b, 1);
  /** a is always right; b where both said the same. */
  const votes = pairs.flatMap((pair) =>
    votesOf(
      pair,
      pair.answers.map(({ systems }) => systems.includes('a')),
      about,
    ),
  );

  it('are one a system and answer, under ids that tell whether a pair is rated', () => {
    expect(votes).toHaveLength(80);
    const ids = new Set(votes.map(({ id }) => id));
    expect(ids.size).toBe(80);
    for (const pair of pairs) {
      for (const id of pairVoteIds(pair, 'wording')) expect(ids).toContain(id);
      for (const id of pairVoteIds(pair, 'intent')) expect(ids).not.toContain(id);
    }
    expect(votes.find((vote) => vote.system === 'a')?.against).toBe('b');
  });

  it('are proportions with Wilson intervals on both axes', () => {
    expect(humanScore(a, votes, 'wording').safety).toMatchObject({
      value: 1,
      n: 20,
      ...wilson(20, 20),
    });
    const ofB = humanScore(b, votes, 'wording');
    const same = (question: string) =>
      pairs.filter((pair) => pair.question === question && pair.answers.length === 1).length;
    expect(ofB.safety).toMatchObject({ value: same('safe') / 20, n: 20 });
    expect(ofB.usefulness).toMatchObject({ value: same('useful') / 20, n: 20 });
    expect(humanScore(a, votes, 'intent').safety.n).toBe(0);
  });

  it('no longer count for a system that answers otherwise', () => {
    const other = system('a', (i) => (i === 3 ? 'another' : `a${i}`));
    expect(humanScore(other, votes, 'wording').safety.n).toBe(19);
  });

  it('tell systems apart by the paired test, or say that they cannot', () => {
    const clear = compareByVotes(a, b, votes, 'wording', 'safety');
    const disagreed =
      20 - pairs.filter((p) => p.question === 'safe' && p.answers.length === 1).length;
    expect(clear).toMatchObject({ method: 'paired', n: 20, p: mcnemarExact(disagreed, 0) });
    const few: Vote[] = votes.filter(({ item }) => ['q3', 'q6'].includes(item));
    expect(comparisonText(compareByVotes(a, b, few, 'wording', 'safety'), 'safety')).toBe(
      'safety: not distinguishable with n = 2',
    );
  });

  it('are those that this version can read', () => {
    expect(votes.every(isVote)).toBe(true);
    const [vote] = votes;
    const odd = [null, 7, {}, { ...vote, yes: 1 }, { ...vote, ratedAt: {} }, { ...vote, set: 'x' }];
    expect(odd.filter(isVote)).toEqual([]);
    const random = seededRandom(6);
    for (let i = 0; i < 500; i++) {
      const kept = [changedJson(vote, random)].filter(isVote);
      expect(errorOf(() => votesToCsv(kept, new Map()))).toBeNull();
    }
  });

  it('are written with every text kept from becoming a formula', () => {
    const [vote] = votes;
    const csv = votesToCsv(
      [{ ...vote!, answer: '=SUM(A1)', prompt: '+x' }],
      new Map([['a', '@a']]),
    );
    const [header, row] = csv.split('\r\n');
    expect(header).toContain('set,system,label,item,prompt,answer,question,verdict');
    expect(row).toContain("'=SUM(A1)");
    expect(row).toContain("'+x");
    expect(row).not.toMatch(/(^|,)[=+@]/);
  });
});
