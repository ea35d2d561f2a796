/** Which column of a file says what is harmful, and what its values mean. */
import { CellError, textOf } from './cells';
import { COMMON_LABELS } from './plan';
import { count, PROMPT_LABELS, type PromptLabel, quoted, type Table } from './types';

type Rows = Pick<Table, 'columns' | 'rows'>;

/** Columns that are there to say it, the clearest first. */
const LABEL_NAMES: readonly string[] = [
  ...['label', 'labels', 'harm_label', 'safety_label', 'gold_label', 'harmfulness', 'safety'],
  'class',
];
/** These may say something else; where their values are no labels, they are as if not there. */
const LOOSE = new Set(['safety', 'class', 'harmfulness']);

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

/** A word of a column's name that says whose label it is: the prompt's. */
const OF_PROMPTS = /^(prompt|question|query|instruction|input|user|request)s?$/;
/** A column with such a word in its name holds answers, or says something of them. */
const ANSWERS =
  /^(response|output|completion|reply|replie|answer|generation|generated|continuation|assistant|chosen|rejected|resp)s?$/;
/** The same, and models that answers are named after: their columns say nothing of prompts. */
const OF_ANSWERS =
  /respon|output|complet|answer|repl(y|ie)|generat|continu|assistant|target|predict|model|annotat|judge|final|refus|compl(y|ian)|chosen|reject|gpt|llama|vicuna|claude|mi[sx]tral|gemini|gemma|qwen|alpaca|falcon|palm|bard|bing|bot$|deepseek|command|koala|zephyr|phi[-_]?\d|chatglm|baichuan|wizard/;

export interface LabelColumn {
  column: string;
  /** By text in lower case; null where the column is there but cannot be taken at its word. */
  values: Record<string, PromptLabel> | null;
  /** What gave it away. */
  by: 'name' | 'values';
  /** Why it cannot be taken at its word, in a sentence; empty where it is. */
  doubt: string;
  /** Because it may be about answers: it then says nothing against what a known set is. */
  ofAnswers: boolean;
}

interface Candidate {
  column: string;
  values: Record<string, PromptLabel>;
  by: 'name' | 'values';
  /**
   * How far it is the prompt's where answers stand beside it. `any`: "unsafe", "flagged" may as well be
   * the answer's. `safe`: a column of plain labels, but of words that are said of answers, too.
   * `none`: this project's own words, which are said of prompts.
   */
  doubt: 'any' | 'safe' | 'none';
}

const wordsOf = (column: string) =>
  column
    .trim()
    // promptLabel, as JSON has it.
    .replace(/([a-z])([A-Z])/g, '$1_$2')
    .toLowerCase()
    .split(/[\s_.-]+/)
    .filter((word) => word !== '');

/**
 * The file's own labels; null where no column holds any. `except` are columns taken already. A column
 * that is called the prompt's label wins. Any other is doubted where the file holds answers, too,
 * which it may be about, and where another column says something else.
 */
export function labelColumn(table: Rows, except: ReadonlySet<string>): LabelColumn | null {
  const columns = table.columns.filter((column) => !except.has(column));
  const named = byName(table, columns, true);
  const ofPrompts = named.found.length > 0;
  const loose = ofPrompts ? null : byName(table, columns, false);
  const unread = loose?.unread ?? named.unread;
  if (!ofPrompts && loose?.found.length === 0 && unread !== null) {
    const doubt = saysNothing(table, unread);
    return { column: unread, values: null, by: 'name', doubt, ofAnswers: false };
  }
  const candidates = ofPrompts ? named.found : loose!.found;
  const found = candidates.length > 0 ? candidates : byValues(table, columns);
  const [first, ...others] = found;
  if (!first) return null;
  const { column, by } = first;
  const doubted = (doubt: string, ofAnswers: boolean): LabelColumn => {
    return { column, by, values: null, doubt, ofAnswers };
  };
  const other = others.find((each) => disagree(table, first, each));
  if (other) {
    const both = `${quoted(first.column)} and ${quoted(other.column)}`;
    return doubted(`The columns ${both} disagree about what is harmful.`, false);
  }
  const answers = ofPrompts ? undefined : answerColumn(table, first, except);
  if (answers !== undefined) {
    return doubted(
      `The column ${quoted(first.column)} may be about the answers in ${quoted(answers)}, not about ` +
        'the prompts.',
      true,
    );
  }
  return { column, by, values: first.values, doubt: '', ofAnswers: false };
}

