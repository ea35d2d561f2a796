/** Which column of a file says what is harmful, and what its values mean. */
import { type Labels, otherSubject } from './answers-beside';
import { LABEL_LENGTH, type Rows, shortText, textsOf } from './column-texts';
import {
  LABEL_NAMES,
  LOOSE,
  LOOSE_TEXT,
  meaningsOf,
  nameOfLabel,
  namesPrompts,
  PLAIN_QUESTION,
  saysKind,
  saysOfAnswers,
  YES_MEANS,
} from './label-names';
import { COMMON_LABELS } from './plan';
import { count, PROMPT_LABELS, type PromptLabel, quoted, type TableRow } from './types';

export interface LabelColumn {
  column: string;
  /** By text in lower case; null where the column is there but cannot be taken at its word. */
  values: Record<string, PromptLabel> | null;
  /** What gave it away: that it is called the prompt's label, or a label, or what it holds. */
  by: 'prompt' | 'name' | 'values';
  /** Why it cannot be taken at its word, in a sentence; empty where it is. */
  doubt: string;
  /** Because it may not be about prompts: it then says nothing against what a known set is. */
  slight: boolean;
}

interface Candidate extends Labels {
  values: Record<string, PromptLabel>;
  by: LabelColumn['by'];
  /** Neither its name nor its words say that it is about prompts. */
  doubt: string;
}

/**
 * The file's own labels; null where no column holds any. A column that is called the prompt's label
 * wins. Any other is doubted where the file holds something else that it may be about, and where
 * another column disagrees.
 * @param taken columns that a layout knows
 * @param judged they say already which answers are harmful
 */
export function labelColumn(
  table: Rows,
  prompt: string,
  taken: ReadonlySet<string> = new Set(),
  judged = false,
): LabelColumn | null {
  const columns = table.columns.filter((column) => column !== prompt && !taken.has(column));
  const candidates = candidatesIn(table, columns);
  if ('unread' in candidates) {
    const { unread: column, by } = candidates;
    return { column, values: null, by, doubt: saysNothing(table, column), slight: false };
  }
  const [first, ...others] = candidates;
  if (!first) return null;
  const { column, by } = first;
  const doubted = (doubt: string, slight: boolean): LabelColumn => {
    return { column, by, values: null, doubt, slight };
  };
  const other = others.find(
    (each) => !onlyLoose(textsOf(table, each.column, 12)) && disagree(table, first, each),
  );
  if (other) {
    const both = `${quoted(first.column)} and ${quoted(other.column)}`;
    return doubted(`The columns ${both} disagree about what is harmful.`, false);
  }
  const subject = by === 'prompt' ? null : otherSubject(table, first, prompt, { taken, judged });
  if (subject !== null) {
    return doubted(`The column ${quoted(column)} may be about ${subject}.`, true);
  }
  if (first.doubt !== '') return doubted(first.doubt, true);
  return { column, by, values: first.values, doubt: '', slight: false };
}

/** Columns of labels, the clearest first, or the clearest one where it cannot be read. */
function candidatesIn(
  table: Rows,
  columns: readonly string[],
): Candidate[] | { unread: string; by: 'prompt' | 'name' } {
  const ofPrompts = byName(table, columns, 'prompt');
  const kinds = byValues(table, columns.filter(namesPrompts)).filter(
    ({ column, doubt }) => doubt === '' && !ofPrompts.found.some((each) => each.column === column),
  );
  const clear = [...ofPrompts.found, ...kinds.map((each) => ({ ...each, by: 'prompt' as const }))];
  if (clear.length > 0) return clear;
  if (ofPrompts.unread !== null) return { unread: ofPrompts.unread, by: 'prompt' };
  const { found, unread } = byName(table, columns, 'name');
  if (found.length === 0 && unread !== null) return { unread, by: 'name' };
  const named = new Set(found.map(({ column }) => column));
  const rest = columns.filter((column) => !named.has(column));
  return [...found, ...byValues(table, rest)];
}

/** Columns that are called labels; `prompt`: those called the labels of prompts, else the others. */
function byName(
  table: Rows,
  columns: readonly string[],
  by: 'prompt' | 'name',
): { found: Candidate[]; unread: string | null } {
  const byName = new Map<string, string[]>();
  for (const column of columns) {
    if (namesPrompts(column) !== (by === 'prompt')) continue;
    const name = nameOfLabel(column);
    byName.set(name, [...(byName.get(name) ?? []), column]);
  }
  const found: Candidate[] = [];
  let unread: string | null = null;
  for (const name of [...LABEL_NAMES, ...Object.keys(YES_MEANS)]) {
    for (const column of byName.get(name) ?? []) {
      const texts = textsOf(table, column);
      if (texts.length === 0) continue;
      const values = meaningsOf(name);
      const reading = readingOf(name, texts, values);
      if (reading === 'labels') {
        found.push({ column, values, by, trust: trustIn(name, texts), doubt: '' });
      } else if (reading === 'unread') unread ??= column;
    }
  }
  return { found, unread };
}

/** Whether a column of such texts says it, should say it and does not, or is about something else. */
function readingOf(
  name: string,
  texts: readonly string[],
  values: Record<string, PromptLabel>,
): 'labels' | 'unread' | 'none' {
  const known = texts.filter((text) => Object.hasOwn(values, text));
  if (!Object.hasOwn(YES_MEANS, name)) {
    if (known.length > 0) return 'labels';
    return LOOSE.has(name) ? 'none' : 'unread';
  }
  // Scores from 0 to 1 hold a 0 and a 1, too; and on a scale from 1 on, 1 is the least.
  if (known.length === texts.length) {
    const oneEnd = name === 'toxicity' && texts.length === 1 && /^[\d.]+$/.test(texts[0]!);
    return oneEnd ? 'unread' : 'labels';
  }
  return known.length > 0 && PLAIN_QUESTION.test(name) ? 'unread' : 'none';
}

function trustIn(name: string, texts: readonly string[]): Labels['trust'] {
  if (Object.hasOwn(YES_MEANS, name) || LOOSE.has(name)) return 'any';
  const known = texts.filter((text) => Object.hasOwn(COMMON_LABELS, text));
  const own = known.every((text) => PROMPT_LABELS.some((label) => label === text));
  return own ? 'own' : 'words';
}

/** Whether any row is harmful by one of two columns and not by the other. */
function disagree(table: Rows, first: Candidate, second: Candidate): boolean {
  const read = ({ column, values }: Candidate) => {
    const index = table.columns.indexOf(column);
    return ({ cells }: TableRow) => {
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

const onlyLoose = (texts: readonly string[]) => texts.every((text) => LOOSE_TEXT.test(text));

/** Columns of whatever name with nothing but labels in them, those that can be trusted first. */
function byValues(table: Rows, columns: readonly string[]): Candidate[] {
  const found = columns.flatMap((column): Candidate[] => {
    if (saysOfAnswers(column)) return [];
    const texts = textsOf(table, column, 12);
    if (texts.length === 0 || texts.length > 12) return [];
    if (!texts.every((text) => Object.hasOwn(COMMON_LABELS, text))) return [];
    let doubt = '';
    if (onlyLoose(texts)) doubt = saysNothing(table, column);
    else if (!saysKind(column)) {
      const shown = texts.slice(0, 4).map(quoted).join(', ');
      doubt = `The column ${quoted(column)} holds ${shown}, but is not called a label of prompts.`;
    }
    return [{ column, values: { ...COMMON_LABELS }, by: 'values', trust: 'words', doubt }];
  });
  return found.sort((a, b) => Number(a.doubt !== '') - Number(b.doubt !== ''));
}

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
