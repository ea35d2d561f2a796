import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { ChatTemplateError, ChatTokenizer } from './chat';
import { TOY_TOKENIZER_CONFIG, wordTokenizer } from '../train/toy-domain.testing';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const json = (path: string) => JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;

/** The part of transformers.js that renders chats; its Node build needs packages we leave out. */
interface Reference {
  apply_chat_template(
    messages: { role: string; content: string }[],
    options: { add_generation_prompt: true; return_tensor: false; return_dict: false },
  ): number[];
  decode(ids: number[], options: { skip_special_tokens: boolean }): string;
}
interface ReferenceModule {
  PreTrainedTokenizer: new (tokenizer: object, config: object) => Reference;
}
const reference = (await import(
  /* @vite-ignore */ `${root}node_modules/@huggingface/transformers/dist/transformers.web.js`
)) as ReferenceModule;

const words = 'please say hello to the cat no thanks i cannot help with that . ?'.split(' ');
const tiny = wordTokenizer(words);
const { vocab } = tiny.model;
const tinyConfig = TOY_TOKENIZER_CONFIG;

interface Source {
  name: string;
  tokenizer: Record<string, unknown>;
  config: Record<string, unknown>;
}
const sources: Source[] = [{ name: 'word-level', tokenizer: tiny, config: tinyConfig }];
const folders = [
  `${root}public/models/pocket`,
  `${root}../shared/data/tokenizers/qwen2.5-0.5b-instruct`,
  `${root}../shared/data/tokenizers/phi3-vision`,
];
const absent = folders.filter((folder) => !existsSync(`${folder}/tokenizer.json`));
if (absent.length > 0) console.info(`skipped: ${absent.length} tokenizers that are not here`);
for (const folder of folders) {
  if (absent.includes(folder)) continue;
  sources.push({
    name: folder.split('/').at(-1)!,
    tokenizer: json(`${folder}/tokenizer.json`),
    config: json(`${folder}/tokenizer_config.json`),
  });
}

const conversations = [
  { user: 'please say hello to the cat .' },
  { system: 'no thanks .', user: 'please help ?' },
  { user: '  spaces,\ttabs and\nlines  ' },
  { user: 'Ünïcode: 你好, 🐈‍⬛ — “quotes” and 3.14' },
  { system: 'a {{ brace }} in the system role', user: '{% raw %} in the user role' },
];

describe.each(sources)('ChatTokenizer on $name', ({ tokenizer, config }) => {
  const chat = new ChatTokenizer(tokenizer, config);
  const runtime = new reference.PreTrainedTokenizer(tokenizer, config);

  it.each(conversations)('gives the ids of transformers.js for %j', (conversation) => {
    const messages = [{ role: 'user', content: conversation.user }];
    if (conversation.system) messages.unshift({ role: 'system', content: conversation.system });
    const expected = runtime.apply_chat_template(messages, {
      add_generation_prompt: true,
      return_tensor: false,
      return_dict: false,
    });
    expect(chat.encodeChat(conversation)).toEqual(expected);
    expect(chat.decode(expected)).toBe(runtime.decode(expected, { skip_special_tokens: true }));
  });

  it('ends an answer with the end-of-answer token and leaves it out of the text', () => {
    const ids = chat.encodeAnswer('i cannot help with that .');
    expect(ids.at(-1)).toBe(chat.eosToken);
    expect(ids.filter((id) => id === chat.eosToken)).toHaveLength(1);
    expect(chat.specialTokens.has(chat.eosToken)).toBe(true);
    expect(chat.decode(ids)).toBe(chat.decode(ids.slice(0, -1)));
    expect(chat.decode([])).toBe('');
  });
});

