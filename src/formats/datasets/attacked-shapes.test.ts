/** Shapes in which something was lost without a word, or cost more than its bytes. */
import { describe, expect, it } from 'vitest';
import { timeOf } from '../growth.testing';
import { importPrompts } from './import';
import { doubledName, parseJson } from './json-scan';
import { recognise } from './recognise';
import { failure, read } from './testing';

async function report(name: string, text: string) {
  const table = await read(name, text, {}, 4096);
  const { plan } = recognise(table)[0]!;
  const labels = plan.labels ?? ({ kind: 'all', label: 'benign' } as const);
  return importPrompts(table, { ...plan, labels });
}

describe('single values beside lists', () => {
  it('count as cells of every row, before the rows are made', async () => {
    const shared = Array.from({ length: 250 }, (_, i) => `"label${i}":"1"`).join(',');
    const text = (rows: number) => `{${shared},"prompts":[${'"a",'.repeat(rows - 1)}"a"]}`;
    for (const rows of [60_000, 600_000]) {
      const file = text(rows);
      // Built first, it took 5 s and then all memory.
      const took = await timeOf(async () => {
        const error = await failure(read('x.json', file, {}, 2 ** 16));
        expect(error.code).toBe('too-many-values');
        expect(error.message).toContain((251 * rows).toLocaleString('en-US'));
      });
      expect(took).toBeLessThan(3000);
    }
  });
});

describe('a name that stands twice in one object', () => {
  it.each([
    ['x.jsonl', '{"prompt":"a"}\n{"prompt":"b","prompt":"c"}\n', 'Line 2: “prompt” stands twice'],
    ['x.json', '[{"prompt":"a","label":"safe","label":"unsafe"}]', 'Record 1: “label” stands'],
    ['x.json', '{"prompts":["a"],"prompts":["b"]}', 'The file: “prompts” stands twice'],
    ['x.json', '[{"messages":[{"role":"user","content":"a","content":"b"}]}]', '“content” stands'],
    ['x.jsonl', '{"a":1}\n{"pr\\u006fmpt":"b","prompt":"c"}\n', '“prompt” stands twice'],
  ])('is refused: %s %s', async (name, text, message) => {
    const error = await failure(read(name, text, {}, 4096));
    expect(error).toMatchObject({
      code: 'duplicate-column',
      message: expect.stringContaining(message),
    });
  });

  it('is not what texts, lists and neighbours hold', () => {
    expect(
      doubledName('[{"a":"a","b":"{\\"a\\":1,\\"a\\":2}"},{"a":["a","a"],"b":{"a":1}}]'),
    ).toBeNull();
    expect(doubledName('{"a" : {"b":1}, "c":[{"b":1},{"b":2}]}')).toBeNull();
    expect(doubledName('{"a":{"b":1,"b" :2}}')).toBe('b');
  });
});

describe('numbers beyond 2^53', () => {
  const ids = ['9007199254740993', '9007199254740992', '-12345678901234567890'];

  it.each([
    ['x.jsonl', ids.map((id) => `{"id":${id},"prompt":"p ${id}"}\n`).join('')],
    ['x.json', `[${ids.map((id) => `{"id":${id},"prompt":"p ${id}"}`).join(',')}]`],
    ['x.json', `{"id":[${ids.join(', ')}],"prompt":[${ids.map((id) => `"p ${id}"`).join(',')}]}`],
  ])('keep their digits as ids: %s', async (name, text) => {
    const { items, errors } = await report(name, text);
    expect(errors.total).toBe(0);
    expect(items.map(({ id }) => id)).toEqual(ids);
  });

  it('are strings only where a number would lose digits', () => {
    const text =
      '[1234567890123456, 0.12345678901234567, 1e300, 12345678901234567e2, "12345678901234567890"]';
    expect(parseJson(text)).toEqual(JSON.parse(text));
    expect(parseJson('{"a":[1,-98765432109876543210]}')).toEqual({
      a: [1, '-98765432109876543210'],
    });
    expect(() => parseJson('[012345678901234567890]')).toThrow(SyntaxError);
  });
});

describe('prompts that are JSON', () => {
  const chat = JSON.stringify({ messages: [{ role: 'user', content: 'inner' }] });
  const cell = (text: string) => `"${text.replaceAll('"', '""')}"`;

  it('stay what they are among plain ones, and that is said', async () => {
    const { items, warnings } = await report('x.csv', `prompt\nplain\n${cell(chat)}\n`);
    expect(items.map(({ prompt }) => prompt)).toEqual(['plain', chat]);
    expect(warnings.first[0]!.message).toBe(
      '1 row of “prompt” holds messages as text among plain prompts: kept as they are.',
    );
  });

  it('a broken one among plain ones is a text, too', async () => {
    const { items } = await report('x.csv', `prompt\nplain\n${cell('[{"role": "user", cut')}\n`);
    expect(items).toHaveLength(2);
  });

  it('are chats where all of them are, and that is said', async () => {
    const { items, warnings } = await report(
      'x.csv',
      `prompt\n${cell(chat)}\n${cell(chat.replace('inner', 'other'))}\n`,
    );
    expect(items.map(({ prompt }) => prompt)).toEqual(['inner', 'other']);
    expect(warnings.first[0]!.message).toContain('holds chats as text');
  });
});

describe('a quote in a file with tabs', () => {
  it('that swallows tabs and line ends is named by row', async () => {
    const text = 'prompt\tlabel\na\tsafe\n"b\tsafe\nc"\tunsafe\nd\tsafe\n';
    const { warnings } = await report('x.tsv', text);
    expect(warnings.first[0]!.message).toMatch(/^Row 3: a cell in quotes holds tabs and line ends/);
  });

  it('is nothing to speak of with one of both, or in a file with commas', async () => {
    for (const [name, text] of [
      ['x.tsv', 'prompt\tlabel\n"a\tb"\tsafe\n"c\nd"\tunsafe\n'],
      ['x.csv', 'prompt,label\n"a,\nb",safe\n'],
    ] as const) {
      expect((await report(name, text)).warnings.total, name).toBe(0);
    }
  });
});

it('lists inside cells are bounded over the whole file', async () => {
  const list = `"[${'1, '.repeat(20_000)}1]"`;
  const text = `prompt,categories\n${Array.from({ length: 250 }, (_, i) => `p${i},${list}\n`).join('')}`;
  const table = await read('x.csv', text, {}, 2 ** 16);
  const { plan } = recognise(table)[0]!;
  const mapping = { ...plan.mapping, category: 'categories' };
  const error = await failure(() =>
    importPrompts(table, { ...plan, mapping, labels: { kind: 'all', label: 'benign' } }),
  );
  expect(error.code).toBe('too-many-values');
});
