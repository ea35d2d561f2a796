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
      [jsonl, json, csv].map((path) => readPromptFile(path, null)),
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
    const { layout, items } = await readPromptFile(path, null);
    expect(layout).toBe('XSTest');
    expect(items[0]).toMatchObject({ label: 'borderline', style: 'homonyms' });
  });

  it('takes one label for all where the file says none', async () => {
    const path = await file('plain.csv', 'prompt\nWhere is north?\n');
    await expect(readPromptFile(path, null)).rejects.toThrow('say --label harmful');
    expect((await readPromptFile(path, 'benign')).items[0]!.label).toBe('benign');
  });

  it.each([
    ['twice.jsonl', '{"id":"1","prompt":"a","label":"benign"}\n'.repeat(2), /Row 2.*that of row 1/],
    ['semicolons.csv', 'prompt;label\n"a, b";safe\n', /semicolons/],
    ['labels.csv', 'prompt,label\nWhere is north?,odd\n', /Row 2, column “label”/],
    ['empty.csv', '', /empty/],
    ['no.json', '{"a": ', /./],
  ])('%s is refused in one line that names the place', async (name, text, message) => {
    const error = await readPromptFile(await file(name, text), null).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(UsageError);
    expect((error as UsageError).message).toMatch(message);
    expect((error as UsageError).message).not.toContain('\n');
  });

  it('names a file that is not there, and a folder', async () => {
    await expect(readPromptFile('no/such/file', null)).rejects.toThrow(FileError);
    await expect(readPromptFile(tmpdir(), null)).rejects.toThrow(FileError);
  });

  it.runIf(existsSync(xstest))('reads the real XSTest', async () => {
    const { layout, items } = await readPromptFile(xstest, null);
    expect([layout, items.length]).toEqual(['XSTest', 450]);
  });
});
