import { describe, expect, it } from 'vitest';
import { SequenceTooLongError } from './errors';
import { packPasses } from './passes';
import type { DivergenceBatch } from './types';

const DIM = 3;

/** Prompts of `lengths` tokens with one path of two, which take one row more; example i weighs i + 1. */
function batchOf(lengths: number[]): DivergenceBatch {
  const path = (i: number) => ({
    tokens: [2, 3],
    coef: new Float32Array(2).fill(i + 1),
    refusalPosterior: new Float32Array(2),
    refusalNext: [0, 1].map(() => ({ tokens: [], probs: [] })),
  });
  return {
    family: 'divergence',
    examples: lengths.map((length, i) => ({
      prompt: new Array<number>(length).fill(1),
      paths: [path(i)],
    })),
    teacher: lengths.map((_, i) => [
      { logProbs: new Float32Array(2), hidden: new Float32Array(2 * DIM).fill(-i - 1) },
    ]),
  };
}

/** Which examples, from 0, went into each pass: by the weights of their loss rows. */
function spans(lengths: number[], rows: number, positions = 100): number[][] {
  const passes = packPasses(batchOf(lengths), { prefix: 2, rows, positions, dim: DIM });
  return passes.map(({ packed, rows: loss }) => {
    expect(packed.prefix).toBe(2);
    expect(packed.rows).toBeLessThanOrEqual(rows);
    if (loss.family !== 'divergence') throw new Error(loss.family);
    expect(loss.count).toBe(packed.lossRows.length);
    // Each example goes with its own teacher.
    expect([...loss.hidden]).toEqual([...loss.coef].flatMap((c) => new Array(DIM).fill(-c)));
    return [...loss.coef].filter((_, i) => i % 2 === 0).map((c) => c - 1);
  });
}

describe('packPasses', () => {
  it('puts as many examples into a pass as fit, in order, each behind the soft prompt', () => {
    expect(spans([4, 4, 4], 17)).toEqual([[0, 1, 2]]);
    expect(spans([4, 4, 4], 16)).toEqual([[0, 1], [2]]);
    expect(spans([9, 1, 9], 12)).toEqual([[0], [1], [2]]);
    expect(spans([], 12)).toEqual([]);
  });

  it('counts the rows that paths with token losses do not share', () => {
    const path = (tokens: number[]) => ({
      tokens,
      coef: new Float32Array(tokens.length).fill(1),
      advantage: new Float32Array(tokens.length).fill(1),
      oldLogProb: new Float32Array(tokens.length),
    });
    const examples = [0, 1].map(() => ({ prompt: [5, 6], paths: [path([7, 8]), path([9])] }));
    // 5 | 6 7 | 6 for each: a row more than when the paths share their first position.
    const limits = { prefix: 0, positions: 100, dim: DIM };
    const together = packPasses({ family: 'token', examples }, { ...limits, rows: 8 });
    expect(together.map(({ packed }) => [...packed.tokens])).toEqual([[5, 6, 7, 6, 5, 6, 7, 6]]);
    expect(packPasses({ family: 'token', examples }, { ...limits, rows: 7 })).toHaveLength(2);
  });

  it('refuses an example that is too long for a pass, or for the model', () => {
    expect(() => spans([4, 11], 12)).toThrow(RangeError);
    expect(() => spans([4, 9], 12, 8)).toThrow(SequenceTooLongError);
  });
});
