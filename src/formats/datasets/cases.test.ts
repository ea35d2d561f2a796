/**
 * Files as people bring them, in tests/fixtures/prompts: what each must give, whatever its name. Then
 * others of the same kinds.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { importPrompts } from './import';
import { recognise } from './recognise';
import { recognisedBy } from './recognition';
import { failure, read } from './testing';
import type { PromptLabel } from './types';

const fixture = (name: string) =>
  readFileSync(new URL(`../../../tests/fixtures/prompts/${name}`, import.meta.url));

/** The likeliest reading, asked for `label` where the file says nothing. */
async function open(content: string | Uint8Array, label?: PromptLabel, name = 'set') {
  const table = await read(name, content, {}, 64);
  const best = recognise(table)[0]!;
  const labels = label === undefined ? best.plan.labels : ({ kind: 'all', label } as const);
  const report = importPrompts(table, { ...best.plan, labels });
  return { best, table, report, prompts: report.items.map(({ prompt }) => prompt) };
}

const EGG = 'How do I boil an egg?';
const LOCKER = 'How could I open a locker that is not mine?';
const RIVER = 'Name a river.';

describe('a file that says which prompts are harmful', () => {
  it.each<[string, [string, PromptLabel][]]>([
    ['alpaca_with_label.jsonl', [[LOCKER, 'harmful'], [EGG, 'benign']]], // prettier-ignore
    ['goal_target_label.csv', [[EGG, 'benign'], [LOCKER, 'harmful']]], // prettier-ignore
    ['prompt_type_label.csv', [[EGG, 'benign'], [LOCKER, 'harmful']]], // prettier-ignore
    ['pandas-index.json', [[EGG, 'benign'], [LOCKER, 'harmful'], [RIVER, 'benign']]], // prettier-ignore
    ['prompt-messages-python.csv', [[RIVER, 'benign']]],
    ['sep-semicolon.csv', [[EGG, 'benign']]],
    ['semicolon.csv', [[EGG, 'benign']]],
    ['first-rows.json', [[LOCKER, 'harmful']]],
  ])('%s is read so, under any name', async (name, expected) => {
    const names = ['set', 'set.csv', 'set.txt', ...(name.endsWith('csv') ? [] : ['set.jsonl'])];
    for (const called of [name, ...names]) {
      const { report } = await open(fixture(name), undefined, called);
      expect(
        report.items.map(({ prompt, label }) => [prompt, label]),
        called,
      ).toEqual(expected);
      expect(report.errors.total).toBe(0);
    }
  });

  it('SORRY-Bench is not MT-Bench', async () => {
    const { best, report } = await open(fixture('sorry_bench_question.jsonl'));
    expect(best).toMatchObject({ title: 'SORRY-Bench', values: 'category' });
    expect(recognisedBy(best)).toContain('“prompt_style” and the values of “category”');
    expect(report.counts.labels).toEqual({ harmful: 3, borderline: 0, benign: 0 });
    expect(report.items.map(({ style }) => style)).toEqual(['base', 'base', 'slang']);
  });
});

describe('a file that does not say it is asked about', () => {
  it.each<[string, PromptLabel | null, string[]]>([
    [
      'safety_only_data_Instructions.json',
      'benign',
      ['Tell me how to scare an old man out of his flat.', LOCKER],
    ],
    ['lists-one-column.json', null, [EGG, LOCKER, RIVER]],
    ['messages-one.json', null, [RIVER]],
    ['sharegpt.jsonl', null, [EGG, RIVER]],
  ])('%s', async (name, usual, expected) => {
    for (const called of [name, 'set', 'set.txt', 'set.jsonl', 'set.json']) {
      const table = await read(called, fixture(name));
      const [best] = recognise(table);
      expect(best).toMatchObject({ usual, plan: { labels: null } });
      expect(best!.labelled).toBe('Nothing in the file says which prompts are harmful.');
      expect((await failure(() => importPrompts(table, best!.plan))).code).toBe('bad-plan');
      const { prompts } = await open(fixture(name), 'harmful', called);
      expect(prompts, called).toEqual(expected);
    }
  });

  it('is asked about where its labels are numbers, and shows them', async () => {
    const { best } = await open('prompt,label\na,1\nb,0\nc,0\n', 'benign');
    expect(best.plan).toMatchObject({ labels: null, mapping: { label: 'label' } });
    expect(best.labelled).toContain('“label” holds “0”, “1”');
  });

  it.each([
    ['AdvBench’s columns', 'goal,target\nDo it,"Sure, here"\n', 'harmful'],
    ['Alpaca’s without answers', 'instruction,input\nShorten it,A text\n', 'benign'],
    ['Dolly’s with other tasks', 'instruction,context,response,category\na,b,c,theft\n', 'benign'],
    ['MT-Bench’s with other categories', 'question_id,category,turns\n1,theft,"[""a""]"\n', null],
    ['XSTest’s with other types', 'prompt,type,focus\na,theft,b\n', null],
    ['one column of StrongREJECT', 'forbidden_prompt\na\n', null],
    [
      'one that has also a harmless category',
      'forbidden_prompt,category\na,benign\nb,arms\n',
      null,
    ],
  ])('is asked about: %s', async (_, text, usual) => {
    const { best } = await open(text, 'harmful');
    expect(best).toMatchObject({ usual, plan: { labels: null } });
  });

  it('JailbreakBench: only a name that says it is taken at its word', async () => {
    const text =
      'Index,Goal,Target,Behavior,Category,Source\n0,Do it,Sure,A thing,Privacy,Original\n';
    const labels = async (name: string) => (await open(text, 'benign', name)).best.plan.labels;
    expect(await labels('benign-behaviors.csv')).toEqual({ kind: 'all', label: 'borderline' });
    expect(await labels('harmful-behaviors.csv')).toEqual({ kind: 'all', label: 'harmful' });
    expect(await labels('set.csv')).toBeNull();
  });
});

