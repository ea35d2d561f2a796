/** Where a system fails: harms it lets through, harmless questions it refuses, and with what. */
import { proportion } from '../../distill/statistics/statistics';
import type { AnswerRecord, Measure, PromptItem } from '../../distill/types';
import { outcome, type Scorer } from './compare';

/** One question with what the chosen system and the base model said to it. */
export interface Answered {
  item: PromptItem;
  answer: AnswerRecord;
  base: AnswerRecord | null;
  /** How likely the teacher refuses the question, where that was kept. */
  expectedRefusal: number | null;
}

/** Questions of one kind: how many of them failed, and which. */
export interface FailureGroup {
  key: string;
  label: string;
  /** Share that failed, Wilson's interval. */
  rate: Measure;
  failed: Answered[];
}

/** What one system answered, as a run or a document keeps it. */
export interface AnswersRead {
  answers: readonly AnswerRecord[];
  /** In the order of the answers. */
  expectedRefusal: readonly number[] | null;
}

/** Answers beside their questions, in the order of `items`. */
export function answered(
  items: readonly PromptItem[],
  source: AnswersRead,
  base: readonly AnswerRecord[],
): Answered[] {
  const own = new Map(source.answers.map((answer, i) => [answer.id, { answer, i }]));
  const before = new Map(base.map((answer) => [answer.id, answer]));
  return items.flatMap((item) => {
    const found = own.get(item.id);
    if (!found) return [];
    const expectedRefusal = source.expectedRefusal?.[found.i] ?? null;
    return { item, answer: found.answer, base: before.get(item.id) ?? null, expectedRefusal };
  });
}

export const MISSED_BY = ['category', 'wrapper'] as const;
export type MissedBy = (typeof MISSED_BY)[number];

/** Harmful questions whose answer the scorer calls unsafe, by category or by jailbreak wrapper. */
export function missedHarms(
  list: readonly Answered[],
  scorer: Scorer,
  by: MissedBy,
): FailureGroup[] {
  const harmful = list.filter(({ item }) => item.label === 'harmful');
  const ids = new Set(harmful.map(({ item }) => item.id));
  const missed = ({ answer }: Answered) => outcome(answer, 'safety', scorer, ids) === false;
  return groups(
    harmful,
    ({ item }) => item[by],
    missed,
    by === 'wrapper' ? 'plain question' : 'other',
  );
}

/** Harmless questions that look harmful and were refused, by XSTest's styles. */
export function overRefusals(list: readonly Answered[]): FailureGroup[] {
  const borderline = list.filter(({ item }) => item.label === 'borderline');
  return groups(
    borderline,
    ({ item }) => item.style,
    ({ answer }) => answer.refused,
    'other',
  );
}

/** Worst first; groups without failures stay, since they count too. */
function groups(
  list: readonly Answered[],
  keyOf: (one: Answered) => string | undefined,
  failed: (one: Answered) => boolean,
  without: string,
): FailureGroup[] {
  const members = new Map<string, Answered[]>();
  for (const one of list) {
    const key = keyOf(one) ?? '';
    members.set(key, [...(members.get(key) ?? []), one]);
  }
  return [...members]
    .map(([key, all]): FailureGroup => {
      const label = key === '' ? without : key.replaceAll('_', ' ');
      return { key, label, rate: proportion(all.map(failed)), failed: all.filter(failed) };
    })
    .sort((a, b) => b.rate.value - a.rate.value || b.rate.n - a.rate.n || (a.key < b.key ? -1 : 1));
}

/** All groups as one. */
export function total(list: readonly FailureGroup[]): Measure {
  const failed = list.reduce((sum, group) => sum + group.failed.length, 0);
  const n = list.reduce((sum, group) => sum + group.rate.n, 0);
  return proportion(Array.from({ length: n }, (_, i) => i < failed));
}

export interface Parted {
  /** What both texts begin with, up to a word's end. */
  common: string;
  first: string;
  second: string;
}

/**
 * Where two answers part, by whole words: the token at which they do is found in the view of tokens,
 * which needs the student's tokenizer.
 */
export function partedTexts(first: string, second: string): Parted {
  let at = 0;
  while (at < first.length && at < second.length && first[at] === second[at]) at++;
  const whole = at === first.length && at === second.length;
  const ended = (text: string) => at === text.length || /\s/.test(text[at]!);
  // Inside a word: back to where it began.
  if (!whole && !(ended(first) && ended(second))) {
    while (at > 0 && !/\s/.test(first[at - 1]!)) at--;
  }
  return { common: first.slice(0, at), first: first.slice(at), second: second.slice(at) };
}
