/** Hostile sizes: what a file costs grows with its bytes, and what costs more is refused in a sentence. */
import { describe, expect, it } from 'vitest';
import { expectEvenGrowth, timeOf } from '../growth.testing';
import { CellError, promptOf } from './cells';
import { importPrompts } from './import';
import { type ImportPlan, NO_COLUMNS } from './plan';
import { parsePython } from './python-literal';
import { recognise } from './recognise';
import { failure, read } from './testing';
import { DEFAULT_LIMITS } from './types';

const PIECE = 2 ** 14;
/** Far above what any of these takes, far below what they took. */
const MOST_MS = 6000;

const plan = (over: Partial<ImportPlan> = {}): ImportPlan => ({
  layout: 'generic',
  mapping: { ...NO_COLUMNS, prompt: 'prompt' },
  labels: { kind: 'all', label: 'benign' },
  template: '{prompt}',
  contextTemplate: '{prompt}\n{context}',
  repeats: 'keep',
  ...over,
});

const repeat = (n: number, row: (i: number) => string) =>
  Array.from({ length: n }, (_, i) => row(i)).join('');
const reading = (name: string, text: string) => () => read(name, text, {}, PIECE);
const attempt = (name: string, text: string) => () => read(name, text, {}, PIECE).catch(() => null);

function prompt(cell: string) {
  try {
    promptOf(cell, 'turns');
  } catch (error) {
    if (!(error instanceof CellError)) throw error;
  }
}

/** Of work on one cell, which its limit keeps short. */
const often = (work: () => unknown) => () => {
  for (let i = 0; i < 20; i++) work();
};

describe('time doubles with the size of', () => {
  it.each<[string, number, (n: number) => () => unknown]>([
    [
      'CSV',
      7500,
      (n) => reading('x.csv', `id,prompt\n${repeat(n, (i) => `${i},"a ""b"" ${i}"\n`)}`),
    ],
    ['rows without content', 100_000, (n) => reading('x.csv', `prompt,a\nx,y\n${',\n'.repeat(n)}`)],
    [
      'quotes in cells',
      150,
      (n) => reading('x.csv', `a,b\n${`"${'""'.repeat(2000)}",b\n`.repeat(n)}`),
    ],
    ['a header over lines', 5000, (n) => attempt('x', `"${'a\n'.repeat(n)}";b\n`)],
    [
      'JSONL',
      7500,
      (n) =>
        reading(
          'x',
          repeat(n, (i) => `{"id":${i},"prompt":"a ${i}"}\n`),
        ),
    ],
    [
      'blank lines in JSONL',
      1_000_000,
      (n) => reading('x', `{"prompt":"a"}\n{"prompt":"b"}${'\n'.repeat(n)}`),
    ],
    [
      'a JSON list',
      5000,
      (n) => reading('x', `[${repeat(n, (i) => `{"id":${i},"prompt":"${i}"},`)}{}]`),
    ],
    ['a JSON list in one line', 7500, (n) => reading('x', `[${repeat(n, () => '{"a":1},')}{}]`)],
    ['an object and blanks', 2_000_000, (n) => attempt('x', `{}${'\n'.repeat(n)}`)],
    [
      'an object over lines',
      7500,
      (n) => reading('x', `{\n"prompt":[${repeat(n, (i) => `"${i}",\n`)}"a"]}`),
    ],
    [
      'columns by index',
      1500,
      (n) => {
        const cells = JSON.stringify(
          Object.fromEntries(Array.from({ length: n }, (_, i) => [i, 'a'])),
        );
        return reading('x', `{${repeat(8, (i) => `"c${i}":${cells},`)}"prompt":${cells}}`);
      },
    ],
    [
      'rows by index',
      2500,
      (n) => reading('x', `{${repeat(n, (i) => `"${i + 1}":{"prompt":"a"},`)}"0":{"prompt":"b"}}`),
    ],
    [
      'chats by row',
      5000,
      (n) => reading('x.csv', `chat_id,role,content\n${repeat(n, (i) => `${i >> 1},user,a\n`)}`),
    ],
    ['blanks in front', 200_000, (n) => reading('x.csv', `${'\n'.repeat(n)}prompt,a\nb,c\n`)],
    [
      'Python',
      500,
      (n) => often(() => parsePython(`[${repeat(n, (i) => `{'a': '${i}', 'b': None} `)}]`)),
    ],
    ['Python’s strings', 7500, (n) => often(() => parsePython(`'${'\\n'.repeat(n)}'`))],
    ['unclosed Python', 4000, (n) => often(() => parsePython(`[${"'a' ".repeat(n)}`))],
    ['brackets in cells', 7500, (n) => often(() => prompt(`[${'] '.repeat(n)}x]`))],
    ['blanks in cells', 15_000, (n) => often(() => prompt(`[${' '.repeat(n)}x]`))],
  ])('%s', async (_, size, work) => {
    await expectEvenGrowth(size, work);
  });

  it('one id in every row, renamed', async () => {
    const ofSize = async (n: number) => {
      const table = await read('x.csv', `id,prompt\n${repeat(n, (i) => `a,${i}\n`)}`, {}, PIECE);
      const ids = plan({ mapping: { ...NO_COLUMNS, prompt: 'prompt', id: 'id' } });
      return () => importPrompts(table, ids, { duplicateIds: 'rename' });
    };
    await expectEvenGrowth(5000, ofSize);
    const report = (await ofSize(100_000))() as ReturnType<typeof importPrompts>;
    expect(new Set(report.items.map(({ id }) => id)).size).toBe(100_000);
  });

  it('one prompt under many categories', async () => {
    const ofSize = async (n: number) => {
      const rows = repeat(n, (i) => `a,b,c${i},false\n`);
      const table = await read('x.csv', `prompt,response,category,is_safe\n${rows}`, {}, PIECE);
      const [{ plan: beavertails }] = recognise(table) as [ReturnType<typeof recognise>[0]];
      return () => importPrompts(table, beavertails);
    };
    await expectEvenGrowth(5000, ofSize);
    const { items } = (await ofSize(1000))() as ReturnType<typeof importPrompts>;
    expect(items[0]!.category!.split('; ')).toHaveLength(1000);
  });

  it('a table to be recognised', async () => {
    const ofSize = async (n: number) => {
      const rows = repeat(n, (i) => `a,homonyms,l${i},k${i},n\n`);
      const table = await read('x.csv', `prompt,type,label,class,note\n${rows}`, {}, PIECE);
      return () => recognise(table);
    };
    await expectEvenGrowth(7500, ofSize);
  });
});

