import { describe, expect, it } from 'vitest';
import { importPrompts } from './import';
import { type ImportPlan } from './plan';
import { recognise } from './recognise';
import { failure, load, read } from './testing';
import type { PromptLabel } from './types';
import { writeCsv } from './write';

type Cell = string | number | boolean | null;

interface Example {
  layout: ImportPlan['layout'];
  name?: string;
  columns: string[];
  rows: Cell[][];
  /** What the set's own prompts are, where its columns say nothing: a person is asked. */
  asked?: PromptLabel | null;
  expected: object[];
}

/** The columns are the sets' own; the texts say nothing. */
const examples: Example[] = [
  {
    layout: 'harmbench',
    columns: [
      ...['Behavior', 'FunctionalCategory', 'SemanticCategory', 'Tags', 'ContextString'],
      'BehaviorID',
    ],
    rows: [
      ['Do the thing', 'standard', 'illegal', '', '', 'do_thing'],
      [
        'Use the text',
        'contextual',
        'harmful',
        'context',
        'Some $& text\nof two lines',
        'use_text',
      ],
    ],
    expected: [
      {
        ...{ id: 'do_thing', prompt: 'Do the thing', intent: 'Do the thing', label: 'harmful' },
        ...{ category: 'illegal', style: 'standard' },
      },
      {
        ...{ id: 'use_text', intent: 'Use the text', label: 'harmful' },
        prompt: 'Some $& text\nof two lines\n\n---\n\nUse the text',
        ...{ category: 'harmful', style: 'contextual' },
      },
    ],
  },
  {
    layout: 'xstest',
    columns: ['id', 'prompt', 'type', 'label', 'focus', 'note'],
    rows: [
      [1, 'How to stop a clock?', 'homonyms', 'safe', 'stop', ''],
      [2, 'How to break a clock?', 'contrast_homonyms', 'unsafe', 'break', ''],
    ],
    expected: [
      { id: '1', label: 'borderline', style: 'homonyms' },
      { id: '2', label: 'harmful', style: 'contrast_homonyms' },
    ],
  },
  {
    layout: 'xstest',
    columns: ['id', 'type', 'prompt', 'focus', 'note'],
    rows: [
      [1, 'definitions', 'What is a clock?', 'clock', ''],
      [2, 'contrast_definitions', 'How to break a clock?', 'clock', ''],
    ],
    expected: [{ label: 'borderline' }, { label: 'harmful' }],
  },
  {
    layout: 'jailbreakbench',
    name: 'harmful-behaviors.csv',
    columns: ['Index', 'Goal', 'Target', 'Behavior', 'Category', 'Source'],
    rows: [[0, 'Do the thing', 'Sure, the thing', 'A thing', 'Privacy', 'Original']],
    expected: [
      {
        ...{ id: '0', prompt: 'Do the thing', intent: 'A thing', label: 'harmful' },
        ...{ category: 'Privacy', style: 'Original' },
      },
    ],
  },
  {
    layout: 'jailbreakbench',
    name: 'benign-behaviors.csv',
    columns: ['Index', 'Goal', 'Target', 'Behavior', 'Category', 'Source'],
    rows: [[0, 'Name the thing', 'Sure, the thing', 'A thing', 'Privacy', 'Original']],
    expected: [{ label: 'borderline' }],
  },
  {
    layout: 'jailbreakbench',
    asked: null,
    columns: ['', 'Goal', 'Target', 'Behavior', 'Category', 'Source'],
    rows: [[0, 'Do the thing', 'Sure, the thing', 'A thing', 'Privacy', 'Original']],
    expected: [{ id: 'jailbreakbench-2', label: 'harmful' }],
  },
  {
    layout: 'advbench',
    asked: 'harmful',
    columns: ['goal', 'target'],
    rows: [['Do the thing', 'Sure, here is the thing']],
    expected: [
      { id: 'advbench-2', prompt: 'Do the thing', intent: 'Do the thing', label: 'harmful' },
    ],
  },
  {
    layout: 'strongreject',
    columns: ['category', 'source', 'forbidden_prompt'],
    rows: [['Violence', 'custom', 'Do the thing']],
    expected: [{ prompt: 'Do the thing', category: 'Violence', style: 'custom', label: 'harmful' }],
  },
  {
    layout: 'simplesafetytests',
    columns: ['id', 'harm_area', 'counter', 'category', 'prompts_final'],
    rows: [['A_1', 'Scams and fraud', 1, 'Instructions', 'Do the thing']],
    expected: [{ id: 'A_1', category: 'Scams and fraud', style: 'Instructions', label: 'harmful' }],
  },
  {
    layout: 'simplesafetytests',
    columns: ['id', 'prompt', 'harm_area', 'counter', 'category'],
    rows: [['A_1', 'Do the thing', 'Scams and fraud', 1, 'Instructions']],
    expected: [{ id: 'A_1', prompt: 'Do the thing', category: 'Scams and fraud' }],
  },
  {
    layout: 'do-not-answer',
    columns: [
      ...['id', 'risk_area', 'types_of_harm', 'specific_harms', 'question', 'GPT4_response'],
      ...['GPT4_harmful', 'GPT4_action', 'ChatGPT_response', 'ChatGPT_harmful'],
    ],
    rows: [[7, 'Information Hazards', 'Leaks', 'Of a firm', 'What is it?', 'No', 0, 1, 'No', 0]],
    expected: [
      {
        ...{ id: '7', prompt: 'What is it?', label: 'harmful', category: 'Information Hazards' },
        style: 'Leaks',
      },
    ],
  },
  {
    layout: 'beavertails-evaluation',
    columns: ['prompt', 'category', 'category_id'],
    rows: [['Do the thing', 'privacy_violation', 9]],
    expected: [{ prompt: 'Do the thing', category: 'privacy_violation', label: 'harmful' }],
  },
  {
    layout: 'toxigen',
    columns: [
      ...['text', 'target_group', 'factual?', 'ingroup_effect', 'lewd', 'framing'],
      ...['predicted_group', 'stereotyping', 'intent', 'toxicity_ai', 'toxicity_human'],
      ...['predicted_author', 'actual_method'],
    ],
    rows: [
      ['some words', 'teachers', 'f', 'g', 'l', 'r', 'p', 's', 1, 3, 2.5, 'human', 'top-k'],
      ['other words', 'teachers', 'f', 'g', 'l', 'r', 'p', 's', 1, 3, 2.6, 'human', 'alice'],
    ],
    expected: [
      {
        ...{ prompt: 'Continue this text: some words', label: 'borderline', category: 'teachers' },
        style: 'top-k',
      },
      { prompt: 'Continue this text: other words', label: 'harmful', style: 'alice' },
    ],
  },
  {
    layout: 'toxigen-generations',
    columns: [
      ...['prompt', 'generation', 'generation_method', 'group', 'prompt_label'],
      'roberta_prediction',
    ],
    rows: [
      ['- a\\n- b', 'some words', 'top-k', 'teachers', 1, 0.9],
      ['- a\\n- b', 'other words', 'top-k', 'teachers', 0, 0.9],
    ],
    expected: [
      { prompt: 'Continue this text: some words', label: 'harmful', category: 'teachers' },
      { label: 'borderline' },
    ],
  },
  {
    layout: 'alpaca',
    asked: 'benign',
    columns: ['instruction', 'input', 'output'],
    rows: [
      ['Name a colour.', '', 'Blue'],
      ['Shorten this.', 'A long text', 'Text'],
    ],
    expected: [
      { id: 'alpaca-2', prompt: 'Name a colour.', label: 'harmful' },
      { prompt: 'Shorten this.\n\nA long text' },
    ],
  },
  {
    layout: 'dolly',
    columns: ['instruction', 'context', 'response', 'category'],
    rows: [
      ['When was it?', 'It was in 1900.', 'In 1900', 'closed_qa'],
      ['Name a colour.', '', 'Blue', 'open_qa'],
    ],
    expected: [
      { prompt: 'When was it?\n\nIt was in 1900.', category: 'closed_qa', label: 'benign' },
      { prompt: 'Name a colour.', category: 'open_qa' },
    ],
  },
  {
    layout: 'retort',
    columns: ['id', 'prompt', 'label', 'intent', 'category', 'style', 'wrapper', 'answer'],
    rows: [['a', 'What is 1 + 1?', 'benign', 'sum', 'school', 'plain', 'none', '2']],
    expected: [
      {
        ...{ id: 'a', prompt: 'What is 1 + 1?', label: 'benign', intent: 'sum' },
        ...{ category: 'school', style: 'plain', wrapper: 'none', answer: '2' },
      },
    ],
  },
  {
    layout: 'generic',
    columns: ['Question', 'Label'],
    rows: [
      ['Where is north?', 'Safe'],
      ['Do the thing', ' UNSAFE'],
    ],
    expected: [
      { id: 'generic-2', prompt: 'Where is north?', label: 'benign' },
      { label: 'harmful' },
    ],
  },
];

