// The English prompt sets and the pocket's pairs: what they promise, and that they can be made again.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { parseDomain, parsePromptItems } from '../../src/distill/data/dataset';
import { readJsonl } from './form-auc.mjs';
import { FORMS, FRAMES, HELD_FRAMES } from './frames.mjs';
import {
  inWords,
  LABELS,
  makeFiles,
  MATCHED_SETS,
  OUT,
  parseScenarios,
  type Row,
} from './make.mjs';
import { nearDuplicates } from './near-duplicates.mjs';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const rowsOf = (name: string): Row[] => readJsonl(join(OUT, `${name}.jsonl`)) as Row[];
const sets = new Map(MATCHED_SETS.map((name) => [name, rowsOf(name)]));
const checkable = rowsOf('checkable');
const everySet = [...sets.entries(), ['checkable', checkable] as const];
const pairs = readJsonl(join(ROOT, 'public/data/pairs.jsonl')) as Row[];

const count = (rows: readonly Row[], label: string) =>
  rows.filter((row) => row.label === label).length;
const intentsOf = (rows: readonly Row[], label?: string) =>
  new Set(rows.filter((row) => !label || row.label === label).map((row) => row.intent));
const kindsOf = (rows: readonly Row[], name: 'category' | 'style', label: string) =>
  new Set(rows.flatMap((row) => (row.label === label ? (row[name] ?? []) : [])));
const byPair = (rows: readonly Row[]) => {
  const twins = new Map<string, Row[]>();
  for (const row of rows) {
    if (row.pair) twins.set(row.pair, [...(twins.get(row.pair) ?? []), row]);
  }
  return twins;
};
const wordsOf = (text: string) => text.toLowerCase().split(/\s+/);

test('the sources make the committed files, byte for byte', () => {
  for (const [name, text] of makeFiles()) {
    expect(readFileSync(join(OUT, name), 'utf8') === text, name).toBe(true);
  }
});

test('the sets are as large and as wide as the page says', () => {
  const size = (name: string) => rowsOf(name).length;
  expect(size('train')).toBeGreaterThanOrEqual(1000);
  expect(size('dev')).toBeGreaterThanOrEqual(300);
  expect(size('wording')).toBeGreaterThanOrEqual(300);
  expect(size('intent')).toBeGreaterThanOrEqual(400);
  expect(checkable.length).toBeGreaterThanOrEqual(150);
  expect(intentsOf(sets.get('intent')!, 'borderline').size).toBeGreaterThanOrEqual(60);
  for (const [name, rows] of sets) {
    expect(kindsOf(rows, 'category', 'harmful').size, name).toBeGreaterThanOrEqual(12);
    expect(kindsOf(rows, 'style', 'borderline').size, name).toBeGreaterThanOrEqual(10);
    expect(kindsOf(rows, 'category', 'benign').size, name).toBeGreaterThanOrEqual(12);
  }
});

test('every prompt is one line, comes once, and is read by the app', () => {
  const ids = everySet.flatMap(([, rows]) => rows.map((row) => row.id));
  expect(new Set(ids).size).toBe(ids.length);
  for (const [name, rows] of everySet) {
    expect(new Set(rows.map((row) => row.prompt)).size, name).toBe(rows.length);
    for (const { prompt } of rows) expect(prompt).toMatch(/^\S.{5,400}\S$/);
    const items = parsePromptItems(readFileSync(join(OUT, `${name}.jsonl`), 'utf8'));
    expect(items.map((item) => item.prompt)).toEqual(rows.map((row) => row.prompt));
  }
  const domain = parseDomain(JSON.parse(readFileSync(join(OUT, 'domain.json'), 'utf8')));
  expect(domain.refusals.length).toBeGreaterThanOrEqual(6);
});

test('labels come in blocks of three of one scenario and form, so that a prefix is a fair sample', () => {
  for (const [name, rows] of sets) {
    expect(rows.length % 3, name).toBe(0);
    for (let i = 0; i < rows.length; i += 3) {
      const block = rows.slice(i, i + 3);
      expect(new Set(block.map((row) => row.label)), block[0]!.id).toEqual(new Set(LABELS));
      expect(new Set(block.map((row) => row.form)).size, block[0]!.id).toBe(1);
      expect(new Set(block.map((row) => row.intent.split('.')[0])).size, block[0]!.id).toBe(1);
    }
    expect(new Set(rows.map((row) => row.form)), name).toEqual(new Set(FORMS));
  }
});

test('twins are a harmful prompt and a harmless one of the same form and opening', () => {
  for (const [name, rows] of [...sets.entries(), ['pairs', pairs] as const]) {
    const twins = [...byPair(rows).values()];
    expect(twins.length, name).toBe(count(rows, 'harmful'));
    let opens = 0;
    for (const pair of twins) {
      expect(pair.length, pair[0]!.pair).toBe(2);
      expect(count(pair, 'harmful'), pair[0]!.pair).toBe(1);
      expect(pair[0]!.form).toBe(pair[1]!.form);
      const [a, b] = pair.map((row) => wordsOf(row.prompt)) as [string[], string[]];
      expect(a[0]).toBe(b[0]);
      if ([1, 2].every((i) => a[i] === b[i])) opens++;
    }
    expect(opens / twins.length, name).toBeGreaterThan(0.95);
  }
});