/** A column of answers that the labels in `candidate` may be about. */
function answerColumn(
  { columns }: Rows,
  { doubt }: Candidate,
  except: ReadonlySet<string>,
): string | undefined {
  if (doubt === 'none') return undefined;
  // In sets to train on, as Alpaca, the output is what should be said: nobody judged it.
  const teaches = columns.some((column) => /^instruction$/i.test(column.trim()));
  return columns.find((column) => {
    if (except.has(column) || (teaches && doubt === 'safe' && /^output$/i.test(column.trim()))) {
      return false;
    }
    return wordsOf(column).some((word) => ANSWERS.test(word));
  });
}

/** Columns that are called labels; `prompts`: those called the labels of prompts, else the others. */
function byName(
  table: Rows,
  columns: readonly string[],
  prompts: boolean,
): { found: Candidate[]; unread: string | null } {
  const byName = new Map<string, string>();
  for (const column of [...columns].reverse()) {
    const words = wordsOf(column);
    const rest = words.filter((word) => !OF_PROMPTS.test(word));
    if (rest.length < words.length === prompts) byName.set(rest.join('_'), column);
  }
  const found: Candidate[] = [];
  let unread: string | null = null;
  for (const name of [...LABEL_NAMES, ...Object.keys(YES_MEANS)]) {
    const column = byName.get(name);
    if (column === undefined) continue;
    const texts = textsOf(table, column);
    if (texts.length === 0) continue;
    const values = meaningsOf(name);
    const known = texts.filter((text) => Object.hasOwn(values, text));
    const ofYesAndNo = Object.hasOwn(YES_MEANS, name);
    // Scores from 0 to 1 hold a 0 and a 1, too.
    const enough = ofYesAndNo ? known.length === texts.length : known.length > 0;
    const own = known.every((text) => PROMPT_LABELS.some((label) => label === text));
    const plain = !ofYesAndNo && !LOOSE.has(name);
    const doubt = plain ? (own ? 'none' : 'safe') : 'any';
    if (enough) found.push({ column, values, by: 'name', doubt });
    else if (plain) unread ??= column;
  }
  return { found, unread };
}

/** Whether any row is harmful by one of two columns and not by the other. */
function disagree(table: Rows, first: Candidate, second: Candidate): boolean {
  const read = ({ column, values }: Candidate) => {
    const index = table.columns.indexOf(column);
    return ({ cells }: Rows['rows'][number]) => {
      const text = shortText(cells[index], column);
      return Object.hasOwn(values, text) ? values[text] === 'harmful' : null;
    };
  };
  const [one, other] = [read(first), read(second)];
  return table.rows.some((row) => {
    const [a, b] = [one(row), other(row)];
    return a !== null && b !== null && a !== b;
  });
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

/** Columns of whatever name with nothing but labels in them. */
function byValues(table: Rows, columns: readonly string[]): Candidate[] {
  return columns.flatMap((column) => {
    if (OF_ANSWERS.test(wordsOf(column).join('_'))) return [];
    const found = textsOf(table, column, 12);
    if (found.length === 0 || found.length > 12) return [];
    if (!found.every((text) => Object.hasOwn(COMMON_LABELS, text))) return [];
    return [
      { column, values: { ...COMMON_LABELS }, by: 'values' as const, doubt: 'safe' as const },
    ];
  });
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

/** A text that could be a label: a longer one stands for itself, cut, and is not taken apart. */
function shortText(cell: Parameters<typeof textOf>[0], column: string): string {
  if (typeof cell === 'string' && cell.length > 1000)
    return cell.slice(0, 200).trim().toLowerCase();
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
function saysNothing(table: Rows, column: string): string {
  const found = textsOf(table, column);
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
