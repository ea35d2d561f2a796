import { describe, expect, it } from 'vitest';
import { importAll, importPrompts } from './import';
import { type ImportPlan, NO_COLUMNS } from './plan';
import { recognise } from './recognise';
import { failure, load, read } from './testing';

const planOf = (over: Partial<ImportPlan> = {}): ImportPlan => ({
  layout: 'generic',
  mapping: { ...NO_COLUMNS, prompt: 'prompt' },
  labels: { kind: 'all', label: 'benign' },
  template: '{prompt}',
  contextTemplate: '{prompt}\n{context}',
  repeats: 'keep',
  ...over,
});

describe('rows that cannot be used', () => {
  const text = [
    'id,prompt,label',
    'a,Good day,benign',
    'b,,benign',
    ',,',
    'c,"Good\nnight",odd',
    'a,Good evening,benign',
    'd,   ,benign',
    'e,Good day,harmful',
    'f,Farewell,',
    '',
  ].join('\n');

  it('are named by row and column, and left out', async () => {
    const table = await read('x.csv', text);
    const { items, errors, warnings, counts } = importPrompts(table, recognise(table)[0]!.plan);
    expect(items.map(({ id }) => id)).toEqual(['a', 'e']);
    expect(errors.total).toBe(5);
    expect(errors.first.map(({ code, row, column }) => [code, row, column])).toEqual([
      ['empty-prompt', 3, 'prompt'],
      ['unknown-label', 5, 'label'],
      ['duplicate-id', 6, 'id'],
      ['empty-prompt', 7, 'prompt'],
      ['unknown-label', 9, 'label'],
    ]);
    expect(errors.first.map(({ message }) => message)).toEqual([
      'Row 3, column “prompt”: the prompt is empty.',
      expect.stringMatching(/^Row 5, column “label”: “odd” is none of the labels harmful, /),
      'Row 6 (line 7), column “id”: the id “a” is that of row 2.',
      'Row 7 (line 8), column “prompt”: the prompt is empty.',
      'Row 9 (line 10), column “label”: the label is empty.',
    ]);
    expect(warnings.first.map(({ message }) => message)).toEqual([
      '1 empty row was left out.',
      'Row 8 (line 9), column “prompt”: the same prompt as in row 2, under another label.',
    ]);
    expect(counts).toEqual({
      labels: { harmful: 1, borderline: 0, benign: 1 },
      categories: {},
      styles: {},
    });
  });

  it('make the whole file fail where all of it is asked for', async () => {
    const error = await failure(load('x.csv', text));
    expect(error).toMatchObject({ code: 'bad-rows', row: 3, column: 'prompt' });
    expect(error.message).toContain('Row 3, column “prompt”: the prompt is empty. Row 5, ');
  });

  it('are listed up to a limit and counted beyond it', async () => {
    const table = await read('x.csv', `id,prompt\n${'a,\n'.repeat(250)}`, {}, 64);
    const report = importPrompts(table, planOf());
    expect(report.errors.total).toBe(250);
    expect(report.errors.first).toHaveLength(100);
    expect((await failure(() => importAll(table, planOf()))).message).toContain('And 245 more.');
  });

  it('never show their prompts', async () => {
    const rows = ['Marzipan,odd', '"Marzipan, again",odd', 'Marzipan,benign', 'Marzipan,benign'];
    const table = await read('x.csv', `prompt,label\n${rows.join('\n')}\n`);
    const { errors, warnings } = importPrompts(table, recognise(table)[0]!.plan);
    expect([errors.total, warnings.total]).toEqual([2, 1]);
    expect(JSON.stringify([errors, warnings])).not.toContain('Marzipan');
  });

  it.each<[string, string, object]>([
    ['a prompt beyond the limit', `{"prompt":"${'a'.repeat(4001)}"}`, { code: 'long-prompt' }],
    ['half a character', '{"prompt":"a\\ud83d"}', { code: 'broken-text' }],
    ['an object', '{"prompt":{"a":"b"}}', { code: 'not-a-text' }],
    ['a list of lists', '{"prompt":[["a"]]}', { code: 'not-a-text' }],
    ['an empty list', '{"prompt":[],"b":1}', { code: 'empty-prompt' }],
  ])('%s', async (_, text, problem) => {
    const table = await read('x.jsonl', `${text}\n{"prompt":"b"}`);
    expect(importPrompts(table, planOf()).errors.first).toMatchObject([
      { ...problem, row: 1, column: 'prompt' },
    ]);
  });

  it('with a number that is none have no label', async () => {
    const table = await read('x.csv', 'prompt,a,b\nx,1,2\ny,,9\nz,3,4\nw,two,9\n');
    const labels = {
      ...{ kind: 'above' as const, columns: ['a', 'b'], threshold: 3 },
      ...{ above: 'harmful' as const, otherwise: 'benign' as const },
    };
    const { items, errors } = importPrompts(table, planOf({ labels }));
    expect(items.map(({ label }) => label)).toEqual(['benign', 'harmful']);
    expect(errors.first).toMatchObject([
      { row: 3, column: 'a' },
      { row: 5, column: 'a' },
    ]);
  });
});

