// The tables of docs/data.md: `node tools/prompts/report.mjs`. A test holds the page to them.
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { formTable, readJsonl } from './form-auc.mjs';
import { FORMS } from './frames.mjs';
import { LABELS, MATCHED_SETS } from './make.mjs';

/** @typedef {import('./make.mjs').Row} Row */

const DATA = fileURLToPath(new URL('../../public/data', import.meta.url));

/** @param {string} name */
const read = (name) => /** @type {Row[]} */ (readJsonl(join(DATA, `${name}.jsonl`)));

/** @param {readonly (readonly (string | number)[])[]} rows the first is the head */
function markdown([head, ...rows]) {
  const line = (/** @type {readonly (string | number)[]} */ cells) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

/**
 * @param {readonly Row[]} rows @param {(row: Row) => string | undefined} key
 * @returns {Map<string, number>}
 */
function tally(rows, key) {
  const counts = new Map();
  for (const row of rows) {
    const name = key(row);
    if (name !== undefined) counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return counts;
}

/** @param {ReadonlyMap<string, readonly Row[]>} sets */
function sizes(sets) {
  return [...sets].map(([name, rows]) => {
    const labels = tally(rows, (row) => row.label);
    const intents = new Set(rows.map((row) => row.intent)).size;
    const pairs = new Set(rows.flatMap((row) => row.pair ?? [])).size;
    return [name, rows.length, ...LABELS.map((label) => labels.get(label) ?? 0), intents, pairs];
  });
}

/** @param {ReadonlyMap<string, readonly Row[]>} sets @param {(row: Row) => string | undefined} key */
function byKind(sets, key) {
  const counts = [...sets.values()].map((rows) => tally(rows, key));
  const names = [...new Set(counts.flatMap((count) => [...count.keys()]))].sort();
  return names.map((name) => [name, ...counts.map((count) => count.get(name) ?? 0)]);
}

/** @param {readonly import('./form-auc.mjs').FormRow[]} rows */
function forms(rows) {
  const show = (/** @type {number | undefined} */ value) => value?.toFixed(2) ?? '';
  return rows.map((row) => [
    row.set,
    row.against,
    show(row.grouped),
    show(row.random),
    show(row.fromTrain),
    show(row.words),
  ]);
}

/** The sets as they lie in public/data, each family with the set that teaches first. */
export function bundled() {
  return {
    english: new Map(MATCHED_SETS.map((set) => [/** @type {string} */ (set), read(`en/${set}`)])),
    pocket: new Map(['train', 'wording', 'intent', 'pairs'].map((name) => [name, read(name)])),
  };
}

/** What form tells in each family. @param {ReturnType<typeof bundled>} sets */
export function measured({ english, pocket }) {
  return { english: formTable(english), pocket: formTable(pocket) };
}

/**
 * All tables in the order of the page.
 * @param {ReturnType<typeof bundled>} bundle @param {ReturnType<typeof measured>} found
 */
export function tables({ english, pocket }, found) {
  const all = new Map([...english, ['checkable', read('en/checkable')]]);
  const auc = [
    'set',
    'harmful against',
    'folds by scenario',
    'random folds',
    'taught on train',
    'words',
  ];
  return [
    markdown([['set', 'prompts', ...LABELS, 'intents', 'pairs'], ...sizes(all)]),
    markdown([
      ['form', ...all.keys()],
      ...FORMS.map((form) => [
        form,
        ...[...all.values()].map((rows) => rows.filter((row) => row.form === form).length),
      ]),
    ]),
    markdown([
      ['category of harm', ...english.keys()],
      ...byKind(english, (row) => (row.label === 'harmful' ? row.category : undefined)),
    ]),
    markdown([['borderline style', ...english.keys()], ...byKind(english, (row) => row.style)]),
    markdown([
      ['benign topic', ...english.keys()],
      ...byKind(english, (row) => (row.label === 'benign' ? row.category : undefined)),
    ]),
    markdown([auc, ...forms(found.english)]),
    markdown([['set', 'prompts', ...LABELS, 'intents', 'pairs'], ...sizes(pocket)]),
    markdown([auc, ...forms(found.pocket)]),
  ];
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const bundle = bundled();
  console.log(tables(bundle, measured(bundle)).join('\n\n'));
}