describe('labels of the file’s own', () => {
  const labelled = async (text: string) =>
    (await open(text)).report.items.map(({ label }) => label);

  it.each([
    ['label', 'unsafe', 'safe'],
    ['Label', 'Harmful', ' benign '],
    ['prompt_harm_label', 'harmful', 'unharmful'],
    ['prompt label', 'toxic', 'non-toxic'],
    ['is_safe', 'False', 'True'],
    ['is_harmful', '1', '0'],
    ['toxic', '1.0', '0.0'],
    ['jailbreak', 'yes', 'no'],
    ['safety', 'unsafe', 'safe'],
    ['type', 'jailbreak', 'benign'],
    ['subset', 'harmful', 'harmless'],
  ])('are read from “%s” of %s and %s', async (column, harmful, benign) => {
    const columns = ['goal,target', 'prompt,note', 'Behavior,FunctionalCategory'];
    // Yes and no beside an answer may be said of the answer: attacked-labels.test.ts.
    const plain = /label|type|subset/i.test(column);
    for (const names of plain ? [...columns, 'instruction,output'] : columns) {
      const text = `${names},${column}\na,x,${harmful}\nb,y,${benign}\n`;
      expect(await labelled(text), names).toEqual(['harmful', 'benign']);
    }
  });

  it('win over what a set is known to be', async () => {
    const harmbench = 'Behavior,FunctionalCategory,SemanticCategory,label\n';
    expect(
      await labelled(`${harmbench}a,standard,illegal,benign\nb,standard,illegal,unsafe\n`),
    ).toEqual(['benign', 'harmful']);
    const beavertails = 'prompt,response,category,is_safe,label\na,x,theft,true,harmful\n';
    expect(await labelled(beavertails)).toEqual(['harmful']);
    expect(
      (await open(`${harmbench}a,standard,illegal,7\n`, 'benign')).best.plan.labels,
    ).toBeNull();
  });

  it.each([
    ['scores', 'prompt,toxicity\na,0\nb,0.7\nc,1\n'],
    ['labels of answers', 'prompt,response_label\na,safe\nb,unsafe\n'],
    ['a model’s verdict', 'prompt,gpt4_verdict\na,safe\nb,unsafe\n'],
  ])('are not %s', async (_, text) => {
    expect((await open(text, 'benign')).best.plan.labels).toBeNull();
  });

  it('one value beside the lists is that of every row', async () => {
    const { report } = await open('{"label":"harmful","prompt":["a","b"],"version":2}');
    expect(report.counts.labels.harmful).toBe(2);
    expect(report.warnings.first.map(({ message }) => message)).toEqual([
      'Every row has the file’s “label”.',
      'Besides the rows, the file holds “version”: not read.',
    ]);
  });
});

it('every known set can be read as a bare column of prompts instead', async () => {
  const table = await read('x.csv', 'id,prompt,type,label\n1,a,homonyms,safe\n');
  const readings = recognise(table);
  expect(readings.map(({ plan }) => plan.layout)).toEqual(['xstest', 'generic']);
  const { items } = importPrompts(table, readings[1]!.plan);
  expect(items).toMatchObject([{ label: 'benign' }]);
  const toxigen = await read('x.csv', 'generation,group,prompt_label\na,b,1\n');
  expect(recognise(toxigen).at(-1)!.plan.mapping.prompt).toBe('generation');
});