const forms = (
  columns: string[],
  rows: Cell[][],
): { form: string; ending: string; text: string }[] => {
  const named = columns.map((name, i) => name || `column ${i + 1}`);
  const records = rows.map((row) => Object.fromEntries(named.map((name, i) => [name, row[i]])));
  const lists = Object.fromEntries(named.map((name, i) => [name, rows.map((row) => row[i])]));
  const csv = writeCsv([columns, ...rows]);
  return [
    { form: 'CSV', ending: 'csv', text: csv },
    { form: 'JSON', ending: 'json', text: JSON.stringify(records, null, 1) },
    { form: 'JSONL', ending: 'jsonl', text: records.map((r) => JSON.stringify(r)).join('\n') },
    { form: 'JSON by column', ending: 'json', text: JSON.stringify(lists) },
  ];
};

describe.each(examples)(
  '$layout ($columns)',
  ({ layout, name, columns, rows, asked, expected }) => {
    it.each(forms(columns, rows))('is recognised and read as $form', async ({ ending, text }) => {
      const file = (name ?? 'set.csv').replace(/\w+$/, ending);
      const [best, ...others] = recognise(await read(file, text));
      expect(best!.plan.layout).toBe(layout);
      expect(others.every(({ confidence }) => confidence < best!.confidence)).toBe(true);
      if (asked !== undefined) {
        expect(best).toMatchObject({ usual: asked, plan: { labels: null } });
        expect((await failure(load(file, text))).message).toContain('Choose a label');
      }
      const { items } = await load(file, text, asked === undefined ? {} : { label: 'harmful' });
      // Without ids of their own, prompts are named by their row, which a header moves by one.
      const wanted = expected.map((item) =>
        'id' in item && ending !== 'csv' && String(item.id).startsWith(`${layout}-`)
          ? { ...item, id: `${layout}-1` }
          : item,
      );
      expect(items).toMatchObject(wanted);
    });
  },
);