it('an id that comes again can be renamed, and is reported', async () => {
  const table = await read('x.csv', 'id,prompt\na,1\na,2\na-2,3\na,4\n');
  const plan = planOf({ mapping: { ...NO_COLUMNS, prompt: 'prompt', id: 'id' } });
  const { items, errors, warnings } = importPrompts(table, plan, { duplicateIds: 'rename' });
  expect(errors.total).toBe(0);
  expect(items.map(({ id }) => id)).toEqual(['a', 'a-2', 'a-2-2', 'a-3']);
  expect(warnings.first[0]!.message).toBe(
    'Row 3, column “id”: the id “a” is that of row 2; renamed to “a-2”.',
  );
});

describe('a mapping', () => {
  const text = '{"x":"Good day","y":"Write it down.","z":"unsafe","constructor":"k"}';

  it('can be corrected and applied again', async () => {
    const table = await read('x.jsonl', text);
    const plan = planOf({
      mapping: { ...NO_COLUMNS, prompt: 'y', context: 'x', label: 'z', category: 'constructor' },
      labels: { kind: 'values', values: { unsafe: 'harmful' } },
      contextTemplate: '{context} {prompt}',
    });
    expect(importPrompts(table, plan).items).toEqual([
      {
        ...{ id: 'generic-1', prompt: 'Good day Write it down.', label: 'harmful' },
        ...{ intent: 'Good day Write it down.', category: 'k' },
      },
    ]);
    expect(JSON.parse(JSON.stringify(plan))).toEqual(plan);
  });

  it('takes no label from what every object has', async () => {
    const table = await read('x.csv', 'prompt,label\na,constructor\nb,benign\n');
    const { errors } = importPrompts(table, recognise(table)[0]!.plan);
    expect(errors.first).toMatchObject([{ code: 'unknown-label' }]);
  });

  it.each<[string, Partial<ImportPlan>, string, string]>([
    [
      'a column that is not there',
      { mapping: { ...NO_COLUMNS, prompt: 'prompt', style: 'q' } },
      'missing-column',
      '“q”, which style',
    ],
    [
      'labels from a column that is not there',
      {
        labels: {
          kind: 'above',
          columns: ['q'],
          threshold: 1,
          above: 'harmful',
          otherwise: 'benign',
        },
      },
      'missing-column',
      '“q”, which the labels',
    ],
    ['no labels', { labels: null }, 'bad-plan', 'Choose a label'],
    ['labels from no column', { labels: { kind: 'values', values: {} } }, 'bad-plan', 'none is'],
    ['a template without a prompt', { template: 'Go on' }, 'bad-plan', '{prompt}'],
    ['a template without a context', { contextTemplate: '{prompt}' }, 'bad-plan', '{context}'],
  ])('with %s is refused', async (_, over, code, message) => {
    const table = await read('x.csv', 'prompt,label\na,benign\n');
    const error = await failure(() => importPrompts(table, planOf(over)));
    expect(error.code).toBe(code);
    expect(error.message).toContain(message);
  });
});

it('a file of empty rows only has no prompts', async () => {
  expect(await failure(load('x.csv', 'prompt,label\n,\n\n'))).toMatchObject({ code: 'empty-file' });
});

it('first rows only are reported', async () => {
  const table = await read('x.csv', 'prompt\na\nb\nc\n', { take: 2 });
  const { items, warnings } = importPrompts(table, planOf());
  expect(items).toHaveLength(2);
  expect(warnings.first[0]!.message).toBe('Only the first 2 rows were read.');
});
