import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { KnownError } from '../../formats/errors';
import { expectEvenGrowth } from '../../formats/growth.testing';
import { changedJson, errorOf } from '../../formats/mutations.testing';
import { seededRandom } from '../../formats/random.testing';
import { ChatTokenizer } from './chat';
import { TextTokenizer } from './text-tokenizer';
import { checkTokenizerFiles, endsOf, TokenizerError } from './tokenizer-files';
import { TOY_TOKENIZER, TOY_TOKENIZER_CONFIG } from '../train/toy-domain.testing';

const pocket = fileURLToPath(new URL('../../../public/models/pocket/', import.meta.url));
const json = (name: string) => JSON.parse(readFileSync(pocket + name, 'utf8')) as Json;
type Json = Record<string, unknown>;

const good = () => ({ tokenizer: json('tokenizer.json'), config: json('tokenizer_config.json') });
const split = (pattern: unknown) => ({ type: 'Split', pattern, behavior: 'Isolated' });

function nested(depth: number): unknown {
  let value: unknown = [];
  for (let i = 0; i < depth; i++) value = [value];
  return value;
}

const WRONG: [string, (files: ReturnType<typeof good>) => void, RegExp][] = [
  ['no object', (files) => (files.tokenizer = [] as never), /tokenizer\.json.*JSON object/],
  ['no config', (files) => (files.config = null as never), /tokenizer_config\.json/],
  ['no model', ({ tokenizer }) => delete tokenizer.model, /no model/],
  ['a list as model', ({ tokenizer }) => (tokenizer.model = []), /no model/],
  ['no vocabulary', ({ tokenizer }) => delete (tokenizer.model as Json).vocab, /vocab is missing/],
  [
    'a text as id',
    ({ tokenizer }) => ((tokenizer.model as Json).vocab = { a: '1' }),
    /gives "a" no token id/,
  ],
  [
    'an id of a billion',
    ({ tokenizer }) => ((tokenizer.model as Json).vocab = { a: 1e9 }),
    /no token id/,
  ],
  [
    'merges that are no pairs',
    ({ tokenizer }) => ((tokenizer.model as Json).merges = [['a', 'b', 'c']]),
    /merges/,
  ],
  [
    'an object as merges',
    ({ tokenizer }) => ((tokenizer.model as Json).merges = { length: 1e308 }),
    /merges/,
  ],
  [
    'words of any length',
    ({ tokenizer }) => ((tokenizer.model as Json).max_input_chars_per_word = 1e308),
    /max_input_chars_per_word/,
  ],
  ['no added tokens', ({ tokenizer }) => delete tokenizer.added_tokens, /added_tokens is no list/],
  [
    'an added token of null',
    ({ tokenizer }) => (tokenizer.added_tokens = [null]),
    /added_tokens\[0\] is no object/,
  ],
  [
    'an added token of endless length',
    ({ tokenizer }) => (tokenizer.added_tokens = [{ id: 0, content: { length: 1e308 } }]),
    /added_tokens\[0\]\.content/,
  ],
  [
    'an added token without text',
    ({ tokenizer }) => (tokenizer.added_tokens = [{ id: 0, content: '' }]),
    /content/,
  ],
  [
    'an added token of id 2³²',
    ({ tokenizer }) => (tokenizer.added_tokens = [{ id: 2 ** 32, content: 'a' }]),
    /added_tokens\[0\]\.id/,
  ],
  [
    'a flag that is a text',
    ({ tokenizer }) => (tokenizer.added_tokens = [{ id: 0, content: 'a', single_word: 'no' }]),
    /single_word/,
  ],
  [
    'many added tokens',
    ({ tokenizer }) =>
      (tokenizer.added_tokens = Array.from({ length: 70_000 }, (_, id) => ({ id, content: 'a' }))),
    /more than 65536/,
  ],
  [
    'long added tokens',
    ({ tokenizer }) =>
      (tokenizer.added_tokens = Array.from({ length: 400 }, (_, id) => ({
        id,
        content: String(id).padEnd(4000, 'x'),
      }))),
    /longer than/,
  ],
  ['a text as normalizer', ({ tokenizer }) => (tokenizer.normalizer = 'NFC'), /normalizer/],
  [
    'pieces of no length',
    ({ tokenizer }) => (tokenizer.pre_tokenizer = { type: 'FixedLength', length: 0 }),
    /no length/,
  ],
  [
    'a pattern of null',
    ({ tokenizer }) => (tokenizer.pre_tokenizer = split({ Regex: null, String: { length: 9 } })),
    /no text/,
  ],
  [
    'a pattern of neither kind',
    ({ tokenizer }) => (tokenizer.pre_tokenizer = split({})),
    /neither Regex nor String/,
  ],
  [
    'a pattern that is none',
    ({ tokenizer }) => (tokenizer.pre_tokenizer = split({ Regex: '(' })),
    /cannot be used/,
  ],
  [
    'an unknown stage',
    ({ tokenizer }) => (tokenizer.pre_tokenizer = { type: 'Dice' }),
    /cannot be used: .*Dice/,
  ],
  [
    'stages 20,000 deep',
    ({ tokenizer }) => (tokenizer.normalizer = { type: 'Sequence', extra: nested(20_000) }),
    /too many parts/,
  ],
  [
    'many stages',
    ({ tokenizer }) =>
      (tokenizer.normalizer = {
        type: 'Sequence',
        normalizers: Array.from({ length: 1000 }, () => ({ type: 'NFC' })),
      }),
    /up to 512/,
  ],
  [
    'a post-processor that repeats the text',
    ({ tokenizer }) =>
      (tokenizer.post_processor = {
        type: 'TemplateProcessing',
        single: Array.from({ length: 1e5 }, () => ({ Sequence: { id: 'A', type_id: 0 } })),
      }),
    /single is no list/,
  ],
  [
    'special tokens that are no list',
    ({ config }) => (config.additional_special_tokens = 'x'),
    /additional_special_tokens/,
  ],
];

