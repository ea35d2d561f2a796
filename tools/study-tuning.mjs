/**
 * How the study's learning rates were chosen: on training prompts that are held out, never on test sets.
 *
 *   node tools/study-tuning.mjs split FOLDER          a --data folder: four fifths to train on, a fifth as `wording`
 *   node tools/study-tuning.mjs pick RESULTS.json …   sweeps of one learning rate each: the table, and `tuned` fields
 *
 * Of the rates at which benign answers stay within 0.2 nats of the base model's and whose joint score is
 * within half a point of the best, the one with the least token KL is picked.
 */
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './project.mjs';

const HELD_OUT = 5;
const MOST_TOKEN_KL = 0.2;
const JOINT_SLACK = 0.005;

/** FNV-1a of a text, its halves folded. @param {string} text */
function hash(text) {
  let value = 2166136261;
  for (const letter of text) value = Math.imul(value ^ letter.charCodeAt(0), 16777619) >>> 0;
  return (value ^ (value >>> 15)) >>> 0;
}

/** @param {string} folder */
function split(folder) {
  const data = join(root, 'public/data');
  const lines = readFileSync(join(data, 'train.jsonl'), 'utf8').trim().split('\n');
  /** @param {string} line */
  const isHeldOut = (line) => hash(`${JSON.parse(line).id}dev`) % HELD_OUT === 0;
  /** @type {(name: string, lines: string[]) => void} */
  const write = (name, list) => writeFileSync(join(folder, name), `${list.join('\n')}\n`);
  const heldOut = lines.filter(isHeldOut);
  mkdirSync(folder, { recursive: true });
  write(
    'train.jsonl',
    lines.filter((line) => !isHeldOut(line)),
  );
  write('wording.jsonl', heldOut);
  write('intent.jsonl', heldOut.slice(0, 12));
  copyFileSync(join(data, 'domain.json'), join(folder, 'domain.json'));
}

/** @typedef {{ rate: number, joint: number, tokenKl: number }} Trial */

/** @param {readonly number[]} values */
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** @param {readonly Trial[]} trials means over seeds, one a rate @returns {Trial | undefined} */
function pickRate(trials) {
  const unharmed = trials.filter(({ tokenKl }) => tokenKl <= MOST_TOKEN_KL);
  const best = Math.max(...unharmed.map(({ joint }) => joint));
  return unharmed
    .filter(({ joint }) => joint >= best - JOINT_SLACK)
    .sort((a, b) => a.tokenKl - b.tokenKl)[0];
}

/** @param {readonly string[]} files */
function pick(files) {
  /** @type {Map<string, Map<number, Trial[]>>} by adapter and objective, then rate */
  const found = new Map();
  for (const file of files) {
    for (const { result } of JSON.parse(readFileSync(file, 'utf8')).cells) {
      if (!result) continue;
      const { adapter, objective, learningRate } = result.recipe;
      const { scores } = result.evaluations[0].systems.adapter;
      const rates = found.get(`${adapter.kind} ${objective.name}`) ?? new Map();
      found.set(`${adapter.kind} ${objective.name}`, rates);
      const trials = rates.get(learningRate) ?? [];
      rates.set(learningRate, trials);
      trials.push({
        rate: learningRate,
        joint: scores.joint.value,
        tokenKl: scores.tokenKl?.value ?? Infinity,
      });
    }
  }
  const tuned = [];
  for (const [name, rates] of found) {
    const trials = [...rates]
      .sort(([a], [b]) => a - b)
      .map(([rate, list]) => ({
        rate,
        joint: mean(list.map(({ joint }) => joint)),
        tokenKl: mean(list.map(({ tokenKl }) => tokenKl)),
      }));
    const picked = pickRate(trials);
    const cells = trials.map(
      ({ rate, joint, tokenKl }) => `${rate}: ${(100 * joint).toFixed(1)} (${tokenKl.toFixed(3)})`,
    );
    console.log(`| ${name} | ${cells.join(' | ')} | ${picked?.rate ?? 'none'} |`);
    const [adapter, objective] = name.split(' ');
    if (picked) tuned.push({ adapter, objective, set: { learningRate: picked.rate } });
  }
  console.log(JSON.stringify(tuned));
}

const [command, ...rest] = process.argv.slice(2);
if (command === 'split' && rest.length === 1) split(/** @type {string} */ (rest[0]));
else if (command === 'pick' && rest.length > 0) pick(rest);
else {
  console.error('Usage: node tools/study-tuning.mjs split FOLDER | pick RESULTS.json …');
  process.exitCode = 2;
}
