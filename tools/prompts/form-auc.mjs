// How well the form of a prompt alone tells its label: `node tools/prompts/form-auc.mjs FILE…`.
// A logistic regression that sees the first three words, punctuation, length and casing, nothing
// else of the text. The first file teaches it for the others; within each file by cross-validation.
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { pathToFileURL } from 'node:url';
import { wordsOf } from './near-duplicates.mjs';

/**
 * @typedef {{ prompt: string, label: string, intent: string, pair?: string }} Labelled
 * @typedef {{ names: string[], dense: number[] }} Features
 */

const FOLDS = 5;
const STEPS = 300;
const RATE = 0.5;
const L2 = 1e-3;

/** @param {string} prompt @returns {Features} */
export function formFeatures(prompt) {
  const words = prompt.trim().split(/\s+/);
  const first = words.slice(0, 3).map((word) => word.toLowerCase().replace(/[^\p{L}\p{N}']/gu, ''));
  const names = [
    ...first.map((word, i) => `word ${i} ${word}`),
    `two ${first.slice(0, 2).join(' ')}`,
    `last two ${first.slice(1).join(' ')}`,
    `three ${first.join(' ')}`,
    `mark ${/[^\p{L}\p{N}\s]$/u.exec(prompt.trim())?.[0] ?? 'none'}`,
    `opens ${/^\p{Lu}/u.test(prompt) ? 'capital' : 'other'}`,
  ];
  const count = (/** @type {RegExp} */ pattern) => prompt.match(pattern)?.length ?? 0;
  const characters = prompt.length;
  const dense = [
    characters,
    Math.log(characters),
    words.length,
    Math.log(words.length),
    characters / words.length,
    count(/\p{Lu}/gu),
    count(/\p{Lu}/gu) / characters,
    count(/\p{N}/gu),
    ...['.', ',', '?', '!', ':', ';', "'", '"', '-', '('].map(
      (mark) => prompt.split(mark).length - 1,
    ),
  ];
  return { names, dense };
}

/**
 * A logistic regression on `rows`, whose mean and deviation scale the dense features; names that
 * came once are left out. Full-batch gradient descent with momentum. Gives a score for a prompt.
 * @param {readonly Features[]} rows @param {readonly boolean[]} positive
 * @returns {(features: Features) => number}
 */
function fit(rows, positive) {
  const counts = new Map();
  for (const name of rows.flatMap((row) => row.names))
    counts.set(name, (counts.get(name) ?? 0) + 1);
  const known = [...counts].filter(([, n]) => n > 1).map(([name]) => name);
  const index = new Map(known.map((name, i) => [name, i]));
  const width = rows[0].dense.length;
  const mean = Array.from(
    { length: width },
    (_, j) => rows.reduce((sum, row) => sum + row.dense[j], 0) / rows.length,
  );
  const deviation = mean.map(
    (m, j) =>
      Math.sqrt(rows.reduce((sum, row) => sum + (row.dense[j] - m) ** 2, 0) / rows.length) || 1,
  );
  const encode = (/** @type {Features} */ row) => ({
    on: row.names.flatMap((name) => index.get(name) ?? []),
    dense: row.dense.map((value, j) => (value - mean[j]) / deviation[j]),
  });
  const weights = new Float64Array(known.length + width + 1);
  const momentum = new Float64Array(weights.length);
  const score = (/** @type {ReturnType<typeof encode>} */ row) => {
    let z = weights[weights.length - 1];
    for (const i of row.on) z += weights[i];
    for (let j = 0; j < width; j++) z += weights[known.length + j] * row.dense[j];
    return z;
  };
  const encoded = rows.map(encode);
  const share = positive.filter(Boolean).length / positive.length;
  for (let step = 0; step < STEPS; step++) {
    const gradient = weights.map((w) => L2 * w);
    gradient[weights.length - 1] = 0;
    encoded.forEach((row, r) => {
      // Both classes weigh the same.
      const weight = (positive[r] ? 0.5 / share : 0.5 / (1 - share)) / rows.length;
      const error = weight * (1 / (1 + Math.exp(-score(row))) - (positive[r] ? 1 : 0));
      for (const i of row.on) gradient[i] += error;
      for (let j = 0; j < width; j++) gradient[known.length + j] += error * row.dense[j];
      gradient[weights.length - 1] += error;
    });
    for (let i = 0; i < weights.length; i++) {
      momentum[i] = 0.9 * momentum[i] - RATE * 0.1 * gradient[i];
      weights[i] += momentum[i];
    }
  }
  return (features) => score(encode(features));
}

/**
 * Area under the ROC curve; ties count half.
 * @param {readonly number[]} scores @param {readonly boolean[]} positive
 */
export function auc(scores, positive) {
  const order = scores.map((_, i) => i).sort((a, b) => scores[a] - scores[b]);
  let ranks = 0;
  for (let from = 0; from < order.length;) {
    let to = from;
    while (to < order.length && scores[order[to]] === scores[order[from]]) to++;
    for (let i = from; i < to; i++) if (positive[order[i]]) ranks += (from + to + 1) / 2;
    from = to;
  }
  const n = positive.filter(Boolean).length;
  return (ranks - (n * (n + 1)) / 2) / (n * (positive.length - n));
}

/**
 * The harmful prompts and those that they are told from. In a set of twins alone, a harmful prompt is
 * told from its own twin's label only.
 * @param {readonly Labelled[]} rows @param {readonly string[]} against
 */
function chosen(rows, against) {
  const others = rows.filter((row) => against.includes(row.label));
  const twins = new Set(others.map((row) => row.pair));
  const paired = rows.every((row) => row.pair !== undefined);
  return rows.filter((row) =>
    row.label === 'harmful' ? !paired || twins.has(row.pair) : against.includes(row.label),
  );
}

/**
 * Taught on one set, measured on another.
 * @param {readonly Labelled[]} train @param {readonly Labelled[]} test
 * @param {readonly string[]} against labels that the harmful prompts are told from
 */
export function transferAuc(train, test, against) {
  const [seen, asked] = [chosen(train, against), chosen(test, against)];
  const harmful = (/** @type {Labelled} */ row) => row.label === 'harmful';
  const model = fit(
    seen.map((row) => formFeatures(row.prompt)),
    seen.map(harmful),
  );
  return auc(
    asked.map((row) => model(formFeatures(row.prompt))),
    asked.map(harmful),
  );
}

/**
 * Within one set: out-of-fold scores of all folds together. Prompts of one group share a fold.
 * @param {readonly Labelled[]} rows @param {readonly string[]} against
 * @param {(row: Labelled, index: number) => string | number} group
 */
export function crossValidatedAuc(rows, against, group) {
  const asked = chosen(rows, against);
  const groups = asked.map(group);
  const fold = new Map([...new Set(groups)].map((name, i) => [name, i % FOLDS]));
  const features = asked.map((row) => formFeatures(row.prompt));
  const positive = asked.map((row) => row.label === 'harmful');
  const scores = new Array(asked.length);
  for (let f = 0; f < FOLDS; f++) {
    const inside = asked.map((_, i) => i).filter((i) => fold.get(groups[i]) !== f);
    const model = fit(
      inside.map((i) => features[i]),
      inside.map((i) => positive[i]),
    );
    asked.forEach((_, i) => {
      if (fold.get(groups[i]) === f) scores[i] = model(features[i]);
    });
  }
  return auc(scores, positive);
}

/**
 * How well words alone tell the label, whatever their order: a naive Bayes classifier on the words of
 * a prompt, taught on one set, measured on another. Words are content: no limit is set to this.
 * @param {readonly Labelled[]} train @param {readonly Labelled[]} test
 * @param {readonly string[]} against
 */
export function wordsAuc(train, test, against) {
  const words = (/** @type {Labelled} */ row) => new Set(wordsOf(row.prompt));
  const counts = { harmful: new Map(), other: new Map() };
  const sizes = { harmful: 0, other: 0 };
  for (const row of chosen(train, against)) {
    const side = row.label === 'harmful' ? 'harmful' : 'other';
    sizes[side]++;
    for (const word of words(row)) counts[side].set(word, (counts[side].get(word) ?? 0) + 1);
  }
  const share = (/** @type {'harmful' | 'other'} */ side, /** @type {string} */ word) =>
    ((counts[side].get(word) ?? 0) + 1) / (sizes[side] + 2);
  const asked = chosen(test, against);
  const scores = asked.map((row) =>
    [...words(row)]
      .filter((word) => counts.harmful.has(word) || counts.other.has(word))
      .reduce((sum, word) => sum + Math.log(share('harmful', word) / share('other', word)), 0),
  );
  return auc(
    scores,
    asked.map((row) => row.label === 'harmful'),
  );
}

/** What harmful prompts are told from. */
export const AGAINST = {
  benign: ['benign'],
  borderline: ['borderline'],
  rest: ['benign', 'borderline'],
};

/**
 * `diary.harmful` and its twins are one scenario; elsewhere twins are, or every intent is its own.
 * @param {Labelled} row
 */
export function scenarioOf(row) {
  const scenario = row.intent.replace(/\.(harmful|borderline|benign)$/, '');
  return scenario === row.intent ? (row.pair ?? row.intent) : scenario;
}

/**
 * @typedef {{ set: string, against: keyof typeof AGAINST, random: number, grouped: number,
 *   fromTrain: number | undefined, words: number | undefined }} FormRow
 *
 * The figures of each set: folds at random, folds by scenario, and taught on the first set; of the
 * words, the last alone.
 * @param {ReadonlyMap<string, readonly Labelled[]>} sets @returns {FormRow[]}
 */
export function formTable(sets) {
  const [train] = sets.values();
  return [...sets].flatMap(([set, rows]) =>
    Object.entries(AGAINST)
      .filter(([, labels]) => rows.some((row) => labels.includes(row.label)))
      .map(([against, labels]) => ({
        set,
        against: /** @type {keyof typeof AGAINST} */ (against),
        random: crossValidatedAuc(rows, labels, (_, i) => i),
        grouped: crossValidatedAuc(rows, labels, scenarioOf),
        fromTrain: rows === train ? undefined : transferAuc(train, rows, labels),
        words: rows === train ? undefined : wordsAuc(train, rows, labels),
      })),
  );
}

/** @param {string} path @returns {Labelled[]} */
export function readJsonl(path) {
  return readFileSync(path, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const files = process.argv.slice(2);
  const show = (/** @type {number | undefined} */ value) => value?.toFixed(2) ?? '';
  console.log(
    '| set | harmful against | random folds | folds by scenario | taught | words, taught |',
  );
  console.log('| --- | --- | --- | --- | --- | --- |');
  const sets = new Map(files.map((file) => [basename(file, '.jsonl'), readJsonl(file)]));
  for (const row of formTable(sets)) {
    const figures = [row.random, row.grouped, row.fromTrain, row.words].map(show);
    console.log(`| ${[row.set, row.against, ...figures].join(' | ')} |`);
  }
}
