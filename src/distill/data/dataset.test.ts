import { describe, expect, it } from 'vitest';
import {
  contentHash,
  DatasetError,
  holdOut,
  limitItems,
  parseDomain,
  parsePromptItems,
} from './dataset';
import type { PromptItem } from '../types';

const lines = (...values: unknown[]) => values.map((value) => JSON.stringify(value)).join('\n');

describe('parsePromptItems', () => {
  it('reads what a custom file has and fills the rest', () => {
    const text = `${lines({ prompt: 'a?', label: 'benign', answer: 'b' }, { prompt: 'c', label: 'harmful', intent: 'i', id: 'x' })}\n\n`;
    expect(parsePromptItems(text)).toEqual([
      { id: 'line-1', prompt: 'a?', label: 'benign', intent: 'a?', answer: 'b' },
      { id: 'x', prompt: 'c', label: 'harmful', intent: 'i' },
    ]);
  });

  it('keeps forms, pairs and accepted answers, and hashes what answers are held to', () => {
    const line = { prompt: 'a?', label: 'benign', form: 'question', pair: 'p' };
    const [item] = parsePromptItems(lines({ ...line, accepted: ['7', 'seven'] }));
    expect(item).toMatchObject({ form: 'question', pair: 'p', accepted: ['7', 'seven'] });
    const hashes = [['7'], ['7', 'seven'], undefined].map((accepted) =>
      contentHash(parsePromptItems(lines({ ...line, accepted }))),
    );
    expect(new Set(hashes).size).toBe(3);
  });

  it.each([
    [{ pair: '' }, /pair must not be empty/],
    [{ pair: 3 }, /pair must be text/],
    [{ form: 'x'.repeat(201) }, /form is too long/],
    [{ accepted: 'seven' }, /accepted must be/],
    [{ accepted: [] }, /accepted must be/],
    [{ accepted: [7] }, /accepted must be/],
    [{ accepted: ['?'] }, /accepted must be/],
  ])('refuses %j', (fields, message) => {
    const text = lines({ prompt: 'a', label: 'benign', ...fields });
    expect(() => parsePromptItems(text)).toThrow(message);
  });

  it.each([
    ['', /empty/],
    ['{', /Line 1: not JSON/],
    ['[]\n', /Line 1: not an object/],
    [lines({ prompt: 'a', label: 'bad' }), /label must be one of/],
    [lines({ prompt: 'a', label: 'benign', answer: 3 }), /answer must be text/],
    [lines({ prompt: 'x'.repeat(5000), label: 'benign' }), /too long/],
    [
      `${lines({ prompt: 'a', label: 'benign', id: 'q' }, { prompt: 'b', label: 'benign', id: 'q' })}`,
      /Line 2: id q comes twice/,
    ],
  ])('says what is wrong with %j', (text, message) => {
    expect(() => parsePromptItems(text)).toThrow(DatasetError);
    expect(() => parsePromptItems(text)).toThrow(message);
  });
});

describe('parseDomain', () => {
  const domain = { refusals: ['no'], preamble: 'be safe', suggestions: [], maxNewTokens: 48 };
  it('takes a whole domain', () => {
    expect(parseDomain({ ...domain, more: 1 })).toEqual(domain);
  });
  it.each([null, {}, { ...domain, refusals: [] }, { ...domain, maxNewTokens: 0 }])(
    'refuses %j',
    (value) => expect(() => parseDomain(value)).toThrow(DatasetError),
  );
});

const items: PromptItem[] = Array.from({ length: 40 }, (_, i) => ({
  id: `${i}`,
  prompt: `prompt ${i}`,
  label: i < 20 ? 'harmful' : i < 30 ? 'borderline' : 'benign',
  intent: `intent ${i >> 1}`,
}));

describe('subsets', () => {
  it('contentHash changes with any prompt and with the order', () => {
    expect(contentHash(items)).toMatch(/^[0-9a-f]{16}$/);
    const changed = items.map((item, i) => (i === 7 ? { ...item, prompt: 'other' } : item));
    expect(contentHash(changed)).not.toBe(contentHash(items));
    expect(contentHash([...items].reverse())).not.toBe(contentHash(items));
  });

  it('limitItems spreads over each label', () => {
    expect(limitItems(items, 0)).toEqual(items);
    const few = limitItems(items, 2);
    expect(few.map((item) => item.id)).toEqual(['0', '10', '20', '25', '30', '35']);
    expect(limitItems(items, 15)).toHaveLength(15 + 10 + 10);
  });

  it('holdOut splits without overlap, the same way each time', () => {
    const { held, rest } = holdOut(items, { harmful: 4, borderline: 2, benign: 50 });
    expect(held).toHaveLength(4 + 2 + 10);
    expect([...held, ...rest].sort((a, b) => a - b)).toEqual(items.map((_, i) => i));
    expect(holdOut(items, { harmful: 4, borderline: 2, benign: 50 }).held).toEqual(held);
  });
});
