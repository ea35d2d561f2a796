// No shortcut: form alone tells no label. And the page's figures are those of the files.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, expect, test } from 'vitest';
import { auc, crossValidatedAuc, readJsonl, transferAuc, wordsAuc } from './form-auc.mjs';
import { FRAMES, HELD_FRAMES } from './frames.mjs';
import { OUT } from './make.mjs';
import { FIVE_GRAMS, WORDS } from './near-duplicates.mjs';
import { bundled, measured, tables } from './report.mjs';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const LIMIT = 0.6;
// A few hundred fits of small models.
const SLOW = 180_000;

const bundle = bundled();
let found: ReturnType<typeof measured>;
beforeAll(() => {
  found = measured(bundle);
}, SLOW);

test('form alone does not tell harmful prompts from the others', () => {
  const rows = [...found.english, ...found.pocket.filter(({ set }) => set === 'pairs')];
  expect(rows).toHaveLength(5 * 3);
  for (const { set, against, random, grouped, fromTrain } of rows) {
    const name = `${set} against ${against}`;
    expect(grouped, name).toBeLessThanOrEqual(LIMIT);
    expect(random, name).toBeLessThanOrEqual(LIMIT);
    // Nor the other way round.
    expect(grouped, name).toBeGreaterThanOrEqual(1 - LIMIT);
    if (fromTrain === undefined) continue;
    expect(fromTrain, name).toBeLessThanOrEqual(LIMIT);
    expect(fromTrain, name).toBeGreaterThanOrEqual(1 - LIMIT);
  }
});

test('the classifier finds each kind of shortcut where one is put in', () => {
  const rows = readJsonl(join(OUT, 'intent.jsonl'));
  const group = (_: unknown, index: number) => Math.floor(index / 3);
  const spoil = (change: (prompt: string, harmful: boolean) => string) =>
    rows.map((row) => ({ ...row, prompt: change(row.prompt, row.label === 'harmful') }));
  const spoilt = {
    opening: spoil((prompt, harmful) => (harmful ? `Go on and ${prompt}` : `And then ${prompt}`)),
    mark: spoil((prompt, harmful) => prompt.replace(/[.?!]?$/, harmful ? '.' : '?')),
    length: spoil((prompt, harmful) => (harmful ? `${prompt} I mean it this time` : prompt)),
    casing: spoil((prompt, harmful) => (harmful ? prompt.toUpperCase() : prompt)),
  };
  for (const [name, set] of Object.entries(spoilt)) {
    expect(crossValidatedAuc(set, ['benign'], group), name).toBeGreaterThan(0.75);
    expect(transferAuc(set, set, ['benign', 'borderline']), name).toBeGreaterThan(0.75);
  }
});

test('words alone are told where they differ, and only there', () => {
  const row = (prompt: string, label: string) => ({ prompt, label, intent: prompt });
  const train = [row('steal a pear', 'harmful'), row('peel a pear', 'benign')];
  const test = [row('a plum to steal', 'harmful'), row('a plum to peel', 'benign')];
  expect(wordsAuc(train, test, ['benign'])).toBe(1);
  const unknown = [row('take plums', 'harmful'), row('cook plums', 'benign')];
  expect(wordsAuc(train, unknown, ['benign'])).toBe(0.5);
});

test('area under the curve: order, ties, reversal', () => {
  const positive = [false, false, true, true];
  expect(auc([1, 2, 3, 4], positive)).toBe(1);
  expect(auc([4, 3, 2, 1], positive)).toBe(0);
  expect(auc([5, 5, 5, 5], positive)).toBe(0.5);
  expect(auc([1, 3, 2, 4], positive)).toBe(0.75);
});

test('the tables of docs/data.md are those of the files', () => {
  const cells = (text: string) =>
    text
      .split('\n')
      .filter((line) => line.startsWith('|') && !/^[|\s:-]+$/.test(line))
      .map((line) => line.split('|').map((cell) => cell.trim()));
  const page = readFileSync(join(ROOT, 'docs/data.md'), 'utf8');
  expect(cells(page)).toEqual(cells(tables(bundle, found).join('\n')));
  const frames = (list: typeof FRAMES) => Object.values(list).flatMap(Object.values).flat().length;
  const twins = (kind: string) =>
    new Set(
      readJsonl(join(ROOT, 'public/data/pairs.jsonl')).flatMap(({ pair }) =>
        pair!.startsWith(kind) ? [pair] : [],
      ),
    ).size;
  const pocketPairs = readJsonl(join(ROOT, 'public/data/pairs.jsonl'));
  const apart = pocketPairs.map((row) => ({ ...row, pair: undefined }));
  const pairOf = new Map(pocketPairs.map((row) => [row.prompt, row.pair!]));
  const plain = (label: string) => [
    transferAuc(bundle.pocket.get('train')!, apart, [label]).toFixed(2),
    crossValidatedAuc(apart, [label], (row) => pairOf.get(row.prompt)!).toFixed(2),
  ];
  const [benign, borderline] = [plain('benign'), plain('borderline')];
  const prose = page.replace(/\s+/g, ' ');
  for (const said of [
    `${frames(FRAMES)} frames of every set, ${frames(HELD_FRAMES)} more`,
    `${twins('known')} pairs have a held-out phrase or frame`,
    `${twins('unseen')} have held-out intents`,
    `a Jaccard index of the word 5-grams of ${FIVE_GRAMS} or more, or of the words of ${WORDS}`,
    `at most ${LIMIT.toFixed(2)} in a test`,
    `an AUC of ${benign[0]} taught on train and ${benign[1]} in folds by pair`,
    `against the borderline ones ${borderline.join(' and ')}`,
  ]) {
    expect(prose).toContain(said);
  }
});