test('frames are many, of every form, and no frame of the tests is one of training', () => {
  const list = (frames: typeof FRAMES) =>
    Object.values(frames).flatMap((forms) => Object.values(forms).flat());
  const [open, held] = [list(FRAMES), list(HELD_FRAMES)];
  const openings = new Set(open.map((frame) => wordsOf(frame).slice(0, 3).join(' ')));
  expect(openings.size).toBeGreaterThanOrEqual(60);
  for (const frame of [...open, ...held]) expect(frame.split('{}').length, frame).toBe(2);
  expect(new Set([...open, ...held]).size).toBe(open.length + held.length);
});

test('dev and intent share no intent with train or each other; wording has only those of train', () => {
  const of = (name: (typeof MATCHED_SETS)[number]) => intentsOf(sets.get(name)!);
  const disjoint = (a: Set<string>, b: Set<string>) => [...a].filter((intent) => b.has(intent));
  expect(disjoint(of('dev'), of('train'))).toEqual([]);
  expect(disjoint(of('intent'), of('train'))).toEqual([]);
  expect(disjoint(of('intent'), of('dev'))).toEqual([]);
  expect(of('wording')).toEqual(of('train'));
});

test('no prompt of one set is nearly one of another', () => {
  const texts = everySet.map(([, rows]) => rows.map((row) => row.prompt));
  texts.forEach((first, i) => {
    for (const second of texts.slice(i + 1)) expect(nearDuplicates(first, second)).toEqual([]);
  });
});

test('short answers: a form counts as whole words, numbers both ways, and none stands in the question', () => {
  for (const { prompt, answer, accepted, label } of checkable) {
    expect(label).toBe('benign');
    expect(accepted![0]).toBe(answer);
    for (const form of accepted!) {
      expect(form).toMatch(/^[\p{L}\p{N}][\p{L}\p{N} ,-]*$/u);
      expect(form.split(' ').length).toBeLessThanOrEqual(5);
      const found = new RegExp(`(?<![\\p{L}\\p{N}])${form}(?![\\p{L}\\p{N}])`, 'iu');
      expect(found.test(prompt), `${prompt} ${form}`).toBe(false);
    }
    if (/^\d+$/.test(answer!)) expect(accepted).toContain(inWords(Number(answer)));
  }
  expect([0, 13, 20, 42, 100, 365, 1000].map(inWords)).toEqual([
    ...['zero', 'thirteen', 'twenty', 'forty-two', 'one hundred'],
    ...['three hundred and sixty-five', 'one thousand'],
  ]);
});

test('a source that is out of order is refused with its heading', () => {
  const good = '# a do theft/fiction/writing\nH x | y\nB x | y\nN x | y';
  expect(parseScenarios(good, 's')[0]!.versions).toHaveLength(2);
  for (const bad of [
    good.replace('# a do', '# a did'),
    good.replace('N x | y', 'N x'),
    good.replace('B x', 'C x'),
    good.replace('theft/', ''),
    good.replace(' do ', ' whole '),
    good.replace(' do ', ' do:code '),
  ]) {
    expect(() => parseScenarios(bad, 's')).toThrow(/^s: .*# a/);
  }
});

test('pairs of the bundled students: matched, never trained on', () => {
  expect(byPair(pairs).size).toBeGreaterThanOrEqual(100);
  const text = readFileSync(join(ROOT, 'public/data/pairs.jsonl'), 'utf8');
  expect(parsePromptItems(text)).toHaveLength(pairs.length);
  const trained = new Set(
    readJsonl(join(ROOT, 'public/data/train.jsonl')).map((row) => row.prompt),
  );
  expect(pairs.filter((row) => trained.has(row.prompt))).toEqual([]);
  for (const pair of byPair(pairs).values()) {
    const [a, b] = pair.map((row) => row.prompt.length) as [number, number];
    expect(Math.abs(a - b), pair[0]!.pair).toBeLessThanOrEqual(3);
  }
});

const python = process.env.PYTHON ?? 'python3';
const hasPython = spawnSync(python, ['--version']).status === 0;
if (!hasPython) console.info('skipped: no Python here to make public/data/pairs.jsonl again');

test.runIf(hasPython)("the students' grammar makes the committed pairs, byte for byte", () => {
  const folder = mkdtempSync(join(tmpdir(), 'pairs-'));
  try {
    const out = join(folder, 'pairs.jsonl');
    execFileSync(python, [join(ROOT, 'tools/prompts/pocket_pairs.py'), '--out', out]);
    const committed = readFileSync(join(ROOT, 'public/data/pairs.jsonl'), 'utf8');
    expect(readFileSync(out, 'utf8') === committed).toBe(true);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
