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
    const shared = Array.from({ length: 250 }, (_, i) => `"label${i}":"x"`).join(',');
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

  it('are refused for too many rows before any is made, and lists alone as soon', async () => {
    const shared = Array.from({ length: 250 }, (_, i) => `"label${i}":1`).join(',');
    for (const beside of [shared, '"label":"safe"']) {
      const text = `{${beside},"prompts":[${'"a",'.repeat(600_000 - 1)}"a"]}`;
      const took = await timeOf(async () => {
        const error = await failure(read('x.json', text, {}, 2 ** 16));
        expect(error.code).toBe('too-many-rows');
      });
      expect(took).toBeLessThan(3000);
    }
  });

  it('and all that is laid out by column count for the rows that are taken, no others', async () => {
    const cells = (n: number, cell = '"a"') => `[${Array(n).fill(cell).join(',')}]`;
    const byIndex = (n: number, start = 0) =>
      JSON.stringify(Object.fromEntries(Array.from({ length: n }, (_, i) => [start + i, 'a'])));
    const limits = { values: 100, rows: 10 };
    for (const text of [
      `{"label":"safe","prompts":${cells(60)}}`,
      `{"prompt":${byIndex(30)},"b":${byIndex(30, 30)}}`,
      `{"columns":["prompt"],"data":${cells(40, '["a"]')}}`,
    ]) {
      expect((await read('x.json', text, { take: 5, limits })).rows, text).toHaveLength(5);
      expect((await read('x.json', text, { take: 5, limits })).more, text).toBe(true);
      expect((await failure(read('x.json', text, { limits }))).code, text).toMatch(/^too-many-/);
    }
  });

  it('are no longer in all than a file may be', async () => {
    const text = (rows: number) =>
      `{"category":"${'c'.repeat(60_000)}","prompts":[${'"a",'.repeat(rows - 1)}"a"]}`;
    const error = await failure(read('x.json', text(2000), {}, 2 ** 16));
    expect(error).toMatchObject({ code: 'too-large', column: 'category' });
    expect((await read('x.json', text(1000), {}, 2 ** 16)).rows).toHaveLength(1000);
    expect((await read('x.json', text(2000), { take: 3 }, 2 ** 16)).rows).toHaveLength(3);
  });
});