describe('ChatTokenizer', () => {
  it('knows its special tokens and hashes its template', async () => {
    const chat = new ChatTokenizer(tiny, tinyConfig);
    expect(chat.encodeChat({ system: 'no', user: 'help' })).toEqual(
      ['<s>', '<|system|>', 'no', '<|user|>', 'help', '<|assistant|>'].map((w) => vocab[w]),
    );
    expect([...chat.specialTokens].sort()).toEqual([0, 1, 2, 3, 4, 5]);
    // sha256 of the text 'a', first 4 bytes.
    const short = new ChatTokenizer(tiny, { ...tinyConfig, chat_template: 'a' });
    expect(await short.templateHash()).toBe('ca978112');
    expect(await chat.templateHash()).not.toBe('ca978112');
  });

  it('prefers chat_template.jinja to the template in the config', () => {
    const { chat_template: template, ...bare } = tinyConfig;
    const fromFile = new ChatTokenizer(tiny, bare, { template });
    const user = 'please say hello to the cat .';
    expect(fromFile.encodeChat({ user })).toEqual(
      new ChatTokenizer(tiny, tinyConfig).encodeChat({ user }),
    );
    const file = new ChatTokenizer(tiny, tinyConfig, {
      template: "{{ messages[0]['content'] }}",
    });
    expect(file.render({ user })).toBe(user);
  });

  it('merges the system text into the user turn where the template refuses it', () => {
    const refusing =
      "{{ bos_token }}{% if messages[0]['role'] == 'system' %}" +
      "{{ raise_exception('System role not supported') }}{% endif %}" +
      "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] | trim }}{% endfor %}" +
      '{% if add_generation_prompt %}<|assistant|>{% endif %}';
    const silent = refusing
      .replace(/\{% if messages.*?endif %\}/, '')
      .replace('{% for m in messages %}', "{% for m in messages if m['role'] != 'system' %}");
    expect(silent).not.toBe(refusing);
    for (const chat_template of [refusing, silent]) {
      const chat = new ChatTokenizer(tiny, { ...tinyConfig, chat_template });
      expect(chat.systemRole).toBe('merged');
      expect(chat.render({ system: 'no', user: 'help' })).toBe(
        '<s><|user|>no\n\nhelp<|assistant|>',
      );
      expect(chat.render({ user: 'help' })).toBe('<s><|user|>help<|assistant|>');
    }
    expect(new ChatTokenizer(tiny, tinyConfig).systemRole).toBe('template');
  });

  it('gives content in parts to a template that reads it so', () => {
    const parts =
      "{% for m in messages %}<|{{ m['role'] }}|>" +
      "{% for part in m['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}{% endif %}" +
      '{% endfor %}{% endfor %}';
    const chat = new ChatTokenizer(tiny, { ...tinyConfig, chat_template: parts });
    expect(chat.render({ system: 'no', user: 'help' })).toBe('<|system|>no<|user|>help');
    expect(chat.systemRole).toBe('template');
  });

  it('ends answers as the template does, not as a document ends', () => {
    const turns =
      "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}" +
      "{% if m['role'] == 'assistant' %} <|system|>{% endif %}{% endfor %}";
    const chat = new ChatTokenizer(tiny, { ...tinyConfig, chat_template: turns });
    expect(chat.eosToken).toBe(vocab['<|system|>']);
    // Nothing special after an answer: the document's end it is.
    expect(new ChatTokenizer(tiny, tinyConfig).eosToken).toBe(vocab['</s>']);
  });

  it('tells every template the same day', () => {
    const dated =
      "{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}" +
      '{% endif %}{{ date_string }}';
    const chat = new ChatTokenizer(tiny, { ...tinyConfig, chat_template: dated });
    expect(chat.render({ user: 'help' })).toBe('26 Jul 2024');
  });

  it('says what a template refuses, and what cannot be read as one', () => {
    const raising = "{{ raise_exception('Only questions') }}";
    const chat = new ChatTokenizer(tiny, { ...tinyConfig, chat_template: raising });
    expect(() => chat.render({ user: 'help' })).toThrow(/Only questions/);
    const broken = { ...tinyConfig, chat_template: '{% if %}' };
    expect(() => new ChatTokenizer(tiny, broken)).toThrow(ChatTemplateError);
  });

  it('says what is missing', () => {
    const { chat_template: _, ...bare } = tinyConfig;
    expect(() => new ChatTokenizer(tiny, bare)).toThrow(ChatTemplateError);
    expect(() => new ChatTokenizer(tiny, { ...tinyConfig, eos_token: null })).toThrow(/eos_token/);
  });
});

/** Texts as transformers (Python) renders these files, written out by hand from the templates. */
const REAL = [
  {
    folder: 'qwen2.5-0.5b-instruct',
    eos: '<|im_end|>',
    plain:
      '<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.' +
      '<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n',
    system:
      '<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n' +
      '<|im_start|>assistant\n',
  },
  {
    folder: 'phi3-vision',
    eos: '<|end|>',
    plain: '<|user|>\nHello<|end|>\n<|assistant|>\n',
    system: '<|system|>\nBe kind.<|end|>\n<|user|>\nHello<|end|>\n<|assistant|>\n',
  },
].filter(({ folder }) => sources.some(({ name }) => name === folder));

describe.each(REAL)('the real tokenizer $folder', ({ folder, eos, plain, system }) => {
  const { tokenizer, config } = sources.find(({ name }) => name === folder)!;
  const chat = new ChatTokenizer(tokenizer, config);

  it('renders the text of its model, with and without a system role', () => {
    expect(chat.render({ user: 'Hello' })).toBe(plain);
    expect(chat.render({ system: 'Be kind.', user: 'Hello' })).toBe(system);
    expect(chat.systemRole).toBe('template');
  });

  it('ends an answer with the token that ends a turn', () => {
    expect(chat.eosToken).toBe(chat.idOf(eos));
    expect(chat.encodeAnswer('No.').at(-1)).toBe(chat.eosToken);
  });

  it('writes role markers as single tokens and no BOS beside the template’s own', () => {
    const ids = chat.encodeChat({ system: 'Be kind.', user: 'Hello' });
    const markers = system.match(/<\|\w+\|>/g)!.map((marker) => chat.idOf(marker));
    expect(ids.filter((id) => chat.specialTokens.has(id))).toEqual(markers);
  });
});
