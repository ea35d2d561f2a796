/**
 * CSV as RFC 4180 has it, in pieces as they arrive. Written here because what a prompt set needs
 * most — the row where a quote was opened, ragged rows by number, and a cell that cannot grow past
 * its limit — is what the libraries report late or not at all.
 *
 * Rows end in LF, CRLF or CR. A quote inside an unquoted cell is text, as spreadsheets and Python
 * take it; text after a closing quote is refused, since it means that the quoting is broken.
 */
import { count, DatasetFileError, type Delimiter, DELIMITERS, type Limits, SPOKEN } from './types';

export interface CsvRecord {
  row: number;
  line: number;
  cells: string[];
}

const QUOTE = 34;
const LF = 10;
const CR = 13;

type State = 'cell-start' | 'plain' | 'quoted' | 'quote-in-quoted';

export class CsvParser {
  /** The row being read, from 1. */
  row = 1;
  /** The line being read, from 1. */
  line: number;
  /** Quoted cells that hold both a delimiter and a line end: the first rows, and how many there are. */
  readonly swallowed = { total: 0, rows: [] as number[] };
  /** What the quoted cell being read holds of both. */
  private holds = { delimiter: false, lineEnd: false };
  private state: State = 'cell-start';
  private cell = '';
  private cells: string[] = [];
  private rowLine: number;
  private opened = { row: 1, line: 1 };
  private afterReturn = false;
  private readonly separator: number;

  constructor(
    private readonly delimiter: Delimiter,
    private readonly limits: Limits,
    /** The line at which the text starts, where lines before it are no rows. */
    firstLine = 1,
  ) {
    this.line = firstLine;
    this.rowLine = firstLine;
    this.separator = delimiter.charCodeAt(0);
  }

  /** The rows that `text` completes, to be taken to the last. Throws {@link DatasetFileError}. */
  *push(text: string): Generator<CsvRecord> {
    let start = 0;
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      const secondOfPair = this.afterReturn && code === LF;
      this.afterReturn = code === CR;
      if (this.state === 'quoted') {
        if (code === QUOTE) {
          this.add(text, start, i);
          this.state = 'quote-in-quoted';
        } else if (code === this.separator) this.holds.delimiter = true;
        else if (code === LF || code === CR) {
          this.holds.lineEnd = true;
          if (!secondOfPair) this.line++;
        }
        continue;
      }
      if (secondOfPair) {
        start = i + 1;
        continue;
      }
      if (code === this.separator || code === LF || code === CR) {
        if (this.state === 'plain') this.add(text, start, i);
        this.endCell();
        if (code !== this.separator) {
          yield this.endRow();
          this.line++;
          this.rowLine = this.line;
        }
        start = i + 1;
      } else if (this.state === 'cell-start') {
        this.state = code === QUOTE ? 'quoted' : 'plain';
        start = code === QUOTE ? i + 1 : i;
        if (code === QUOTE) {
          this.opened = { row: this.row, line: this.line };
          this.holds = { delimiter: false, lineEnd: false };
        }
      } else if (this.state === 'quote-in-quoted') {
        if (code !== QUOTE) throw this.strayQuote(text[i]!);
        // The second of two quotes is the text; it starts the next piece.
        this.state = 'quoted';
        start = i;
      }
    }
    if (this.state === 'plain' || this.state === 'quoted') this.add(text, start, text.length);
  }

  /** The last row, where the file does not end in a line end. Throws {@link DatasetFileError}. */
  *end(): Generator<CsvRecord> {
    if (this.state === 'quoted') {
      const { row, line } = this.opened;
      throw new DatasetFileError(
        'unclosed-quote',
        `Row ${count(row)} (line ${count(line)}): the quote that opens here is never closed.`,
        { row, line },
      );
    }
    if (this.state === 'cell-start' && this.cells.length === 0) return;
    this.endCell();
    yield this.endRow();
  }

  private add(text: string, start: number, end: number): void {
    const length = this.cell.length + end - start;
    if (length > this.limits.cell) {
      const { row, line } = this.state === 'quoted' ? this.opened : this;
      const hint = this.state === 'quoted' ? ' Is the quote that opens it ever closed?' : '';
      throw new DatasetFileError(
        'cell-too-long',
        `Row ${count(row)} (line ${count(line)}): cell ${this.cells.length + 1} has more than ` +
          `${count(this.limits.cell)} characters.${hint}`,
        { row, line },
      );
    }
    this.cell += text.slice(start, end);
  }

  private endCell(): void {
    if (this.cells.length === this.limits.columns) {
      throw new DatasetFileError(
        'too-many-columns',
        `Row ${count(this.row)}: more than ${count(this.limits.columns)} cells.`,
        { row: this.row, line: this.line },
      );
    }
    if (this.state === 'quote-in-quoted' && this.holds.delimiter && this.holds.lineEnd) {
      if (++this.swallowed.total <= 3) this.swallowed.rows.push(this.row);
    }
    this.cells.push(this.cell);
    this.cell = '';
    this.state = 'cell-start';
  }

  private endRow(): CsvRecord {
    const record = { row: this.row, line: this.rowLine, cells: this.cells };
    this.row++;
    this.cells = [];
    return record;
  }

  private strayQuote(sign: string): DatasetFileError {
    const other = DELIMITERS.find((delimiter) => delimiter === sign);
    // "id";"prompt": names in quotes, split at something else.
    if (this.row === 1 && this.cells.length === 0 && other) {
      return new DatasetFileError(
        'wrong-delimiter',
        `Row 1 is split at ${SPOKEN[other]}, not at ${SPOKEN[this.delimiter]}. Read it with ` +
          `${SPOKEN[other]}.`,
        { row: this.row, line: this.line, delimiter: other },
      );
    }
    return new DatasetFileError(
      'stray-quote',
      `Row ${count(this.row)} (line ${count(this.line)}): text follows a closing quote in cell ` +
        `${this.cells.length + 1}. A quote inside a quoted cell is written twice.`,
      { row: this.row, line: this.line },
    );
  }
}
