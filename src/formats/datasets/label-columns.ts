/** Which column of a file says what is harmful, and what its values mean. */
import { CellError, textOf } from './cells';
import { COMMON_LABELS } from './plan';
import { count, type PromptLabel, quoted, type Table } from './types';

type Rows = Pick<Table, 'columns' | 'rows'>;

/** Columns that are there to say it, the clearest first. */
const LABEL_NAMES: readonly string[] = [
  ...['label', 'labels', 'prompt_label', 'prompt_harm_label', 'harm_label', 'safety_label'],
  ...['prompt_safety_label', 'gold_label', 'safety', 'class'],
];
/** These may say something else; where their values are no labels, they are as if not there. */
const LOOSE = new Set(['safety', 'class']);

/** Columns of yes and no. */
const YES_MEANS: Record<string, PromptLabel> = {
  ...{ is_safe: 'benign', safe: 'benign', is_benign: 'benign', benign: 'benign' },
  ...{ is_harmless: 'benign', harmless: 'benign', is_harmful: 'harmful', harmful: 'harmful' },
  ...{ is_unsafe: 'harmful', unsafe: 'harmful', toxic: 'harmful', is_toxic: 'harmful' },
  ...{ malicious: 'harmful', is_malicious: 'harmful', jailbreak: 'harmful' },
  ...{ is_jailbreak: 'harmful', flagged: 'harmful', is_flagged: 'harmful', toxicity: 'harmful' },
};
const YES = ['true', '1', '1.0', 'yes', 'y'];
const NO = ['false', '0', '0.0', 'no', 'n'];

/** Columns about answers say nothing of prompts. */
const OF_ANSWERS =
  /response|output|completion|answer|target|predict|model|gpt|llama|annotat|judge|final|refus/;

export interface LabelColumn {
  column: string;
  /** By text in lower case; null where the column is there but says nothing that is known. */
  values: Record<string, PromptLabel> | null;
  /** Its distinct texts, the most frequent first. */
  found: readonly string[];
  /** What gave it away. */
  by: 'name' | 'values';
}

const nameOf = (column: string) =>
  column
    .trim()
    .toLowerCase()
    .replace(/[\s-]+/g, '_');

/** The file's own labels; null where no column holds any. `except` are columns taken already. */
export function labelColumn(table: Rows, except: ReadonlySet<string>): LabelColumn | null {
  const columns = table.columns.filter((column) => !except.has(column));
  const byName = new Map([...columns].reverse().map((column) => [nameOf(column), column]));
  let unread: LabelColumn | null = null;
  for (const name of [...LABEL_NAMES, ...Object.keys(YES_MEANS)]) {
    const column = byName.get(name);
    if (column === undefined) continue;
    const found = textsOf(table, column);
    if (found.length === 0) continue;
    const meanings = meaningsOf(name);
    const known = found.filter((text) => Object.hasOwn(meanings, text));
    const ofYesAndNo = Object.hasOwn(YES_MEANS, name);
    // Scores from 0 to 1 hold a 0 and a 1, too.
    const enough = ofYesAndNo ? known.length === found.length : known.length > 0;
    if (enough) return { column, values: meanings, found, by: 'name' };
    if (!LOOSE.has(name) && !ofYesAndNo) {
      unread ??= { column, values: null, found, by: 'name' };
    }
  }
  return unread ?? byValues(table, columns);
}

/** What the texts of a column called so mean. */
function meaningsOf(name: string): Record<string, PromptLabel> {
  if (!Object.hasOwn(YES_MEANS, name)) return { ...COMMON_LABELS };
  const yes = YES_MEANS[name]!;
  const no = yes === 'harmful' ? 'benign' : 'harmful';
  return {
    ...COMMON_LABELS,
    ...Object.fromEntries([...YES.map((text) => [text, yes]), ...NO.map((text) => [text, no])]),
  };
}

/** A column of whatever name with nothing but labels in it. */
function byValues(table: Rows, columns: readonly string[]): LabelColumn | null {
  for (const column of columns) {
    if (OF_ANSWERS.test(nameOf(column))) continue;
    const found = textsOf(table, column, 12);
    if (found.length === 0 || found.length > 12) continue;
    if (found.every((text) => Object.hasOwn(COMMON_LABELS, text))) {
      return { column, values: { ...COMMON_LABELS }, found, by: 'values' };
    }
  }
  return null;
}

/**
 * Distinct texts of `column`, trimmed, in lower case, empty and long ones left out, the most frequent
 * first; more than `limit` of them, and the list ends one beyond it, unordered.
 */
export function textsOf(table: Rows, column: string, limit = 1000): string[] {
  const index = table.columns.indexOf(column);
  const counts = new Map<string, number>();
  for (const { cells } of table.rows) {
    const text = shortText(cells[index], column);
    if (text === '') continue;
    counts.set(text, (counts.get(text) ?? 0) + 1);
    if (counts.size > limit) return [...counts.keys()];
  }
  return [...counts].sort((a, b) => b[1] - a[1]).map(([text]) => text);
}

/** A text that could be a label: a longer one stands for itself, cut. */
function shortText(cell: Parameters<typeof textOf>[0], column: string): string {
  try {
    return textOf(cell, column).slice(0, 200).trim().toLowerCase();
  } catch (error) {
    if (error instanceof CellError) return '';
    throw error;
  }
}

export interface LabelValue {
  value: string;
  rows: number;
}

/** What `column` holds, lower case, the most frequent first, long texts left out. At most `limit`. */
export function labelValues(table: Rows, column: string | null, limit = 12): LabelValue[] {
  const index = column === null ? -1 : table.columns.indexOf(column);
  if (column === null || index < 0) return [];
  const counts = new Map<string, number>();
  for (const { cells } of table.rows) {
    const value = shortText(cells[index], column);
    if (value === '' || value.length > LABEL_LENGTH) continue;
    counts.set(value, (counts.get(value) ?? 0) + 1);
  }
  return [...counts]
    .map(([value, rows]) => ({ value, rows }))
    .sort((a, b) => b.rows - a.rows)
    .slice(0, limit);
}

/** Longer texts are no labels, and could be prompts, which messages never show. */
const LABEL_LENGTH = 40;

/** A sentence about a column whose texts say nothing. */
export function saysNothing({ column, found }: LabelColumn): string {
  const shown = found
    .filter((text) => text.length <= LABEL_LENGTH)
    .slice(0, 4)
    .map(quoted);
  if (found.length > shown.length) shown.push(`${count(found.length - shown.length)} more`);
  return (
    `The column ${quoted(column)} holds ${shown.join(', ')}, which do not say by themselves what ` +
    'is harmful.'
  );
}