const tableOf = (columns: string[], rows: Cell[][]) => ({
  ...{ name: 'x.csv', columns },
  rows: rows.map((cells, i) => ({ row: i + 2, line: i + 2, cells })),
});

it('a set with just its own columns is certain', () => {
  for (const { layout, columns, rows } of examples) {
    if (['generic', 'do-not-answer'].includes(layout) || columns.includes('')) continue;
    const { confidence } = recognise(tableOf(columns, rows))[0]!;
    expect(confidence, layout).toBeGreaterThan(layout === 'xstest' ? 0.8 : 0.89);
  }
});

describe('BeaverTails', () => {
  const category = (...names: string[]) =>
    Object.fromEntries(
      ['animal_abuse', 'discrimination,stereotype,injustice', 'privacy_violation'].map((name) => [
        name,
        names.includes(name),
      ]),
    );
  const rows = [
    { prompt: 'Do it', response: 'a', category: category(), is_safe: true },
    { prompt: 'Ask it', response: 'b', category: category(), is_safe: true },
    {
      ...{ prompt: 'Do it', response: 'c', is_safe: false },
      category: category('privacy_violation', 'discrimination,stereotype,injustice'),
    },
    { prompt: 'Do it', response: 'd', category: category('animal_abuse'), is_safe: false },
  ];
  const expected = [
    {
      ...{ prompt: 'Do it', label: 'harmful' },
      category: 'discrimination,stereotype,injustice; privacy_violation; animal_abuse',
    },
    { prompt: 'Ask it', label: 'borderline' },
  ];
  const python = (value: object) =>
    JSON.stringify(value)
      .replaceAll('"', "'")
      .replaceAll(':true', ': True')
      .replaceAll(':false', ': False');
  const columns = ['prompt', 'response', 'category', 'is_safe'];
  it.each([
    ['jsonl', rows.map((row) => JSON.stringify(row)).join('\n')],
    ['json', JSON.stringify(rows)],
    [
      'csv',
      writeCsv([
        columns,
        ...rows.map((r) => [r.prompt, r.response, JSON.stringify(r.category), r.is_safe]),
      ]),
    ],
    [
      'csv',
      writeCsv([
        columns,
        ...rows.map((r) => [
          r.prompt,
          r.response,
          python(r.category),
          r.is_safe ? 'True' : 'False',
        ]),
      ]),
    ],
  ])('counts a prompt once, by its worst answer (%s)', async (ending, text) => {
    const table = await read(`x.${ending}`, text);
    const [best] = recognise(table);
    expect(best!.plan.layout).toBe('beavertails');
    const report = importPrompts(table, best!.plan);
    expect(report.items).toMatchObject(expected);
    expect(report.items[1]).not.toHaveProperty('category');
    expect(report.warnings.first).toMatchObject([{ code: 'merged-rows', row: null }]);
    expect(report.counts.labels).toEqual({ harmful: 1, borderline: 1, benign: 0 });
  });
});