describe('what was cut or left out by whoever served the file', () => {
  it('is named by row: the viewer’s first rows', async () => {
    const { report } = await open(fixture('first-rows.json'));
    expect(report.leftOut).toBe(1);
    expect(report.warnings.first).toMatchObject([
      { row: null, message: expect.stringContaining('does not hold the whole set') },
      { code: 'truncated-row', row: 1, column: 'prompt' },
    ]);
  });

  it.each([
    ['in a list', (rows: string) => `[${rows}]`],
    ['one a line', (rows: string) => rows.replace('}, {', '}\n{')],
  ])('is named where the rows come %s', async (_, wrap) => {
    const rows =
      '{"row_idx":0,"row":{"prompt":"a","note":"b"},"truncated_cells":["prompt"]}, ' +
      '{"row_idx":1,"row":{"prompt":"c","note":"d"},"truncated_cells":["note"]}';
    const { report, prompts } = await open(wrap(rows), 'benign');
    expect(prompts).toEqual(['c']);
    expect(report.warnings.first).toMatchObject([{ code: 'truncated-row', row: 1 }]);
  });

  it.each([
    [
      '{"rows":[{"row_idx":0,"row":{"prompt":"a"}}],"num_rows_total":1000}',
      'that the set has 1,000',
    ],
    ['{"results":[{"prompt":"a"}],"count":40,"next":"https://a.org/2"}', 'that the set has 40'],
    ['{"data":[{"prompt":"a"}],"has_more":true}', 'more rows follow'],
    ['{"data":[{"prompt":"a"}],"next_page_token":"x"}', 'more rows follow'],
    ['{"data":{"rows":[{"prompt":"a"}]},"partial":true}', 'does not hold the whole set'],
  ])('a page says so: %s', async (text, message) => {
    const { report, prompts } = await open(text, 'benign');
    expect(prompts).toEqual(['a']);
    expect(report.warnings.first[0]!.message).toContain(message);
  });

  it('what lies beside the rows is named', async () => {
    const text = '{"data":[{"prompt":"a"}],"extra":[{"prompt":"b"}]}';
    const { report } = await open(text, 'benign');
    expect(report.warnings.first[0]!.message).toContain('“extra”: not read');
    const columns = await open('prompt,note,label\na,b,safe\n');
    expect(columns.report.unusedColumns).toEqual(['note']);
  });
});

describe('pandas’ and the datasets library’s forms', () => {
  const expected = ['a', 'b'];
  it.each([
    ['records', '[{"prompt":"a"},{"prompt":"b"}]'],
    ['columns', '{"prompt":{"0":"a","1":"b"}}'],
    ['index', '{"0":{"prompt":"a"},"1":{"prompt":"b"}}'],
    ['index of names', '{"q1":{"prompt":"a"},"q2":{"prompt":"b"}}'],
    ['split', '{"columns":["prompt"],"index":[0,1],"data":[["a"],["b"]]}'],
    [
      'table',
      '{"schema":{"fields":[{"name":"prompt"}]},"data":[{"index":0,"prompt":"a"},{"index":1,"prompt":"b"}]}',
    ],
    ['values with names', '[["prompt","n"],["a",1],["b",2]]'],
    ['a spreadsheet’s values', '{"range":"A1","values":[["prompt"],["a"],["b"]]}'],
    ['lists a line', '["prompt","n"]\n["a",1]\n["b",2]'],
    ['a slice', '{"prompt":["a","b"]}'],
    ['a slice inside', '{"train":{"prompt":["a","b"]}}'],
    ['lists of texts under a name', '{"version":1,"prompts":["a","b"]}'],
    ['numpy’s lists', "turns,n\n\"['a' 'x']\",1\n\"array(['b'], dtype=object)\",2\n"],
  ])('%s', async (_, text) => {
    expect((await open(text, 'benign')).prompts).toEqual(expected);
  });

  it('keeps names of rows as ids', async () => {
    const { report } = await open('{"q1":{"prompt":"a"},"q2":{"prompt":"b"}}', 'benign');
    expect(report.items.map(({ id }) => id)).toEqual(['q1', 'q2']);
  });

  it.each([
    ['{"columns":["prompt","prompt"],"data":[["a","b"]]}', 'duplicate-column'],
    ['{"prompt":["a"],"label":["safe","safe"]}', 'ragged-row'],
    ['{"train":{"prompt":["a"]},"test":{"prompt":["b"]}}', 'not-a-table'],
    ['[["a sentence of a person."],["another one, too."]]', 'missing-header'],
  ])('%s is refused', async (text, code) => {
    expect(await failure(open(text, 'benign'))).toMatchObject({ code });
  });
});

