import { describe, expect, it } from 'vitest';
import { JsonLinesError, parseJsonLines } from './jsonl';

describe('lines of JSON', () => {
  it.each([
    ['\n', 'line feeds'],
    ['\r\n', 'CRLF'],
    ['\r', 'carriage returns'],
  ])('end in %j (%s), blank ones left out', (end) => {
    const text = ['{"a":1}', '', '  {"b":"x"}  ', ''].join(end);
    expect(parseJsonLines(text)).toEqual([
      { line: 1, fields: { a: 1 } },
      { line: 3, fields: { b: 'x' } },
    ]);
  });

  it('may start with a byte-order mark', () => {
    expect(parseJsonLines('\uFEFF{"a":1}')).toEqual([{ line: 1, fields: { a: 1 } }]);
  });

  it('may hold line separators inside texts', () => {
    expect(parseJsonLines('{"a":"x\u2028y"}')[0]!.fields).toEqual({ a: 'x\u2028y' });
  });

  it('may be none', () => {
    expect(parseJsonLines('\n \n')).toEqual([]);
  });

  it.each([
    ['{"a":1}\n{"a":', 'Line 2: not JSON'],
    ['[1]', 'Line 1: not an object'],
    ['null', 'Line 1: not an object'],
    ['{"a":1}\n\n"text"', 'Line 3: not an object'],
  ])('like %j are refused by line', (text, message) => {
    expect(() => parseJsonLines(text)).toThrow(JsonLinesError);
    expect(() => parseJsonLines(text)).toThrow(message);
  });

  it('beyond the limits are refused', () => {
    const limits = { characters: 20, rows: 2 };
    expect(() => parseJsonLines('{}\n{}\n{}', limits)).toThrow('Line 3: the file has more than 2');
    expect(() => parseJsonLines(' '.repeat(21), limits)).toThrow('21 characters');
    expect(parseJsonLines('{}\n{}\n', limits)).toHaveLength(2);
  });
});
