import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Tokenizer } from '@huggingface/tokenizers';
import { describe, expect, it } from 'vitest';
import { MAX_CHAT_CHARS, TextTooLongError } from './chat-template';
import { obeySingleWord, TextTokenizer } from './text-tokenizer';
import { TokenizerError } from './tokenizer-files';

const pocket = fileURLToPath(new URL('../../../public/models/pocket/', import.meta.url));
const json = (name: string) =>
  JSON.parse(readFileSync(pocket + name, 'utf8')) as Record<string, unknown>;
const config = json('tokenizer_config.json');

interface Added {
  content: string;
  single_word?: boolean;
  lstrip?: boolean;
  rstrip?: boolean;
  normalized?: boolean;
}

/** Pocket's tokenizer with more added tokens, from id 2048 on. */
function withAdded(...more: Added[]): Record<string, unknown> {
  const tokenizer = json('tokenizer.json');
  const added = more.map((token, i) => ({
    ...{ single_word: false, lstrip: false, rstrip: false, normalized: false, special: false },
    ...token,
    id: 2048 + i,
  }));
  return { ...tokenizer, added_tokens: [...(tokenizer.added_tokens as object[]), ...added] };
}

/** What Python's tokenizers 0.23 gives for pocket with the tokens below. */
const EXPECTED: [string, number[]][] = [
  ['zcat', [2048]],
  ['a zcat sat', [70, 226, 2048, 265, 286]],
  ['conzcatenate', [72, 316, 95, 72, 286, 301, 438]],
  ['zcats', [95, 72, 286, 88]],
  ['zcat-like', [2048, 18, 976, 343]],
  ['zcat_', [95, 72, 286, 68]],
  ['zcat9', [95, 72, 286, 30]],
  ['\u00fcber zcat', [133, 126, 453, 226, 2048]],
  ['zcat\u00fc', [95, 72, 286, 133, 126]],
  ['my  zdog  runs', [82, 94, 2049, 87, 398, 88]],
  ['hotzdog', [77, 314, 95, 73, 911]],
  ['zdogs zdog', [95, 73, 84, 730, 2049]],
  ['<x>', [2050]],
  ['a<x>', [70, 33, 93, 35]],
  ['<x>1', [33, 93, 35, 22]],
  [' <x> ', [226, 2050, 226]],
  ['zqabc zqab', [95, 86, 712, 72, 226, 2051]],
  ['czqab zqa', [72, 95, 86, 712, 226, 2052]],
  ['xzqa', [93, 2052]],
  ['z\u00e9z\u00e9 z\u00e9', [95, 133, 108, 95, 133, 108, 226, 2053]],
  ['zcat\u200dx', [95, 72, 286, 164, 228, 241, 93]],
  ['\ud835\udc9czcat', [178, 257, 246, 256, 95, 72, 286]],
  ['zcat\ud835\udc9c', [95, 72, 286, 178, 257, 246, 256]],
  ['zcat<x>zcat', [2048, 33, 93, 35, 2048]],
  ['zcat zcat', [2048, 226, 2048]],
  ['zcat.zcat', [2048, 19, 2048]],
  ['<user>zcat<assistant>', [4, 2048, 5]],
  ['zqazcat<user>', [2052, 95, 72, 286, 4]],
  ['[qzcat[q', [2055, 95, 72, 286, 2055]],
  ['[qzcat<user>', [2055, 95, 72, 286, 4]],
  ['znorm znorms', [2054, 226, 95, 83, 272, 1477]],
  ['a znorm', [70, 226, 2054]],
  ['zqazqab', [2052, 95, 86, 712]],
  ['zcat\u0301', [95, 72, 286, 142, 229]],
  ['zcat\u2019s', [2048, 164, 228, 253, 88]],
];

describe('added tokens with single_word', () => {
  const files = withAdded(
    { content: 'zcat', single_word: true },
    { content: 'zdog', single_word: true, lstrip: true, rstrip: true },
    { content: '<x>', single_word: true },
    { content: 'zqab', single_word: true },
    { content: 'zqa' },
    { content: 'z\u00e9', single_word: true },
    { content: 'znorm', single_word: true, normalized: true },
    { content: '[q' },
  );
  const tokenizer = new TextTokenizer(files, config);

  it.each(EXPECTED)('reads %j as tokenizers does', (text, ids) => {
    expect(tokenizer.encode(text)).toEqual(ids);
  });

  it('are cut behind a normalizer, too', () => {
    const lower = { ...files, normalizer: { type: 'Lowercase' } };
    const normal = new TextTokenizer(lower, config);
    expect(normal.encode('a ZNORM')).toEqual(tokenizer.encode('a znorm'));
    expect(normal.encode('a ZNORMS')).toEqual(tokenizer.encode('a znorms'));
    // Not a normalized one: it is looked for in the text as it was written.
    expect(normal.encode('a ZCAT')).not.toContain(2048);
  });

  it('change nothing where none is such a token', () => {
    const plain = new Tokenizer(json('tokenizer.json'), config);
    const before = Object.getOwnPropertyNames(plain);
    obeySingleWord(plain);
    expect(Object.getOwnPropertyNames(plain)).toEqual(before);
  });
});

describe('TextTokenizer', () => {
  it('refuses a text that no student could read, before it is looked at', () => {
    const tokenizer = new TextTokenizer(json('tokenizer.json'), config);
    expect(() => tokenizer.encode('a'.repeat(MAX_CHAT_CHARS + 1))).toThrow(TextTooLongError);
    expect(tokenizer.encode('a'.repeat(MAX_CHAT_CHARS)).length).toBeGreaterThan(0);
  });

  it('says so where a vocabulary has no token for a text', () => {
    const words = { type: 'WordLevel', vocab: { hello: 0 }, unk_token: '<unk>' };
    const files = {
      ...json('tokenizer.json'),
      model: words,
      added_tokens: [],
      pre_tokenizer: { type: 'Whitespace' },
    };
    const tokenizer = new TextTokenizer(files, config);
    expect(tokenizer.encode('hello')).toEqual([0]);
    expect(() => tokenizer.encode('good bye')).toThrow(TokenizerError);
  });
});
