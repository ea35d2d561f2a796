// Makes the English prompt sets from their hand-written sources: `node tools/prompts/make.mjs`.
// Same bytes every time. docs/data.md says what the sets are.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { DOMAIN } from './domain.mjs';
import { FORMS, FRAMES, HELD_FRAMES } from './frames.mjs';

/**
 * @typedef {import('./frames.mjs').Form} Form
 * @typedef {import('./frames.mjs').Slot} Slot
 * @typedef {'harmful' | 'borderline' | 'benign'} Label
 *
 * A harmful, a borderline and a benign intent that differ in the harm alone, each in the same number
 * of wordings: `versions[i]` holds the three that go into the same frames.
 * @typedef {{ id: string, slot: Slot | 'whole', form: Form | undefined,
 *   kinds: Record<Label, string>, versions: Record<Label, string>[] }} Scenario
 *
 * @typedef {{ id: string, prompt: string, label: Label, intent: string, category?: string,
 *   style?: string, answer?: string, form?: Form, pair?: string, accepted?: string[] }} Row
 */

const HERE = dirname(fileURLToPath(import.meta.url));
const ROOT = join(HERE, '../..');
export const OUT = join(ROOT, 'public/data/en');

/** @type {readonly Label[]} */
export const LABELS = ['harmful', 'borderline', 'benign'];
const SLOTS = [...Object.keys(FRAMES), 'whole'];
/** Share of framed triples that are typed without capitals and without a final mark. */
const TYPED_FAST = 0.1;

/** 32-bit FNV-1a of the parts. @param {...(string | number)} parts */
function hash(...parts) {
  let h = 0x811c9dc5;
  for (const character of parts.join('\x1f')) {
    h = Math.imul(h ^ /** @type {number} */ (character.codePointAt(0)), 0x01000193) >>> 0;
  }
  return h;
}

