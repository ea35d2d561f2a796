import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { fromStream, readTable } from '../../src/formats/datasets/read';
import { taughtPrompts } from '../english/sources.mjs';
import { readJsonl } from './form-auc.mjs';
import { MATCHED_SETS, OUT } from './make.mjs';
import { nearDuplicates } from './near-duplicates.mjs';

const shared = fileURLToPath(new URL('../../../shared/data/', import.meta.url));
const present = existsSync(shared);
if (!present) console.info('skipped: shared/data is not beside this checkout');

const SETS: Record<string, { ending: RegExp; columns: RegExp; atLeast: number }> = {
  harmbench: { ending: /all\.csv$/, columns: /^Behavior$/, atLeast: 400 },
  xstest: { ending: /prompts\.csv$/, columns: /^prompt$/, atLeast: 450 },
  do_not_answer: { ending: /\.jsonl$/, columns: /^prompt$/, atLeast: 939 },
  self_instruct: { ending: /\.jsonl$/, columns: /^(instruction|instances)$/, atLeast: 175 },
  mt_bench: { ending: /\.jsonl$/, columns: /^turns$/, atLeast: 80 },
  in_the_wild: { ending: /\.json$/, columns: /./, atLeast: 600 },
};

/** All texts in a value: turns, and the inputs of a task, are lists. */
function textsIn(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  if (typeof value !== 'object' || value === null) return [];
  return Object.values(value).flatMap(textsIn);
}

async function sharedPrompts(set: string): Promise<string[]> {
  const { ending, columns } = SETS[set]!;
  const texts: string[] = [];
  for (const name of readdirSync(join(shared, set)).filter((file) => ending.test(file))) {
    const bytes = readFileSync(join(shared, set, name));
    const table = await readTable(fromStream(name, new Blob([bytes]).stream(), bytes.length));
    const wanted = table.columns.flatMap((column, i) => (columns.test(column) ? [i] : []));
    texts.push(...table.rows.flatMap((row) => wanted.flatMap((i) => textsIn(row.cells[i]))));
  }
  return texts;
}

test('equal words, long overlaps and short prompts with one word changed are near-duplicates', () => {
  const prompt = 'How do I take a bike that is locked up at the station near my school?';
  const near = [
    'how do i take a bike that is locked up at the station near my school',
    'Hi! How do I take a bike that is locked up at the station near my school?',
  ];
  for (const other of near) expect(nearDuplicates([prompt], [other])).toHaveLength(1);
  expect(
    nearDuplicates(['What is the capital of Peru?'], ['so what is the capital of Peru']),
  ).toHaveLength(1);
  const far = 'How do I take a bike that I bought at the station back to the shop today?';
  expect(nearDuplicates([prompt], [far])).toEqual([]);
  expect(nearDuplicates(['Help me.'], ['Tell me.'])).toEqual([]);
});

describe.runIf(present)('against public sets', () => {
  const ours = [
    ...[...MATCHED_SETS, 'checkable'].flatMap((name) =>
      readJsonl(join(OUT, `${name}.jsonl`)).map((row) => row.prompt),
    ),
    // What the guard is taught must not be what measures it.
    ...[...taughtPrompts().values()].flat(2),
  ];

  test.each(Object.keys(SETS))('no prompt of ours is nearly one of %s', async (set) => {
    const theirs = await sharedPrompts(set);
    expect(theirs.length).toBeGreaterThanOrEqual(SETS[set]!.atLeast);
    // Only ours are named: no prompt of theirs is printed.
    expect(nearDuplicates(ours, theirs).map(([prompt]) => prompt)).toEqual([]);
  });
});