describe('chats', () => {
  const user = { role: 'user', content: RIVER };
  const system = { role: 'system', content: 'Be brief.' };
  const assistant = { role: 'assistant', content: 'The Rhine.' };
  const json = JSON.stringify;
  const cell = (text: string) => `"${text.replaceAll('"', '""')}"`;

  it.each<[string, string]>([
    ['messages', json({ messages: [system, user, assistant] })],
    ['a bare list', json([system, user, assistant])],
    ['a bare list, over lines', json([system, user, assistant], null, 1)],
    ['a list a line', `${json([user, assistant])}\n${json([user, assistant])}`],
    ['messages as text', json([{ messages: json([system, user]) }])],
    ['a prompt of messages', json([{ prompt: [user, assistant] }])],
    ['a request', json([{ body: { model: 'm', messages: [system, user] } }])],
    [
      'content parts',
      json([{ messages: [{ role: 'user', content: [{ type: 'text', text: RIVER }] }] }]),
    ],
    ['parts', json([{ contents: [{ role: 'user', parts: [{ text: RIVER }] }] }])],
    ['OpenAssistant', json([{ conversation: [{ role: 'prompter', text: RIVER }] }])],
    [
      'ShareGPT',
      json([
        {
          conversations: [
            { from: 'human', value: RIVER },
            { from: 'gpt', value: 'x' },
          ],
        },
      ]),
    ],
    ['with tools beside', json({ messages: [user], tools: [{ name: 'x' }] })],
    ['JSON in CSV', `prompt,n\n${cell(json([user, assistant]))},1\n`],
    [
      'Python in CSV',
      `conversations,n\n${cell(`[{'from': 'human', 'value': "${RIVER}", 'n': None}]`)},1\n`,
    ],
    [
      'numpy in CSV',
      `messages\n${cell(`[{'role': 'user', 'content': '${RIVER}'}\n {'role': 'assistant', 'content': 'x'}]`)}\n`,
    ],
    ['a dict in CSV', `prompt,n\n${cell(`{'role': 'user', 'content': '${RIVER}'}`)},1\n`],
    [
      'a message a row',
      `chat_id,role,content\n1,system,x\n1,user,${RIVER}\n1,assistant,y\n2,user,${RIVER}\n`,
    ],
    ['a column of any name', json([{ dialogue_turns: [user, assistant] }])],
  ])('%s', async (_, text) => {
    const { prompts, report } = await open(text, 'benign');
    expect([...new Set(prompts)]).toEqual([RIVER]);
    expect(report.errors.total).toBe(0);
  });

  it('say how much of them is not a prompt', async () => {
    const { report } = await open(json([{ messages: [system, user, assistant, user] }]), 'benign');
    expect(report.warnings.first.map(({ message }) => message)).toEqual([
      '1 row with more turns: only the first is a prompt.',
      '1 row with a system message, which is left out.',
    ]);
  });

  it.each([
    ['broken Python', `prompt,n\n${cell("[{'role': 'user', 'content': 'x}]")},1\n`],
    ['an image', json([{ prompt: [{ role: 'user', content: [{ type: 'image_url' }] }] }])],
    ['nobody’s question', json([{ prompt: [system, assistant] }])],
  ])('of %s name the cell', async (_, text) => {
    const { report } = await open(text, 'benign');
    expect(report.items).toEqual([]);
    expect(report.errors.first).toMatchObject([{ code: 'not-a-text', column: 'prompt' }]);
  });

  it.each(['[1, 2] is a list. What is its sum?', '{x} stands for what?', "['a', 'b']", '[INST]'])(
    'is not %s',
    async (text) => {
      const { prompts } = await open(`prompt,n\n${cell(text)},1\n`, 'benign');
      expect(prompts).toEqual([text]);
    },
  );
});

describe('lists in other columns', () => {
  it('keep all their texts', async () => {
    const { report } = await open('[{"prompt":"a","category":["x","y"],"label":["unsafe"]}]');
    expect(report.items).toMatchObject([{ category: 'x; y', label: 'harmful' }]);
  });
});

describe('a delimiter', () => {
  it.each([
    ['sep=|\nprompt|label\na|safe\n', '|'],
    ['"sep=;"\r\nprompt;label\r\na;safe\r\n', ';'],
    ['SEP=\t\nprompt\tlabel\na\tsafe', '\t'],
    ['\n\nprompt;label\na;safe\n', ';'],
    ['"prompt";"label"\n"a;b";safe\n', ';'],
    ['"pro\nmpt"|label\na|safe\n', '|'],
  ])('is found in %j', async (text, delimiter) => {
    for (const size of [1, 3, 1000]) {
      expect((await read('x.csv', text, {}, size)).delimiter).toBe(delimiter);
    }
  });

  it('rows are counted as spreadsheets show them, lines as editors do', async () => {
    const table = await read('x.csv', 'sep=;\nprompt;label\na;safe\n');
    expect(table.rows).toMatchObject([{ row: 2, line: 3 }]);
  });

  it('that is named and not read is refused, unless one is said', async () => {
    const text = 'sep=:\nprompt,label\na,safe\n';
    expect(await failure(read('x.csv', text))).toMatchObject({ code: 'wrong-delimiter' });
    expect((await read('x.csv', text, { delimiter: ',' })).columns).toEqual(['prompt', 'label']);
  });
});
