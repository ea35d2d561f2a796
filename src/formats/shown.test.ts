import { describe, expect, it } from 'vitest';
import { nestedLists } from './hostile.testing';
import { shown } from './shown';

describe('a value in a sentence', () => {
  it.each([
    ['text', '"text"'],
    [0.5, '0.5'],
    [NaN, 'NaN'],
    [null, 'null'],
    [undefined, 'undefined'],
    [[1, 'a'], '[1, "a"]'],
    [{ a: true }, '{"a": true}'],
    [[1, 2, 3, 4, 5], '[1, 2, 3, 4, …]'],
    [[[[1]]], '[[[…]]]'],
  ])('%j is %s', (value, text) => {
    expect(shown(value)).toBe(text);
  });

  it('stays short and never throws', () => {
    const strange = [
      'x'.repeat(1e6),
      nestedLists(20_000),
      { toString: 1, toJSON: 2, valueOf: null },
      Object.create(null) as unknown,
      Array.from({ length: 1e5 }, () => 'y'.repeat(100)),
      Symbol('s'),
      12n,
    ];
    for (const value of strange) expect(shown(value).length).toBeLessThan(200);
  });
});
