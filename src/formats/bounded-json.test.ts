import { describe, expect, it } from 'vitest';
import { JsonTextError, parseBoundedJson } from './bounded-json';
import { expectEvenGrowth } from './growth.testing';
import { changedJson, changedText } from './mutations.testing';
import { seededRandom } from './random.testing';

const limits = { characters: 1000, depth: 3, values: 10 };

describe('parseBoundedJson', () => {
  it.each([
    '{"a":[1,2,{"b":null}]}',
    '"[[[[[[[[{{{{"',
    '["\\"[[[[[","\\\\","[{"]',
    '[1,2,3,4,5,6,7,8,9,10]',
    ' 7 ',
  ])('reads %s as JSON.parse does', (text) => {
    expect(parseBoundedJson(text, limits)).toEqual(JSON.parse(text));
  });

  it.each([
    ['[[[[1]]]]', /more than 3 deep/],
    ['[1,2,3,4,5,6,7,8,9,10,11]', /more than 10 values/],
    [`"${'x'.repeat(1000)}"`, /1,002 characters; at most 1,000/],
    ['{"a":', /cut off/],
    ['"abc\\', /cut off/],
    ['', /cut off/],
    [']]]]]', /cut off/],
  ])('refuses %s', (text, message) => {
    expect(() => parseBoundedJson(text, limits)).toThrow(JsonTextError);
    expect(() => parseBoundedJson(text, limits)).toThrow(message);
  });

  it('says so of anything else, whatever is done to the text', () => {
    const random = seededRandom(1);
    const good = { a: ['"', '\\', { b: [1, 2.5, true, null] }], c: 'é🙂' };
    for (let i = 0; i < 2000; i++) {
      const text = changedText(JSON.stringify(changedJson(good, random)) ?? '', random);
      try {
        expect(parseBoundedJson(text)).toEqual(JSON.parse(text));
      } catch (error) {
        expect(error).toBeInstanceOf(JsonTextError);
      }
    }
  });

  it.each([
    ['backslashes', (n: number) => `"${'\\\\'.repeat(n)}"`],
    ['quotes behind backslashes', (n: number) => `"${'\\"'.repeat(n)}"`],
    ['numbers', (n: number) => `[${'12345,'.repeat(n)}7]`],
    ['strings', (n: number) => `[${'"a",'.repeat(n)}""]`],
  ])('takes twice as long for twice as many %s', async (_, text) => {
    const wide = { characters: 2 ** 26, depth: 4, values: 2 ** 24 };
    await expectEvenGrowth(100_000, (n) => {
      const json = text(n);
      return () => parseBoundedJson(json, wide);
    });
  });
});