describe('tokenizer files', () => {
  it('are taken as models have them', () => {
    const { tokenizer, config } = good();
    expect(() => checkTokenizerFiles(tokenizer, config)).not.toThrow();
    expect(() => checkTokenizerFiles(TOY_TOKENIZER, TOY_TOKENIZER_CONFIG)).not.toThrow();
  });

  it.each(WRONG)('with %s are refused by name', (_, change, reason) => {
    const files = good();
    change(files);
    const error = errorOf(() => new TextTokenizer(files.tokenizer, files.config));
    expect(error).toBeInstanceOf(TokenizerError);
    expect((error as Error).message).toMatch(reason);
  });

  it('end in an error of ours or in a tokenizer, whatever is changed', () => {
    const random = seededRandom(41);
    const files = [TOY_TOKENIZER, TOY_TOKENIZER_CONFIG, { eos_token_id: [1] }, { eos_token_id: 1 }];
    let refused = 0;
    for (let i = 0; i < 600; i++) {
      const changed = files.map((file, j) =>
        i % files.length === j ? changedJson(file, random) : file,
      );
      const error = errorOf(() => {
        const [tokenizer, tokenizerConfig, generation, config] = changed;
        const chat = new ChatTokenizer(tokenizer, tokenizerConfig, { generation, config });
        chat.decode(chat.encodeChat({ system: 'no', user: 'hello cat' }));
      });
      if (error === null) continue;
      refused++;
      expect(error).toBeInstanceOf(KnownError);
    }
    expect(refused).toBeGreaterThan(100);
  });

  it('take time in proportion to the vocabulary', async () => {
    const { config } = good();
    await expectEvenGrowth(10_000, (size) => {
      const vocab = Object.fromEntries(Array.from({ length: size }, (_, id) => [`t${id}`, id]));
      const merges = Array.from({ length: size }, (_, i) => `t${i} t${i}`);
      const tokenizer = { ...good().tokenizer, model: { type: 'BPE', vocab, merges } };
      return () => checkTokenizerFiles(tokenizer, config);
    });
  });

  it('tokenize in time in proportion to the text', async () => {
    const { tokenizer, config } = good();
    const text = new TextTokenizer(tokenizer, config);
    await expectEvenGrowth(15_000, (chars) => {
      const blanks = ' '.repeat(chars);
      return () => text.encode(blanks);
    });
  });
});

describe('a chat template of the wrong shape', () => {
  it.each([
    [[null]],
    [[1]],
    [{}],
    [{ default: 1 }],
    [7],
    [[{ name: 'default' }]],
    [[{ name: 'tool_use', template: 'x' }]],
    [true],
  ])('is refused: %j', (chat_template) => {
    const { tokenizer, config } = good();
    const error = errorOf(() => new ChatTokenizer(tokenizer, { ...config, chat_template }));
    expect(error).toBeInstanceOf(KnownError);
    expect((error as Error).message).toMatch(/chat_template/);
  });

  it.each([
    [[{ name: 'default', template: 'a' }]],
    [
      [
        { name: 'rag', template: 'b' },
        { name: 'default', template: 'a' },
      ],
    ],
    [{ default: 'a', tool_use: 'b' }],
  ])('is found among named ones: %j', (chat_template) => {
    const { tokenizer, config } = good();
    expect(new ChatTokenizer(tokenizer, { ...config, chat_template }).templateText).toBe('a');
  });
});

