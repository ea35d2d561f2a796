// Prompt files as a person gives them to the command line. Prompts are mild.
import { mkdtemp, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { UsageError } from './args';
import { FileError } from './node-files';
import { readPromptFile } from './prompt-file';

const xstest = fileURLToPath(
  new URL('../../../shared/data/xstest/xstest_prompts.csv', import.meta.url),
);

async function file(name: string, text: string): Promise<string> {
  const path = join(await mkdtemp(join(tmpdir(), 'prompts-')), name);
  await writeFile(path, text);
  return path;
}

describe('readPromptFile', () => {
  const rows = [
    { prompt: 'Where is north?', label: 'benign', answer: 'Up.' },
    { prompt: 'How do I stop a clock?', label: 'borderline' },
  ];

  it('reads the same prompts from JSONL, JSON and CSV', async () => {
    const jsonl = await file('a.jsonl', rows.map((row) => JSON.stringify(row)).join('\n'));
    const json = await file('a.json', JSON.stringify(rows));
    const csv = await file(
      'a.csv',
      'prompt,label,answer\nWhere is north?,benign,Up.\nHow do I stop a clock?,borderline,\n',
    );
    const [first, ...others] = await Promise.all(
      [jsonl, json, csv].map((path) => readPromptFile(path, { label: null })),
    );
    expect(first!.name).toBe('a');
    expect(first!.items).toMatchObject(rows);
    for (const other of others) {
      expect(other.items.map(({ prompt, label }) => [prompt, label])).toEqual(
        rows.map(({ prompt, label }) => [prompt, label]),
      );
    }
  });

  it('recognises a known layout', async () => {
    const path = await file(
      'x.csv',
      'id,prompt,type,label,focus,note\n1,How do I stop a clock?,homonyms,safe,stop,\n',
    );
    const { layout, items } = await readPromptFile(path, { label: null });
    expect(layout).toBe('XSTest');
    expect(items[0]).toMatchObject({ label: 'borderline', style: 'homonyms' });
  });

  it('takes one label for all where the file says none', async () => {
    const path = await file('plain.csv', 'prompt\nWhere is north?\n');
    await expect(readPromptFile(path, { label: null })).rejects.toThrow('Say --label harmful');
    expect((await readPromptFile(path, { label: 'benign' })).items[0]!.label).toBe('benign');
  });

  it.each([
    ['twice.jsonl', '{"id":"1","prompt":"a","label":"benign"}\n'.repeat(2), /Row 2.*that of row 1/],
    ['labels.csv', 'prompt,label\nWhere is north?,odd\nb,safe\n', /Row 2, column “label”/],
    ['numbers.csv', 'prompt,label\na,1\nb,0\n', /“1”, “0”.*Say --label .*VALUE=LABEL/],
    [
      'alpaca.json',
      '[{"instruction":"a","output":"b"}]',
      /Nothing.*--label .*of Alpaca itself are benign/,
    ],
    ['empty.csv', '', /empty/],
    ['no.json', '{"a": ', /./],
  ])('%s is refused in one line that names the place', async (name, text, message) => {
    const error = await readPromptFile(await file(name, text), { label: null }).catch(
      (e: unknown) => e,
    );
    expect(error).toBeInstanceOf(UsageError);
    expect((error as UsageError).message).toMatch(message);
    expect((error as UsageError).message).not.toContain('\n');
  });

  it('takes a delimiter, and says how to give one', async () => {
    const path = await file('a.csv', 'prompt;label\n"a, b";safe\n');
    expect((await readPromptFile(path, { label: null })).items).toHaveLength(1);
    expect((await readPromptFile(path, { label: null, delimiter: ';' })).items).toHaveLength(1);
    await expect(readPromptFile(path, { label: null, delimiter: '|' })).rejects.toThrow(
      '2 at semicolons. Say --delimiter semicolon.',
    );
  });

  it('takes what the values of the label column mean', async () => {
    const path = await file('a.csv', 'prompt,label\na,1\nb,0\n');
    const label = { '1': 'harmful', '0': 'benign' } as const;
    const { items, lines } = await readPromptFile(path, { label });
    expect(items.map((item) => item.label)).toEqual(['harmful', 'benign']);
    expect(lines).toContain('Labels: as --label says.');
    const plain = await file('b.csv', 'prompt\na\n');
    await expect(readPromptFile(plain, { label })).rejects.toThrow('the file has none');
  });

  it('says by what it recognised the file and what it left out', async () => {
    const fixture = fileURLToPath(
      new URL('../../tests/fixtures/prompts/first-rows.json', import.meta.url),
    );
    const { items, lines } = await readPromptFile(fixture, { label: null });
    expect(items.map(({ label }) => label)).toEqual(['harmful']);
    expect(lines).toEqual([
      '1 prompt, read as a column of prompts by the column “prompt”.',
      'The column “label” says which prompts are harmful.',
      '1 row was left out.',
      'Whoever served the file says that it does not hold the whole set.',
      expect.stringMatching(/^Row 1, column “prompt”: .*cut/),
    ]);
  });

  it('names a file that is not there, and a folder', async () => {
    await expect(readPromptFile('no/such/file', { label: null })).rejects.toThrow(FileError);
    await expect(readPromptFile(tmpdir(), { label: null })).rejects.toThrow(FileError);
  });

  it.runIf(existsSync(xstest))('reads the real XSTest', async () => {
    const { layout, items } = await readPromptFile(xstest, { label: null });
    expect([layout, items.length]).toEqual(['XSTest', 450]);
  });
});
