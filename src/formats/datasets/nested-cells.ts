/** Lists and chats that cells spell out as text: how many there are, and a bound on what they become. */
import {
  isChatText,
  isNested,
  plain,
  promptOf,
  type PromptText,
  type Structure,
  structureIn,
  textOf,
} from './cells';
import type { ImportPlan } from './plan';
import { count, DatasetFileError, DEFAULT_LIMITS, type Json, quoted, type Table } from './types';

export class NestedCells {
  /** Texts in the column of prompts that spell a chat out, or where lists are usual, a list; and others. */
  private spelled = 0;
  private others = 0;
  /** Values of all lists and chats so far, although they are built one after the other. */
  private values = 0;
  private readonly column: string;
  /** The column's name says that it holds lists. */
  private readonly isNested: boolean;

  /** Throws {@link DatasetFileError} where the prompts spell out too much. */
  constructor(table: Table, plan: ImportPlan) {
    this.column = plan.mapping.prompt;
    this.isNested = isNested(this.column);
    if (plan.layout === 'retort' || this.isNested) return;
    const index = table.columns.indexOf(this.column);
    for (const { cells } of table.rows) {
      const cell = cells[index];
      if (typeof cell !== 'string' || cell.trim() === '') continue;
      if (isChatText(cell, this.read(cell))) this.spelled++;
      else this.others++;
    }
  }

  /**
   * The prompt in a cell. It may itself be JSON with messages in it, for a model to explain: texts are
   * read as chats only where all of a column are, or where its name says so.
   * @throws CellError
   */
  prompt(cell: Json | undefined): PromptText {
    if (!this.isNested) {
      const isPlain = typeof cell === 'string' && this.others > 0;
      return isPlain ? plain(cell) : promptOf(cell, this.column);
    }
    let structure: Structure | null = null;
    const prompt = promptOf(cell, this.column, (text) => (structure = this.read(text)));
    if (structure !== null) this.spelled++;
    else if (typeof cell === 'string' && cell.trim() !== '') this.others++;
    return prompt;
  }

  /** The text of a cell of another column. @throws CellError */
  text(cell: Json | undefined, column: string): string {
    return textOf(cell, column, (text) => this.read(text));
  }

  /** What is to be said of the prompts, once all are read. */
  get note(): string | null {
    const { spelled, others } = this;
    const column = quoted(this.column);
    if (spelled === 0 || (this.isNested && others === 0)) return null;
    if (this.isNested) {
      return (
        `The column ${column} holds lists or chats as text in ${rows(spelled)}, whose first message is ` +
        `the prompt, and in ${rows(others)} plain texts, which are prompts as they are.`
      );
    }
    if (others === 0) {
      return `The column ${column} holds chats as text; the user’s first message is the prompt.`;
    }
    const hold = spelled === 1 ? 'holds' : 'hold';
    return `${rows(spelled)} of ${column} ${hold} messages as text among plain prompts: kept as they are.`;
  }

  /** {@link structureIn}, counted. Throws {@link DatasetFileError} where a file spells out too much. */
  private read(text: string): Structure | null {
    const structure = structureIn(text);
    if (structure === null) return null;
    this.values += valuesIn(structure.value);
    if (this.values <= DEFAULT_LIMITS.values) return structure;
    throw new DatasetFileError(
      'too-many-values',
      `Lists inside cells hold more than ${count(DEFAULT_LIMITS.values)} values. Take only the ` +
        'first rows, split the file, or leave columns out.',
    );
  }
}

const rows = (n: number) => (n === 1 ? '1 row' : `${count(n)} rows`);

/** Values in `value`, nested ones included. */
function valuesIn(value: Json): number {
  if (typeof value !== 'object' || value === null) return 1;
  return Object.values(value).reduce<number>((sum, each) => sum + valuesIn(each), 1);
}
