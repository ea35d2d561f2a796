/** What in a file a column of labels may be about, other than the prompts. */
import { isChatText, isNested, structureIn } from './cells';
import { type Rows, shortText } from './column-texts';
import { isUser, messagesIn, roleOf } from './conversation';
import { isBeside, isTextName, namesAnswers, namesRuns } from './label-names';
import { type Json, quoted } from './types';

export interface Labels {
  column: string;
  /**
   * How far they are said of prompts where something else stands beside. `any`: “unsafe” may as well
   * be that of an answer. `words`: a column of plain labels. `own`: this project's own words.
   */
  trust: 'any' | 'words' | 'own';
}

/**
 * What the labels may be about, to follow “The column “x” may be about …”; null where there is nothing
 * but prompts. As in `labelColumn`, `taken` are columns that the file's layout knows, and `judged` that
 * they say already which answers are harmful.
 */
export function otherSubject(
  table: Rows,
  { column, trust }: Labels,
  prompt: string,
  { taken, judged }: { taken: ReadonlySet<string>; judged: boolean },
): string | null {
  if (table.ofPrompts?.includes(column)) return null;
  if (holdsMore(table, prompt)) {
    return `the whole of what is in ${quoted(prompt)}, not about its first message`;
  }
  if (trust === 'own' && judged) return null;
  // In sets to train on, as Alpaca, the output is what should be said: nobody judged it.
  const teaches = table.columns.some((name) => /^instruction$/i.test(name.trim()));
  const known = (name: string) =>
    (trust === 'own' && /^answer$/i.test(name.trim())) ||
    (trust !== 'any' && teaches && /^output$/i.test(name.trim()));
  const others = table.columns.filter(
    (name) => name !== column && name !== prompt && !taken.has(name) && !known(name),
  );
  const isText = (name: string) =>
    isTextName(name) ||
    holdsChats(table, name) ||
    (trust !== 'own' && !isBeside(name) && isProse(table, name));
  const answers = others.find(namesAnswers);
  if (answers !== undefined) return `the answers in ${quoted(answers)}, not about the prompts`;
  const runs = others.find(namesRuns);
  if (runs !== undefined) return `answers, as ${quoted(runs)} seems to be, not about the prompts`;
  const texts = others.find(isText);
  return texts === undefined ? null : `the texts in ${quoted(texts)}, not about the prompts`;
}

/** Rows whose texts are looked into. */
const SAMPLE = 200;

const cellsOf = ({ columns, rows }: Rows, column: string) => {
  const index = columns.indexOf(column);
  return rows.slice(0, SAMPLE).map(({ cells }) => cells[index]);
};

const holdsChats = (table: Rows, column: string) =>
  cellsOf(table, column).some((cell) => typeof cell === 'object' && messagesIn(cell) !== null);

/** Whether any of the prompts is the first of several messages: labels may be those of all. */
function holdsMore(table: Rows, column: string): boolean {
  const values: (Json | undefined)[] = [];
  for (const cell of cellsOf(table, column)) {
    if (typeof cell !== 'string' || cell.trim() === '') values.push(cell);
    else {
      const structure = structureIn(cell);
      // One plain text among them, and all texts are what they are.
      if (!isNested(column) && !isChatText(cell, structure)) return false;
      values.push(structure?.value);
    }
  }
  return values.some(goesOn);
}

function goesOn(value: Json | undefined): boolean {
  const messages = messagesIn(value);
  if (messages === null) {
    const turns = Array.isArray(value) && value.every((each) => typeof each === 'string');
    return turns && value.length > 1;
  }
  const spoken = messages
    .map((message) => roleOf(message)!)
    .filter((role) => !/^(system|developer)$/.test(role));
  return spoken.length > 1 || spoken.some((role) => !isUser(role));
}

/** Sentences, a different one in most rows. */
function isProse(table: Rows, column: string): boolean {
  const texts = cellsOf(table, column)
    .map((cell) => shortText(cell, column))
    .filter((text) => text !== '' && !/^\w+:\/\/\S+$/.test(text));
  const long = texts.filter((text) => text.split(/\s+/).length >= 4 || text.length >= 40);
  return long.length * 2 > texts.length && new Set(texts).size * 2 > texts.length;
}