describe('a name that stands twice in one object', () => {
  it.each([
    ['x.jsonl', '{"prompt":"a"}\n{"prompt":"b","prompt":"c"}\n', 'Line 2: “prompt” stands twice'],
    ['x.json', '[{"prompt":"a","label":"safe","label":"unsafe"}]', 'Record 1: “label” stands'],
    ['x.json', '{"prompts":["a"],"prompts":["b"]}', 'The file: “prompts” stands twice'],
    ['x.json', '[{"messages":[{"role":"user","content":"a","content":"b"}]}]', '“content” stands'],
    ['x.jsonl', '{"a":1}\n{"pr\\u006fmpt":"b","prompt":"c"}\n', '“prompt” stands twice'],
    ['x.json', `[{"prompt"${' '.repeat(50)}:"a","prompt"\n\n\n:"b"}]`, '“prompt” stands twice'],
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

  it('is said of the row where a cell spells the object out', async () => {
    const cell = (text: string) => `"${text.replaceAll('"', '""')}"`;
    const good = '[{"role":"user","content":"p"}]';
    for (const doubled of [
      '[{"role":"user","content":"a","content":"b"}]',
      "[{'role': 'user', 'content': 'a', 'content': 'b'}]",
    ]) {
      for (const column of ['prompt', 'messages']) {
        const { items, errors } = await report(
          'x.csv',
          `${column}\n${cell(good)}\n${cell(doubled)}\n`,
        );
        expect(items.map(({ prompt }) => prompt)).toEqual(['p']);
        expect(errors.first[0]!.message).toBe(
          `Row 3, column “${column}”: holds an object with the name “content” twice.`,
        );
      }
    }
    const categories = `prompt,category\na,"{'x': True, 'x': False}"\n`;
    expect((await report('x.csv', categories)).errors.first[0]!.message).toContain('“x” twice');
    // What is no chat is text, whatever it spells.
    const plain = await report('x.csv', `prompt\nWhat is this?\n${cell('{"a":1,"a":2}')}\n`);
    expect(plain.items.map(({ prompt }) => prompt)).toEqual(['What is this?', '{"a":1,"a":2}']);
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

  it('are texts where no number is so large', () => {
    expect(parseJson('[1e308, 1e400, -2E+999, 1e401]')).toEqual([
      1e308,
      '1e400',
      '-2E+999',
      '1e401',
    ]);
  });

  it('keep their digits in lists inside cells, too', async () => {
    const [a, b] = ids;
    const lists = [`[${a}, ${b}]`, `['${a}', ${b}, -0.5, 12]`, `array([${b}])`];
    const text = `prompt,category\n${lists.map((list, i) => `p${i},"${list}"\n`).join('')}`;
    const { items } = await report('x.csv', text);
    expect(items.map(({ category }) => category)).toEqual([
      `${a}; ${b}`,
      `${a}; ${b}; -0.5; 12`,
      b,
    ]);
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

  it('in a column of lists are read as such, and plain ones among them are named', async () => {
    const rows = `${cell('["first","second"]')}\nplain\n`;
    const { items, warnings } = await report('x.csv', `turns\n${rows}`);
    expect(items.map(({ prompt }) => prompt)).toEqual(['first', 'plain']);
    expect(warnings.first.map(({ message }) => message)).toContain(
      'The column “turns” holds lists or chats as text in 1 row, whose first message is the prompt, ' +
        'and in 1 row plain texts, which are prompts as they are.',
    );
    const alike = await report('x.csv', `turns\n${cell('["first","second"]')}\n`);
    expect(alike.warnings.first.map(({ code }) => code)).not.toContain('file-note');
  });
});

describe('a quote in a file with tabs', () => {
  it('that swallows tabs and line ends is named by row', async () => {
    const text = 'prompt\tlabel\na\tsafe\n"b\tsafe\nc"\tunsafe\nd\tsafe\n';
    const { warnings } = await report('x.tsv', text);
    expect(warnings.first[0]!.message).toMatch(/^Row 3: a cell in quotes holds tabs and line ends/);
  });

  it('is named, too, where only the first rows are read', async () => {
    const text = 'prompt\tlabel\n"b\tsafe\nc"\tunsafe\nd\tsafe\ne\tsafe\n';
    const table = await read('x.tsv', text, { take: 2 }, 4096);
    expect(table.notes.join()).toMatch(/^Row 2: a cell in quotes holds tabs and line ends/);
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

describe('lists inside cells', () => {
  const tooMany = async (column: string, list: string, rows: number) => {
    const cells = Array.from({ length: rows }, (_, i) => `p${i},"${list}"\n`).join('');
    const table = await read('x.csv', `prompt,${column}\n${cells}`, {}, 2 ** 16);
    const { plan } = recognise(table)[0]!;
    const mapping = { ...plan.mapping, category: column };
    return () =>
      importPrompts(table, { ...plan, mapping, labels: { kind: 'all', label: 'benign' } });
  };

  it.each([
    ['in JSON', `[${'1, '.repeat(20_000)}1]`],
    ['as numpy prints them', `[${'1 '.repeat(20_000)}1]`],
    ['as pandas does', `array([${'1\n '.repeat(20_000)}1])`],
  ])('%s are bounded over the whole file', async (_, list) => {
    const error = await failure(await tooMany('categories', list, 250));
    expect(error.code).toBe('too-many-values');
  });

  it('are counted as they are, not by the commas of their texts', async () => {
    const list = `['${'a, '.repeat(20_000)}']`;
    expect((await tooMany('categories', list, 250))().items).toHaveLength(250);
  });
});

it('a label that stands once beside a list of records is named as unread', async () => {
  const records = '[{"prompt":"a"},{"prompt":"b"}]';
  for (const text of [
    `{"label":"harmful","version":2,"data":${records}}`,
    `{"label":"harmful","set":{"rows":${records}}}`,
  ]) {
    const { warnings } = await report('x.json', text);
    expect(warnings.first.map(({ message }) => message)).toContain(
      'Besides the rows, the file holds “label”: not read.',
    );
  }
});
