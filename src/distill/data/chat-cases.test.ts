/**
 * Files of models that were misread once: where an answer ends, on which day and with which line
 * endings a template renders. Each on pocket's tokenizer with Qwen's markers, and on Qwen's own
 * where it is here.
 */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { ChatTokenizer } from './chat';
import { refusalTrie } from '../target/paths';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const text = (path: string) => readFileSync(root + path, 'utf8');
const json = (path: string) => JSON.parse(text(path)) as Record<string, unknown>;
const at = (name: string) => `tests/fixtures/chat/${name}`;

/** Pocket's bytes and merges, with the markers and ids that the cases name. */
function pocketWithMarkers(): Record<string, unknown> {
  const tokenizer = json('public/models/pocket/tokenizer.json');
  const markers = ['<|endoftext|>', '<|im_start|>', '<|im_end|>'].map((content, i) => ({
    ...{ id: 151643 + i, content, special: true },
    ...{ single_word: false, lstrip: false, rstrip: false, normalized: false },
  }));
  return { ...tokenizer, added_tokens: [...(tokenizer.added_tokens as object[]), ...markers] };
}

const QWEN = '../shared/data/tokenizers/qwen2.5-0.5b-instruct/tokenizer.json';
const bases = [{ name: 'pocket with markers', tokenizer: pocketWithMarkers() }];
if (existsSync(root + QWEN)) bases.push({ name: 'Qwen', tokenizer: json(QWEN) });

afterEach(() => {
  vi.useRealTimers();
});

describe.each(bases)('on $name', ({ tokenizer }) => {
  it('ends an answer on what the files list and on what the template shows between turns', () => {
    const chat = new ChatTokenizer(tokenizer, json(at('cond-end/tokenizer_config.json')), {
      generation: json(at('cond-end/generation_config.json')),
    });
    expect([...chat.stopTokens].sort()).toEqual([151643, 151645]);
    // Refusals end as the template ends a turn, though tokenizer_config.json names another token.
    expect(chat.eosToken).toBe(151645);
    expect(chat.stopTokens[0]).toBe(151645);
    expect(refusalTrie(chat, ['No.'], 48).strings[0]!.at(-1)).toBe(151645);
    for (const end of chat.stopTokens) {
      expect(chat.decode([...chat.encodeText('Yes.'), end])).toBe('Yes.');
    }
  });

  it('shows the end between turns without a generation_config.json', () => {
    const config = json(at('cond-end/tokenizer_config.json'));
    expect(new ChatTokenizer(tokenizer, config).stopTokens).toEqual([151645]);
    const asked = new ChatTokenizer(tokenizer, config, { config: { eos_token_id: 151643 } });
    expect(asked.stopTokens).toEqual([151645, 151643]);
    const both = new ChatTokenizer(tokenizer, config, {
      generation: { eos_token_id: 151645 },
      config: { eos_token_id: 151643 },
    });
    expect(both.stopTokens).toEqual([151645]);
  });

  it('renders the same on every day', async () => {
    const render = () => {
      const chat = new ChatTokenizer(tokenizer, json(at('strftime/tokenizer_config.json')));
      return { text: chat.render({ user: 'Hello' }), hash: chat.templateHash() };
    };
    vi.useFakeTimers({ toFake: ['Date'] });
    vi.setSystemTime(new Date('2026-11-30T12:00:00Z'));
    const today = render();
    vi.setSystemTime(new Date('2027-01-02T03:04:05Z'));
    const later = render();
    expect(later.text).toBe(today.text);
    expect(await later.hash).toBe(await today.hash);
    expect(today.text).toBe(
      '<|im_start|>system\nToday is 2024-07-26.<|im_end|>\n' +
        '<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n',
    );
  });

  it('renders a template with any line ending as jinja2 does', async () => {
    const source = text(at('crlf/chat_template.jinja'));
    expect(source).toContain('\r\n');
    const config = json(at('crlf/tokenizer_config.json'));
    const written = ['\r\n', '\n', '\r'].map((end) => {
      const template = source.replaceAll('\r\n', end);
      return new ChatTokenizer(tokenizer, config, { template });
    });
    for (const chat of written) {
      // jinja2 3.1 with trim_blocks and lstrip_blocks; what a person writes stays what it is.
      expect(chat.render({ user: 'Hello\r\nyou' })).toBe(
        '<|im_start|>user\nHello\r\nyou<|im_end|>\n<|im_start|>assistant\n',
      );
      expect(chat.templateText).not.toContain('\r');
      expect(await chat.templateHash()).toBe(await written[1]!.templateHash());
      expect(chat.encodeChat({ user: 'Hello' })).toEqual(written[1]!.encodeChat({ user: 'Hello' }));
    }
  });
});