describe('ends of answers', () => {
  it.each<[unknown, unknown, number[]]>([
    [{ eos_token_id: 2 }, null, [2]],
    [{ eos_token_id: [2, 0, 2] }, { eos_token_id: 7 }, [2, 0]],
    [{ eos_token_id: null }, { eos_token_id: [7] }, [7]],
    [null, { text_config: { eos_token_id: 9 } }, [9]],
    [{}, {}, []],
    [null, null, []],
  ])('%j and %j say %j', (generation, config, ids) => {
    expect(endsOf(generation, config, 10)).toEqual(ids);
  });

  it.each([
    '2',
    -1,
    0.5,
    [null],
    [[2]],
    {},
    true,
    1e300,
    Array.from({ length: 1000 }, (_, i) => i),
  ])('are no %j', (eos_token_id) => {
    expect(() => endsOf({ eos_token_id }, null, 10)).toThrow(TokenizerError);
    expect(() => endsOf(null, { eos_token_id }, 10)).toThrow(/^config\.json/);
  });

  it.each([[[]], ['x'], [3]])('are in no file of %j', (file) => {
    expect(() => endsOf(file, null, 10)).toThrow(/generation_config\.json is not a JSON object/);
  });

  it('are tokens of the vocabulary, the tokenizer’s or the model’s', () => {
    expect(() => endsOf({ eos_token_id: [2, 10] }, null, 10)).toThrow(
      'generation_config.json: eos_token_id is 10, but the vocabulary ends at 9.',
    );
    expect(() => endsOf(null, { eos_token_id: 31, vocab_size: 30 }, 10)).toThrow(/^config\.json/);
    // Models have rows beyond what their tokenizers name.
    expect(endsOf({ eos_token_id: 29 }, { vocab_size: 30 }, 10)).toEqual([29]);
    expect(endsOf({ eos_token_id: 29 }, { text_config: { vocab_size: 30 } }, 10)).toEqual([29]);
    const { tokenizer, config } = good();
    const open = () =>
      new ChatTokenizer(tokenizer, config, { generation: { eos_token_id: 99_999 } });
    expect(open).toThrow(TokenizerError);
  });
});

describe('replacements one after the other', () => {
  const replace = (pattern: object, content: string) => ({ type: 'Replace', pattern, content });
  const chained = (...normalizers: object[]) => {
    const { tokenizer, config } = good();
    return () =>
      checkTokenizerFiles({ ...tokenizer, normalizer: { type: 'Sequence', normalizers } }, config);
  };
  const double = replace({ String: 'a' }, 'aa');

  it('may make a text longer, within a bound', () => {
    expect(chained(...Array<object>(6).fill(double))).not.toThrow();
    expect(chained(...Array<object>(7).fill(double))).toThrow(/more than 64 times as long/);
    expect(chained(replace({ String: 'a' }, 'a'.repeat(65)))).toThrow(/64 times/);
    expect(chained(replace({ Regex: '' }, 'a'.repeat(64)))).toThrow(/64 times/);
    const inner = { type: 'Sequence', normalizers: Array<object>(4).fill(double) };
    expect(chained(inner, inner)).toThrow(/64 times/);
    const { tokenizer, config } = good();
    const decoder = { type: 'Sequence', decoders: Array<object>(30).fill(double) };
    expect(() => checkTokenizerFiles({ ...tokenizer, decoder }, config)).toThrow(
      /^tokenizer.*decoder/,
    );
  });

  it('count in the pre-tokenizer too, together with the normalizer', () => {
    const { tokenizer, config } = good();
    const cut = (normalizer: object | null, ...pretokenizers: object[]) => {
      const pre_tokenizer = { type: 'Sequence', pretokenizers };
      return () => checkTokenizerFiles({ ...tokenizer, normalizer, pre_tokenizer }, config);
    };
    const long = 'a'.repeat(65);
    expect(cut(null, ...Array<object>(6).fill(double))).not.toThrow();
    expect(cut(double, ...Array<object>(6).fill(double))).toThrow(/64 times/);
    expect(cut(null, { type: 'Metaspace', replacement: '▁' })).not.toThrow();
    expect(cut(null, { type: 'Metaspace', replacement: long })).toThrow(/pre_tokenizer.*64 times/);
    expect(cut(null, { type: 'Metaspace', replacement: '▁', str_rep: long })).toThrow(/64 times/);
  });

  it('take no more than a bound from what stands before a text', () => {
    const before = (chars: number) => ({ type: 'Prepend', prepend: '▁'.repeat(chars) });
    expect(chained(before(1), before(1), double)).not.toThrow();
    expect(chained(...Array<object>(5).fill(before(1000)))).toThrow(/more than 4096 characters/);
  });

  it('that do not make it longer may be many', () => {
    const many = Array.from({ length: 400 }, (_, i) =>
      i % 2 ? replace({ String: '``' }, '"') : replace({ Regex: '\\s+' }, ' '),
    );
    expect(chained(...many)).not.toThrow();
  });
});