/** mulberry32: numbers in [0, 1). @param {number} seed */
function randomOf(seed) {
  let a = seed;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/**
 * @template T
 * @param {readonly T[]} list @param {() => number} random @returns {T[]}
 */
function shuffled(list, random) {
  const out = [...list];
  for (let i = out.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [out[i], out[j]] = [out[j], out[i]];
  }
  return out;
}

/**
 * Scenarios of a source text: a line `# id slot category/style/topic` and three lines `H`, `B`, `N`
 * with as many wordings each, apart by ` | `. The slot of a complete prompt is `whole:form`.
 * @param {string} text @param {string} name for messages @returns {Scenario[]}
 */
export function parseScenarios(text, name) {
  /** @type {Scenario[]} */
  const out = [];
  for (const block of text.trim().split(/\n\s*\n/)) {
    const [head, ...lines] = block.split('\n');
    const fail = (/** @type {string} */ what) => new Error(`${name}: ${what} in "${head}".`);
    const match = /^# (\w+) (\w+)(?::(\w+))? (\w+)\/(\w+)\/(\w+)$/.exec(head);
    if (!match) throw fail('the heading is not "# id slot category/style/topic"');
    const [, id, slot, form, category, style, topic] = match;
    if (!SLOTS.includes(slot)) throw fail(`unknown slot ${slot}`);
    if ((slot === 'whole') !== FORMS.includes(/** @type {Form} */ (form))) throw fail('wrong form');
    if (lines.map((line) => line.slice(0, 2)).join('') !== 'H B N ')
      throw fail('not three lines H, B, N');
    const [harmful, borderline, benign] = lines.map((line) => line.slice(2).split(' | '));
    if (harmful.length !== borderline.length || harmful.length !== benign.length) {
      throw fail('unequal numbers of wordings');
    }
    out.push({
      id,
      slot: /** @type {Slot | 'whole'} */ (slot),
      form: /** @type {Form | undefined} */ (form),
      kinds: { harmful: category, borderline: style, benign: topic },
      versions: harmful.map((text, i) => ({
        harmful: text,
        borderline: borderline[i],
        benign: benign[i],
      })),
    });
  }
  return out;
}

/** The scenarios of `train`, `dev` or `intent`. @param {string} name */
export function readScenarios(name) {
  const file = `${name}.txt`;
  return parseScenarios(readFileSync(join(HERE, 'sources', file), 'utf8'), file);
}

/**
 * Frames in turn, so that each comes about as often as the others: shuffled, dealt out, shuffled again.
 * @param {string} set @param {Slot} slot @param {Record<Slot, import('./frames.mjs').FramesByForm>} frames
 */
function deck(set, slot, frames) {
  const random = randomOf(hash('frames', set, slot, frames === FRAMES ? 'open' : 'held'));
  const all = FORMS.flatMap((form) => (frames[slot][form] ?? []).map((frame) => ({ form, frame })));
  /** @type {typeof all} */
  let left = [];
  return () => {
    if (left.length === 0) left = shuffled(all, random);
    return /** @type {(typeof all)[number]} */ (left.pop());
  };
}

/** @param {string} text */
const typedFast = (text) => text.toLowerCase().replace(/[.?!]+$/, '');

/**
 * @param {Form} form @param {string} frame @param {Record<Label, string>} version
 * @param {boolean} fast
 */
function place(form, frame, version, fast) {
  const put = (/** @type {string} */ phrase) => {
    const text = frame.replace('{}', () => phrase);
    return fast && form !== 'code' ? typedFast(text) : text;
  };
  return { form, texts: LABELS.map((label) => put(version[label])) };
}

/**
 * A set: which wordings of which scenarios, and in how many frames of which list each.
 * @typedef {{ source: string, versions: (all: number) => number[],
 *   frames: (version: number) => ('open' | 'held')[] }} Plan
 * @type {Record<'train' | 'dev' | 'wording' | 'intent', Plan>}
 */
const PLANS = {
  train: {
    source: 'train',
    versions: (all) => Array.from({ length: all - 1 }, (_, i) => i),
    frames: () => ['open', 'open'],
  },
  dev: { source: 'dev', versions: (all) => [...Array(all).keys()], frames: () => ['open', 'open'] },
  wording: { source: 'train', versions: (all) => [all - 1], frames: () => ['open', 'held'] },
  intent: {
    source: 'intent',
    versions: (all) => [...Array(all).keys()],
    frames: (version) => (version === 0 ? ['open', 'held'] : ['held']),
  },
};
/** @type {readonly (keyof typeof PLANS)[]} */
export const MATCHED_SETS = /** @type {(keyof typeof PLANS)[]} */ (Object.keys(PLANS));

/**
 * Rows of a set in blocks of three (one of each label, in the same frame), so that the first n blocks
 * are a fair sample with whole pairs in it. The harmful prompt of a block is the twin of its
 * borderline and of its benign one in turn.
 * @param {keyof typeof PLANS} set @returns {Row[]}
 */
export function makeSet(set) {
  const plan = PLANS[set];
  const random = randomOf(hash('order', set));
  /** @type {Map<string, () => { form: Form, frame: string }>} */
  const decks = new Map();
  const draw = (/** @type {Slot} */ slot, /** @type {'open' | 'held'} */ kind) => {
    const key = `${slot} ${kind}`;
    const next = decks.get(key) ?? deck(set, slot, kind === 'open' ? FRAMES : HELD_FRAMES);
    decks.set(key, next);
    return next();
  };
  const blocks = readScenarios(plan.source).flatMap((scenario) =>
    plan.versions(scenario.versions.length).flatMap((index) => {
      const version = scenario.versions[index];
      const { slot, form } = scenario;
      if (slot === 'whole') {
        const triple = {
          form: /** @type {Form} */ (form),
          texts: LABELS.map((label) => version[label]),
        };
        return [{ scenario, ...triple }];
      }
      const used = new Set();
      return plan.frames(index).map((kind, turn) => {
        let next = draw(slot, kind);
        while (used.has(next.frame)) next = draw(slot, kind);
        used.add(next.frame);
        const fast = hash('fast', set, scenario.id, index, turn) / 2 ** 32 < TYPED_FAST;
        return { scenario, ...place(next.form, next.frame, version, fast) };
      });
    }),
  );
  return shuffled(blocks, random).flatMap(({ scenario, form, texts }, block) => {
    const twin = block % 2 === 0 ? 'borderline' : 'benign';
    const rows = LABELS.map((label, i) => {
      const kind = label === 'borderline' ? 'style' : 'category';
      /** @type {Omit<Row, 'id'>} */
      const row = {
        prompt: texts[i],
        label,
        intent: `${scenario.id}.${label}`,
        [kind]: scenario.kinds[label],
        form,
      };
      if (label === 'harmful' || label === twin) row.pair = `${set}-${block}`;
      return row;
    });
    return shuffled(rows, random).map((row, i) => ({ id: `en-${set}-${3 * block + i}`, ...row }));
  });
}

const ONES = [
  'zero',
  'one',
  'two',
  'three',
  'four',
  'five',
  'six',
  'seven',
  'eight',
  'nine',
  'ten',
  'eleven',
  'twelve',
];
const TEENS = ['thirteen', 'fourteen', 'fifteen', 'sixteen', 'seventeen', 'eighteen', 'nineteen'];
const TENS = ['twenty', 'thirty', 'forty', 'fifty', 'sixty', 'seventy', 'eighty', 'ninety'];

/** 365: `three hundred and sixty-five`; whole numbers below a million. @param {number} n @returns {string} */
export function inWords(n) {
  if (n < 20) return [...ONES, ...TEENS][n];
  if (n < 100) return TENS[Math.floor(n / 10) - 2] + (n % 10 ? `-${ONES[n % 10]}` : '');
  const [size, name] = n < 1000 ? [100, 'hundred'] : [1000, 'thousand'];
  const rest = n % size;
  return `${inWords(Math.floor(n / size))} ${name}${rest ? ` and ${inWords(rest)}` : ''}`;
}

/**
 * All that counts for one form: a number counts in words, too, with and without `and` and hyphen.
 * @param {string} form
 */
function spellings(form) {
  if (!/^\d+$/.test(form)) return [form];
  const words = inWords(Number(form));
  const all = [words, words.replace(/^one /, 'a '), words.replaceAll(' and ', ' ')];
  return [form, ...all, ...all.map((text) => text.replaceAll('-', ' '))];
}

/**
 * Benign questions with short answers: lines `prompt | form ; form` below `# topic form-of-the-prompt`.
 * @returns {Row[]}
 */
export function makeCheckable() {
  const blocks = readFileSync(join(HERE, 'sources/checkable.txt'), 'utf8')
    .trim()
    .split(/\n\s*\n/);
  const rows = blocks.flatMap((block) => {
    const [head, ...lines] = block.split('\n');
    const match = /^# (.+) (question|order|chat)$/.exec(head);
    if (!match) throw new Error(`checkable.txt: the heading "${head}" is not "# topic form".`);
    const [, category, form] = match;
    return lines.map((line, i) => {
      const [prompt, forms] = line.split(' | ');
      const accepted = [...new Set(forms.split(' ; ').flatMap(spellings))];
      const intent = `check.${category.replaceAll(' ', '-')}.${i + 1}`;
      /** @type {Omit<Row, 'id'>} */
      const row = {
        prompt,
        label: 'benign',
        intent,
        category,
        form: /** @type {Form} */ (form),
        answer: accepted[0],
        accepted,
      };
      return row;
    });
  });
  const order = shuffled(rows, randomOf(hash('order', 'checkable')));
  return order.map((row, i) => ({ id: `en-checkable-${i}`, ...row }));
}

/** @param {readonly object[]} rows */
export const toJsonl = (rows) => rows.map((row) => JSON.stringify(row)).join('\n') + '\n';

/** Every file of public/data/en, by its name. @returns {Map<string, string>} */
export function makeFiles() {
  return new Map([
    ...MATCHED_SETS.map(
      (set) => /** @type {[string, string]} */ ([`${set}.jsonl`, toJsonl(makeSet(set))]),
    ),
    ['checkable.jsonl', toJsonl(makeCheckable())],
    ['domain.json', JSON.stringify(DOMAIN, null, 2) + '\n'],
  ]);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  mkdirSync(OUT, { recursive: true });
  for (const [name, text] of makeFiles()) writeFileSync(join(OUT, name), text);
}
