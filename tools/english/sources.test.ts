import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readJsonl } from '../prompts/form-auc.mjs';
import { OUT } from '../prompts/make.mjs';
import { nearDuplicates } from '../prompts/near-duplicates.mjs';
import { taughtPrompts } from './sources.mjs';

const files = taughtPrompts();
const all = [...files.values()].flat(2);

test('twins are pairs, and ordinary prompts stand alone', () => {
  const names = ['ordinary', 'people-labelled', 'people', 'things-labelled', 'things'].map(
    (name) => `${name}.txt`,
  );
  expect([...files.keys()].sort()).toEqual(names);
  for (const [name, lines] of files) {
    const width = /ordinary|labelled/.test(name) ? 1 : 2;
    for (const line of lines) {
      expect(line.length, `${name}: ${line[0]}`).toBe(width);
      for (const prompt of line) expect(prompt).toMatch(/^\S.{2,900}\S$|^Why\?$/);
    }
  }
  expect(new Set(all).size).toBe(all.length);
  expect(all.length).toBeGreaterThan(3000);
});

test.each(['dev', 'wording', 'intent', 'checkable'])(
  'no prompt that the guard is taught is nearly one of %s, which measures it',
  (set) => {
    const measured = readJsonl(join(OUT, `${set}.jsonl`)).map((row) => row.prompt);
    expect(nearDuplicates(all, measured)).toEqual([]);
  },
);
