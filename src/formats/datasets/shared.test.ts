/** The real sets, where they lie beside the checkout. Counts only: no prompt is ever printed. */
import { existsSync, readFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { handleSource } from '../byte-source';
import { importPrompts } from './import';
import { fromByteSource, readTable } from './read';
import { recognise } from './recognise';
import { recognisedBy } from './recognition';
import { failure, load } from './testing';
import type { ImportedPrompt, PromptLabel } from './types';
import { promptsToCsv, promptsToJsonl } from './write';

const data = fileURLToPath(new URL('../../../../shared/data/', import.meta.url));
const present = existsSync(data);
if (!present) console.info('skipped: shared/data is not beside this checkout');

/** `label` is what a person says where the file does not. */
async function report(path: string, label?: PromptLabel) {
  const file = `${data}${path}`;
  const handle = await open(file);
  try {
    const { size } = await handle.stat();
    const source = fromByteSource(path.split('/').at(-1)!, handleSource(handle, size), 4096);
    const table = await readTable(source);
    const [best] = recognise(table);
    const labels = label === undefined ? best!.plan.labels : ({ kind: 'all', label } as const);
    return { best: best!, table, ...importPrompts(table, { ...best!.plan, labels }) };
  } finally {
    await handle.close();
  }
}

/** Whether two lists are the same, without a difference that a failing test would print. */
const same = (a: readonly ImportedPrompt[], b: readonly ImportedPrompt[]) =>
  JSON.stringify(a) === JSON.stringify(b);

const XSTEST_SAFE = [
  ...['homonyms', 'figurative_language', 'safe_targets', 'safe_contexts', 'definitions'],
  ...['nons_group_real_discr', 'real_group_nons_discr', 'historical_events', 'privacy_public'],
  'privacy_fictional',
];
const XSTEST_CONTRASTS = [
  ...['homonyms', 'figurative_language', 'safe_targets', 'safe_contexts', 'definitions'],
  ...['discr', 'historical_events', 'privacy'],
].map((type) => `contrast_${type}`);

describe.runIf(present)('the real files', () => {
  it('XSTest: 250 safe prompts in 10 types of 25 and 200 contrasts', async () => {
    const { best, items, errors, warnings, counts } = await report('xstest/xstest_prompts.csv');
    expect(best).toMatchObject({ title: 'XSTest', confidence: 1 });
    expect(errors.total).toBe(0);
    expect(warnings.total).toBe(0);
    expect(counts.labels).toEqual({ harmful: 200, borderline: 250, benign: 0 });
    const each = Object.fromEntries([...XSTEST_SAFE, ...XSTEST_CONTRASTS].map((t) => [t, 25]));
    expect(counts.styles).toEqual(each);
    // The label column and the name of the type say the same.
    expect(
      items.every(({ label, style }) => (label === 'harmful') === style!.startsWith('contrast_')),
    ).toBe(true);
    const safe = items.filter(({ label }) => label === 'borderline');
    expect(new Set(safe.map(({ style }) => style))).toEqual(new Set(XSTEST_SAFE));
    expect(new Set(items.map(({ id }) => id)).size).toBe(450);
  });

  it('HarmBench: 400 behaviours, 200 standard, 100 contextual, 100 copyright', async () => {
    const { best, items, errors, counts } = await report(
      'harmbench/harmbench_behaviors_text_all.csv',
    );
    expect(best).toMatchObject({ title: 'HarmBench', confidence: 1 });
    expect(errors.total).toBe(0);
    expect(counts.labels).toEqual({ harmful: 400, borderline: 0, benign: 0 });
    expect(counts.styles).toEqual({ standard: 200, contextual: 100, copyright: 100 });
    expect(counts.categories).toEqual({
      ...{ copyright: 100, cybercrime_intrusion: 67, illegal: 65, chemical_biological: 56 },
      ...{ misinformation_disinformation: 65, harassment_bullying: 25, harmful: 22 },
    });
    const joined = items.filter(({ prompt }) => prompt.includes('\n\n---\n\n'));
    expect(joined.map(({ style }) => style)).toEqual(Array(100).fill('contextual'));
    expect(joined.every(({ prompt, intent }) => prompt.endsWith(`\n\n---\n\n${intent}`))).toBe(
      true,
    );
    expect(items.filter(({ prompt, intent }) => prompt === intent)).toHaveLength(300);
    expect(new Set(items.map(({ intent }) => intent)).size).toBe(393);
  });

  it('HarmBench: 80 for validation and 320 for tests are the 400', async () => {
    const parts = await Promise.all(
      ['val', 'test', 'all'].map((name) =>
        report(`harmbench/harmbench_behaviors_text_${name}.csv`),
      ),
    );
    const [val, test, whole] = parts.map(({ items }) => items.map(({ id }) => id));
    expect(val).toHaveLength(80);
    expect(test).toHaveLength(320);
    expect(parts[0]!.counts.styles).toEqual({ standard: 41, contextual: 19, copyright: 20 });
    expect(parts[1]!.counts.styles).toEqual({ standard: 159, contextual: 81, copyright: 80 });
    expect(new Set([...val!, ...test!])).toEqual(new Set(whole));
  });

  it('MT-Bench: 80 first turns in 8 categories of 10', async () => {
    const { best, items, errors, counts } = await report('mt_bench/mt_bench_question.jsonl');
    expect(best.title).toBe('MT-Bench');
    expect(errors.total).toBe(0);
    expect(items).toHaveLength(80);
    expect(counts.labels).toEqual({ harmful: 0, borderline: 0, benign: 80 });
    const each = ['writing', 'roleplay', 'reasoning', 'math', 'coding', 'extraction', 'stem'];
    expect(counts.categories).toEqual(
      Object.fromEntries([...each, 'humanities'].map((name) => [name, 10])),
    );
    const lines = readFileSync(`${data}mt_bench/mt_bench_question.jsonl`, 'utf8')
      .trim()
      .split('\n');
    const turns = lines.map((line) => (JSON.parse(line) as { turns: string[] }).turns);
    expect(items.every(({ prompt }, i) => prompt === turns[i]![0]!.trim())).toBe(true);
  });

  it.each([
    ['xstest/xstest_prompts.csv', '“id”, “prompt”, “type”, “label”, “focus”, “note”', '“type”'],
    [
      'harmbench/harmbench_behaviors_text_all.csv',
      '“Behavior”, “FunctionalCategory”, “SemanticCategory”, “Tags”, “ContextString”, “BehaviorID”',
      '“FunctionalCategory”',
    ],
    [
      'mt_bench/mt_bench_question.jsonl',
      '“question_id”, “category”, “turns”, “reference”',
      '“category”',
    ],
  ])('%s says by what it was recognised', async (path, columns, values) => {
    const { best } = await report(path);
    expect(recognisedBy(best)).toBe(`the columns ${columns} and the values of ${values}`);
    expect(best.labelled).not.toContain('Nothing');
  });

  it('XSTest’s completions: by the type, since their labels are those of answers', async () => {
    const { best, errors, counts } = await report('xstest/completions_mistralguard.csv');
    expect(best.title).toBe('XSTest');
    expect(errors.total).toBe(0);
    expect(counts.labels).toEqual({ harmful: 200, borderline: 250, benign: 0 });
  });

  it.each([
    ['do_not_answer/malicious_uses.jsonl', 'prompt', 'harmful'],
    ['do_not_answer/information_hazard.jsonl', 'prompt', 'harmful'],
    ['self_instruct/seed_tasks.jsonl', 'instruction', 'benign'],
    ['in_the_wild/inthewild_jailbreak_llms.json', 'prompt', 'harmful'],
  ] as const)('%s says nothing of labels, so a person is asked', async (path, column, label) => {
    expect((await failure(report(path))).code).toBe('bad-plan');
    const { best, table, items, leftOut } = await report(path, label);
    expect(best).toMatchObject({ title: 'A column of prompts', plan: { labels: null } });
    expect(best.plan.mapping.prompt).toBe(column);
    expect(items.length + leftOut).toBe(table.rows.length);
    expect(items.length).toBeGreaterThan(0.8 * table.rows.length);
  });

  describe('XSTest, spoiled', () => {
    const whole = readFileSync(`${data}xstest/xstest_prompts.csv`);
    const text = whole.toString('utf8');
    const spoil = async (delimiter: string, leaveOut?: string) => {
      const { table } = await report('xstest/xstest_prompts.csv');
      const kept = table.columns.filter((name) => name !== leaveOut);
      const rows = table.rows.map(({ cells }) =>
        kept.map((name) => cells[table.columns.indexOf(name)]),
      );
      return [kept, ...rows]
        .map((row) => row.map((cell) => `"${String(cell).replaceAll('"', '""')}"`).join(delimiter))
        .join('\n');
    };

    it.each<[string, () => Promise<string | Uint8Array>, object, RegExp]>([
      [
        'missing column',
        () => spoil(',', 'prompt'),
        { code: 'missing-column', column: 'prompt' },
        /XSTest, but has no column “prompt”/,
      ],
      [
        'bad byte',
        () => Promise.resolve(Uint8Array.from(whole, (byte, i) => (i === 20_000 ? 0xff : byte))),
        { code: 'encoding', offset: 20_000, row: text.slice(0, 20_000).split('\n').length },
        /Byte 20,000 \(row \d+\) is not UTF-8/,
      ],
      [
        'id twice',
        () => Promise.resolve(text.replace(/\n7,/, '\n5,')),
        { code: 'bad-rows', row: 8, column: 'id' },
        /Row 8, column “id”: the id “5” is that of row 6/,
      ],
      [
        'empty prompt',
        () => Promise.resolve(text.replace(/\n3,(?:"[^"]*"|[^,]*),/, '\n3,,')),
        { code: 'bad-rows', row: 4, column: 'prompt' },
        /Row 4, column “prompt”: the prompt is empty/,
      ],
      [
        'ragged row',
        () => Promise.resolve(text.replace(/\n9,/, '\n9,,')),
        { code: 'ragged-row', row: 10 },
        /Row 10: 7 cells, but there are 6 columns/,
      ],
    ])('by a %s', async (_, make, place, message) => {
      const error = await failure(load('xstest_prompts.csv', await make()));
      expect(error).toMatchObject(place);
      expect(error.message).toMatch(message);
    });

    it('by another delimiter, is read at that', async () => {
      const { items } = await load('xstest_prompts.csv', await spoil(';'));
      expect(items).toHaveLength(450);
    });

    it('by empty rows, is read without them', async () => {
      const { items } = await load(
        'xstest_prompts.csv',
        text.replaceAll(/\n(?=1\d,)/g, '\n,,,,,\n\n'),
      );
      expect(items).toHaveLength(450);
    });
  });

  it.each([
    'xstest/xstest_prompts.csv',
    'harmbench/harmbench_behaviors_text_all.csv',
    'mt_bench/mt_bench_question.jsonl',
  ])('come back the same from what is exported: %s', async (path) => {
    const { items } = await report(path);
    const csv = await load('export.csv', promptsToCsv(items));
    const jsonl = await load('export.jsonl', promptsToJsonl(items));
    expect([csv.layout, jsonl.layout]).toEqual(['retort', 'retort']);
    expect(same(csv.items, items)).toBe(true);
    expect(same(jsonl.items, items)).toBe(true);
  });
});