describe('MT-Bench', () => {
  it('gives first turns, in CSV too', async () => {
    const record = { question_id: 81, category: 'writing', turns: ['Write "it".', 'Shorter.'] };
    const expected = [{ id: '81', prompt: 'Write "it".', category: 'writing', label: 'benign' }];
    expect((await load('x.jsonl', JSON.stringify(record))).items).toMatchObject(expected);
    const row = [81, 'writing', JSON.stringify(record.turns)];
    const csv = writeCsv([['question_id', 'category', 'turns'], row]);
    expect((await load('x.csv', csv)).items).toMatchObject(expected);
  });

  it('gives first turns of lists as Python prints them', async () => {
    const csv = writeCsv([
      ['question_id', 'category', 'turns'],
      [81, 'writing', "['It\\'s one', 'Two']"],
    ]);
    expect((await load('x.csv', csv)).items).toMatchObject([{ prompt: "It's one" }]);
  });

  it('refuses turns that are neither, by row', async () => {
    const csv = writeCsv([
      ['question_id', 'category', 'turns'],
      [81, 'writing', "['One', Two]"],
    ]);
    const error = await failure(load('x.csv', csv));
    expect(error).toMatchObject({ code: 'bad-rows', row: 2, column: 'turns' });
  });
});

it('the first user message of a conversation is a prompt', async () => {
  const messages = [
    { role: 'system', content: 'Be kind.' },
    { role: 'user', content: 'Good day' },
    { role: 'assistant', content: 'Hello' },
  ];
  const table = await read('x.jsonl', JSON.stringify({ messages }));
  const { plan } = recognise(table)[0]!;
  expect(plan).toMatchObject({ layout: 'generic', labels: null });
  expect((await failure(() => importPrompts(table, plan))).message).toContain('Choose a label');
  const chosen: ImportPlan = { ...plan, labels: { kind: 'all', label: 'benign' } };
  expect(importPrompts(table, chosen).items).toMatchObject([{ prompt: 'Good day' }]);
});

describe('a file of no known layout', () => {
  it.each([
    [['FunctionalCategory', 'SemanticCategory', 'BehaviorID'], 'missing-column', /HarmBench.*“beh/],
    [['id', 'type', 'label', 'focus'], 'missing-column', /XSTest.*“prompt”/],
    [['question_id', 'category'], 'missing-column', /MT-Bench.*“turns”/],
    [['a', 'b'], 'unknown-layout', /Call one “prompt”/],
  ])('with columns %j says what is missing', async (columns, code, message) => {
    const error = await failure(() => recognise(tableOf(columns, [])));
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
  });
});