describe('refused in a sentence, soon, and before it takes memory', () => {
  const wide = `${JSON.stringify(Object.fromEntries(Array.from({ length: 256 }, (_, i) => [`c${i}`, 1])))}\n`;
  const deep = '['.repeat(100_000);

  it.each<[string, () => string, string]>([
    [
      '8,000 columns of one row each',
      () => `{${repeat(8000, (i) => `"c${i}":{"${i}":1},`)}"c":{"0":1}}`,
      'too-many-columns',
    ],
    [
      'columns of rows of their own',
      () =>
        `{${repeat(250, (i) => `"c${i}":${JSON.stringify(Object.fromEntries(Array.from({ length: 500 }, (_, k) => [i * 500 + k, 1])))},`)}"c":{"0":1}}`,
      'too-many-values',
    ],
    [
      'rows that are nearly all padding',
      () => wide + '{"c255":1}\n'.repeat(99_000),
      'too-many-values',
    ],
    ['nested lists in a line', () => `{"prompt":${deep}\n{"prompt":"a"}`, 'too-deep'],
    [
      'nested lists in a list',
      () => `[{"prompt":"a"},${deep.slice(0, 1000)}${']'.repeat(1000)}]`,
      'too-deep',
    ],
    ['nested lists in an object', () => `{\n"prompt":${deep}`, 'too-deep'],
    ['nested objects', () => `${'{"a":'.repeat(50_000)}1${'}'.repeat(50_000)}`, 'too-deep'],
    ['millions of empty lists', () => `{"a":[${'[],'.repeat(5_000_000)}[]]}`, 'too-many-values'],
    [
      'millions of empty lists in rows',
      () => `{"a":[${'[],'.repeat(300_000)}[]]}\n`.repeat(20),
      'too-many-values',
    ],
    ['60 million blanks', () => ' '.repeat(60e6), 'empty-file'],
    ['60 million line ends', () => '\n'.repeat(60e6), 'empty-file'],
    ['60 million line ends after a row', () => `a,b\n${'\n'.repeat(60e6)}`, 'too-many-rows'],
    ['an object and 60 million line ends', () => `{}${'\n'.repeat(60e6)}`, 'empty-file'],
    [
      '60 million line ends after a JSON row',
      () => `{"a":1}\n{"b"${'\n'.repeat(60e6)}`,
      'not-json',
    ],
  ])('%s', async (_, make, code) => {
    const text = make();
    let error: Awaited<ReturnType<typeof failure>> | null = null;
    const took = await timeOf(async () => {
      error = await failure(read('set', text, {}, PIECE));
    });
    expect(error).toMatchObject({ code });
    expect(error!.message).toMatch(/[.?]$/);
    expect(took).toBeLessThan(MOST_MS);
  });

  it('limits hold just as they are said', async () => {
    const limits = { ...DEFAULT_LIMITS, values: 6, depth: 2, emptyRows: 1 };
    expect((await read('x.csv', 'a,b\n1,2\n3,4\n5,6\n', { limits })).rows).toHaveLength(3);
    expect(await failure(read('x.csv', 'a,b\n1,2\n3,4\n5,6\n7,8\n', { limits }))).toMatchObject({
      code: 'too-many-values',
      row: 5,
    });
    expect((await read('x', '{"a":[1]}\n{"a":1}', { limits })).rows).toHaveLength(2);
    expect(await failure(read('x', '{"a":1}\n{"a":[[1]]}', { limits }))).toMatchObject({
      code: 'too-deep',
      row: 2,
    });
    expect(await failure(read('x.csv', 'a,b\n,\n,\n1,2\n', { limits }))).toMatchObject({ row: 3 });
  });
});

it.each([
  "{'a': ",
  '[1',
  "'a",
  "'\\x4'",
  "'\\U00200000'",
  '{[1]: 2}',
  'list()',
  '['.repeat(1000),
  '1 2',
  '',
])('is no Python: %j', (text) => {
  expect(parsePython(text)).toBeUndefined();
});

it.each<[string, unknown]>([
  ["{'a': (1, -2.5e3, True, None)}", { a: [1, -2500, true, null] }],
  ['["it\'s", u"x"]', undefined],
  ["['\\'', \"\\\"\", '\\x41\\u00e9\\U0001f642\\q']", ["'", '"', 'Aé🙂\\q']],
  ["array(['a',\n 'b'], dtype='<U1')", undefined],
  ["array(['a',\n 'b'], dtype=object)", ['a', 'b']],
  ["{'__proto__': 1}", JSON.parse('{"__proto__":1}')],
])('Python %s', (text, value) => {
  expect(parsePython(text)).toEqual(value);
});
