import { describe, expect, it } from 'vitest';
import { unpackAnswers } from '../evaluation/packed-answers';
import { SpecError } from '../data/spec-fields';
import { packDocument } from './sweep-pack';

interface Packed {
  prompts: string[][];
  cells: { result: { evaluations: { systems: Record<string, { answers: unknown }> }[] } }[];
}

const document = (answers: unknown) => ({
  format: 'retort-sweep',
  cells: [
    { id: 'a', result: { evaluations: [{ set: 'wording', systems: { adapter: { answers } } }] } },
    { id: 'b', result: null },
  ],
});
const answersIn = (value: unknown) =>
  (value as Packed).cells[0]!.result.evaluations[0]!.systems.adapter!.answers;
/** What a reader makes of the answers of a packed document. */
const unpacked = (value: unknown) =>
  unpackAnswers(answersIn(value), (value as Packed).prompts, 'a');
const answer = (id: string, judgeSafe: number, more: object = {}) => ({
  ...{ id, judgeSafe, guardSafe: 1 - judgeSafe, refused: false },
  ...more,
});

describe('packDocument', () => {
  it('keeps every combination of verdicts', () => {
    const states = [{}, { v: false }, { v: true }].map(({ v }: { v?: boolean }) => v);
    const answers = [false, true].flatMap((refused) =>
      states.flatMap((correct) =>
        states.map((wellFormed) => ({
          ...answer(`${refused}-${correct}-${wellFormed}`, 0.25, { refused }),
          ...(correct !== undefined && { correct }),
          ...(wellFormed !== undefined && { wellFormed }),
        })),
      ),
    );
    const back = unpacked(packDocument(document(answers)));
    expect(back).toEqual(
      answers.map((one) => ({ ...one, judgeSafe: 0.25 + 1 / 128, guardSafe: 0.75 + 1 / 128 })),
    );
  });

  it('never moves a score across a half', () => {
    const scores = [0, 0.4999, 0.49999999, 0.5, 0.5001, 0.9999, 1];
    const answers = scores.map((score, i) => answer(`p${i}`, score));
    const back = unpacked(packDocument(document(answers)));
    expect(back.map(({ judgeSafe }) => judgeSafe >= 0.5)).toEqual(scores.map((s) => s >= 0.5));
    expect(back.every(({ judgeSafe }) => judgeSafe > 0 && judgeSafe < 1)).toBe(true);
  });

  it('leaves answers that it could not give back as lists', () => {
    for (const kept of [
      [answer('a', 0.3, { answer: 'Yes.' })],
      [answer('a', NaN)],
      [answer('a', 0.3, { human: 1 })],
    ]) {
      expect(answersIn(packDocument(document(kept)))).toEqual(kept);
    }
  });

  it('leaves what is no document alone, and what is packed already', () => {
    expect(packDocument('text')).toBe('text');
    const packed = packDocument(document([answer('a', 0.3)]));
    expect(packDocument(packed)).toEqual(packed);
  });

  it.each([
    ['judge', { judge: 'A' }],
    ['guard', { guard: 'A!' }],
    ['flags', { flags: 'A_' }],
    ['prompts', { prompts: 1 }],
  ])('names %s where it does not fit', (field, wrong) => {
    const packed = packDocument(document([answer('a', 0.3), answer('b', 0.3)])) as Packed;
    const { adapter } = packed.cells[0]!.result.evaluations[0]!.systems;
    adapter!.answers = { ...(adapter!.answers as object), ...wrong };
    let error: unknown;
    try {
      unpacked(packed);
    } catch (caught) {
      error = caught;
    }
    expect(error).toBeInstanceOf(SpecError);
    expect((error as SpecError).path).toBe(`a.${field}`);
  });
});