describe('the format of a conversation', () => {
  const tokenizer = pocketWithMarkers();
  const pocket = json('public/models/pocket/tokenizer_config.json');
  const format = (config: object, files = {}) => new ChatTokenizer(tokenizer, config, files).format;

  it('has no name where template and end are plain: what was kept before is still found', () => {
    const generation = json('public/models/pocket/generation_config.json');
    expect(format(pocket, { generation })).toBeNull();
    expect(format(json(at('cond-end/tokenizer_config.json')))).toBeNull();
  });

  it('is named where kept data may be of other tokens', () => {
    const crlf = json(at('crlf/tokenizer_config.json'));
    const template = text(at('crlf/chat_template.jinja'));
    const names = [
      format(pocket, { generation: { eos_token_id: [0, 2] } }),
      format(pocket, { generation: { eos_token_id: [0, 1, 2] } }),
      format(json(at('strftime/tokenizer_config.json'))),
      format(crlf, { template }),
    ];
    expect(names).not.toContain(null);
    expect(new Set(names).size).toBe(names.length);
    expect(format(crlf, { template: template.replaceAll('\r', '') })).toBeNull();
  });
});

describe('pocket', () => {
  const tokenizer = json('public/models/pocket/tokenizer.json');
  const config = json('public/models/pocket/tokenizer_config.json');
  const template = String(config.chat_template);

  it('ends on both of two ends, and on its own token first', () => {
    const chat = new ChatTokenizer(tokenizer, config, { generation: { eos_token_id: [0, 2] } });
    expect(chat.stopTokens).toEqual([2, 0]);
    expect(chat.eosToken).toBe(2);
    expect(chat.encodeAnswer('No.').at(-1)).toBe(2);
  });

  it('needs no word from the tokenizer to know them', () => {
    const silent = {
      ...config,
      eos_token: '<pad>',
      chat_template: template.replace(
        "{% if message['role'] == 'assistant' %}{{ eos_token }}",
        "{% if message['role'] == 'assistant' and not loop.last %}{{ '<end>' }}",
      ),
    };
    expect(silent.chat_template).not.toBe(template);
    const listed = new ChatTokenizer(tokenizer, silent, { generation: { eos_token_id: [0, 2] } });
    expect(listed.stopTokens).toEqual([2, 0]);
    expect(new ChatTokenizer(tokenizer, silent).eosToken).toBe(2);
  });

  it.each([
    ['without an end', template.replace('{{ eos_token }}', ''), 0],
    [
      'that opens every turn alike',
      "{% for m in messages %}<bos>{{ m['content'] }}{% endfor %}",
      0,
    ],
    [
      'that opens turns alike and asks in words',
      "{% for m in messages %}<bos>{{ m['role'] }}: {{ m['content'] }}{% endfor %}" +
        '{% if add_generation_prompt %}<bos>assistant: {% endif %}',
      0,
    ],
    [
      'that always opens the next answer',
      "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}<assistant>",
      0,
    ],
    [
      'that always opens the next answer behind an end',
      "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}<end>{% endfor %}<assistant>",
      2,
    ],
    [
      'that ends the conversation alone',
      "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% if loop.last %}<end>{% endif %}" +
        '{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}',
      2,
    ],
    [
      'that writes contents in capitals',
      "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] | upper }}<end>{% endfor %}",
      2,
    ],
    [
      'whose turns are parted by the end alone',
      "{% for m in messages %}{{ m['content'] }}{% if not loop.last %}<end>{% endif %}{% endfor %}",
      2,
    ],
  ])('takes no opening of a turn for an end, in a template %s', (_, chat_template, end) => {
    const chat = new ChatTokenizer(tokenizer, { ...config, eos_token: '<pad>', chat_template });
    expect(chat.eosToken).toBe(end);
  });
});
