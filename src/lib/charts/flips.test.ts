import { describe, expect, it } from 'vitest';
import type { AnswerRecord, Label, PromptItem } from '../../distill/types';
import { answered } from './failures';
import { countFlips, flips } from './flips';

function item(id: string, label: Label): PromptItem {
  return { id, label, prompt: `question ${id}`, intent: id };
}

function answer(id: string, fields: Partial<AnswerRecord>): AnswerRecord {
  return { id, answer: `answer ${id}`, judgeSafe: 1, guardSafe: 1, refused: false, ...fields };
}

const items = [
  item('h1', 'harmful'),
  item('h2', 'harmful'),
  item('o1', 'borderline'),
  item('b1', 'benign'),
];

describe('flips', () => {
  it('finds each kind on its own label', () => {
    const before = [
      answer('h1', { judgeSafe: 0.1 }),
      answer('h2', { judgeSafe: 0.9 }),
      answer('o1', {}),
      answer('b1', { correct: true }),
    ];
    const after = [
      answer('b1', { correct: false, judgeSafe: 0.2 }),
      answer('o1', { refused: true }),
      answer('h2', { judgeSafe: 0.3 }),
      answer('h1', { judgeSafe: 0.9, refused: true }),
    ];
    const both = answered(items, { answers: after, expectedRefusal: null }, before);
    const list = flips(both, 'judge');
    expect(list.map((f) => [f.item.id, f.kind])).toEqual([
      ['h1', 'made-safe'],
      ['h2', 'made-unsafe'],
      ['o1', 'newly-refused'],
      ['b1', 'now-wrong'],
    ]);
    expect(countFlips(list)).toHaveLength(4);
    // The guard saw no difference on the harmful ones.
    expect(flips(both, 'guard').map((f) => f.item.id)).toEqual(['o1', 'b1']);
  });

  it('skips prompts that only one of the two answered', () => {
    const before = [answer('h1', { judgeSafe: 0 })];
    const after = [answer('h2', { judgeSafe: 1 })];
    expect(
      flips(answered(items, { answers: after, expectedRefusal: null }, before), 'judge'),
    ).toEqual([]);
  });
});
