/** Lists and chats that cells spell out as text: how many there are, and a bound on what they become. */
import { isChatText, isNested } from './cells';
import { sizeOfJson } from './json-scan';
import type { ImportPlan } from './plan';
import { count, DatasetFileError, DEFAULT_LIMITS, type Json, quoted, type Table } from './types';

const LIST = /^\s*(\[|\{|array\()/;

export class NestedCells {
  /** Of the prompts: texts that spell a chat out, and all texts. */
  private chats = 0;
  private texts = 0;
  /** Values of the lists so far; they are built one after the other. */
  private values = 0;

  constructor(
    table: Table,
    private readonly plan: ImportPlan,
  ) {
    const { prompt } = plan.mapping;
    if (plan.layout === 'retort' || isNested(prompt)) return;
    const index = table.columns.indexOf(prompt);
    for (const { cells } of table.rows) {
      const cell = cells[index];
      if (typeof cell !== 'string' || cell.trim() === '') continue;
      this.texts++;
      this.add(cell);
      if (isChatText(cell)) this.chats++;
    }
  }

  /**
   * Whether texts of the prompts are what they are. A prompt may itself be JSON with messages in it, for
   * a model to explain: texts are read as chats only where all of a column are.
   */
  get arePlain(): boolean {
    return this.chats < this.texts;
  }

  /** What is to be said of it. */
  get note(): string | null {
    if (this.chats === 0) return null;
    const column = quoted(this.plan.mapping.prompt);
    if (!this.arePlain) {
      return `The column ${column} holds chats as text; the user’s first message is the prompt.`;
    }
    const rows = this.chats === 1 ? '1 row' : `${count(this.chats)} rows`;
    const hold = this.chats === 1 ? 'holds' : 'hold';
    return `${rows} of ${column} ${hold} messages as text among plain prompts: kept as they are.`;
  }

  /** A cell is about to be read. Throws {@link DatasetFileError} where a file spells out too much. */
  spend(cell: Json | undefined, column: string): void {
    if (typeof cell === 'string' && isNested(column)) this.add(cell);
  }

  private add(cell: string): void {
    if (!LIST.test(cell)) return;
    this.values += sizeOfJson(cell).values;
    if (this.values <= DEFAULT_LIMITS.values) return;
    throw new DatasetFileError(
      'too-many-values',
      `Lists inside cells hold more than ${count(DEFAULT_LIMITS.values)} values. Take only the ` +
        'first rows, split the file, or leave columns out.',
    );
  }
}
