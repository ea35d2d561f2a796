import { describe, expect, it } from 'vitest';
import { SequenceTooLongError } from './errors';
import { packPasses } from './passes';

/** Prompts of `lengths` tokens with one path of two, which take one row more. */
const inputs = (lengths: number[]) =>
  lengths.map((length) => ({ prompt: new Array<number>(length).fill(1), paths: [[2, 3]] }));
const none = { count: 0, coef: new Float32Array(), load: () => 0, ops: () => [] };

function spans(lengths: number[], rows: number, positions = 100): [number, number][] {
  const seen: [number, number][] = [];
  const passes = packPasses(inputs(lengths), { prefix: 2, rows, positions }, (packed, ...span) => {
    expect(packed.prefix).toBe(2);
    expect(packed.rows).toBeLessThanOrEqual(rows);
    seen.push(span);
    return none;
  });
  expect(passes).toHaveLength(seen.length);
  return seen;
}

describe('packPasses', () => {
  it('puts as many examples into a pass as fit, in order, each behind the soft prompt', () => {
    expect(spans([4, 4, 4], 17)).toEqual([[0, 3]]);
    expect(spans([4, 4, 4], 16)).toEqual([
      [0, 2],
      [2, 3],
    ]);
    expect(spans([9, 1, 9], 12)).toEqual([
      [0, 1],
      [1, 2],
      [2, 3],
    ]);
    expect(spans([], 12)).toEqual([]);
  });

  it('refuses an example that is too long for a pass, or for the model', () => {
    expect(() => spans([4, 11], 12)).toThrow(RangeError);
    expect(() => spans([4, 9], 12, 8)).toThrow(SequenceTooLongError);
  });
});
