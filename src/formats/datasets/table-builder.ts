/** Collects checked rows into a table, within the limits. */
import {
  atRow,
  count,
  DatasetFileError,
  type Delimiter,
  type Json,
  type Limits,
  quoted,
  type Table,
  type TableFormat,
  type TableRow,
} from './types';
import type { CsvRecord } from './csv';
import { checkHeader } from './header';
import { isMessages } from './conversation';
import { isObject, type JsonObject } from './json-object';

export interface BuildOptions {
  limits: Limits;
  /** Only the first so many rows; null: all, or an error beyond the limit. */
  take: number | null;
  /** Lists of cells: whether the first row names the columns. Undefined: yes, if it looks so. */
  header: boolean | undefined;
}

/** Where a bare list of texts goes. */
const ONLY_COLUMN = 'prompt';
/** Where a bare list of messages goes. */
const CHAT_COLUMN = 'messages';

export class TableBuilder {
  readonly columns: string[] = [];
  readonly rows: TableRow[] = [];
  emptyRows = 0;
  /** Set when a row beyond `take` was seen: nothing more needs to be read. */
  more = false;
  readonly notes: string[] = [];
  private values = 0;
  private readonly index = new Map<string, number>();
  private headed = false;
  /** Rows are lists of cells, not objects. */
  private listed = false;

  constructor(private readonly options: BuildOptions) {}

  table(name: string, format: TableFormat, delimiter: Delimiter | null): Table {
    const { columns, rows, emptyRows, more, notes } = this;
    return { name, format, delimiter, columns, rows, emptyRows, more, notes };
  }

  /** The first record names the columns. Throws {@link DatasetFileError}. */
  addCsv(record: CsvRecord): void {
    if (record.cells.every((cell) => cell.trim() === '')) this.addEmpty(record);
    else this.addList(record);
  }

  /** A row of cells; the first names the columns. Throws {@link DatasetFileError}. */
  private addList(record: { row: number; line: number; cells: Json[] }): void {
    const { row, line, cells } = record;
    if (!this.headed) {
      this.headed = true;
      const { header = true } = this.options;
      if (this.options.header === undefined) checkHeader(record, cells);
      cells.forEach((cell, i) => {
        // pandas writes its index under an empty name.
        const name = header && typeof cell === 'string' ? cell.trim() : '';
        this.addColumn(name === '' ? `column ${i + 1}` : name, record);
      });
      if (header) return;
    }
    if (cells.length !== this.columns.length) {
      const expected = this.columns.length;
      throw new DatasetFileError(
        'ragged-row',
        `${atRow(record)}: ${cells.length} ${cells.length === 1 ? 'cell' : 'cells'}, but ` +
          `there ${expected === 1 ? 'is 1 column' : `are ${expected} columns`}.`,
        { row, line },
      );
    }
    this.spend(cells.length, record);
    this.addRow({ row, line, cells });
  }

  /**
   * An object, a text as the only column, a chat, or a list of cells; `values` is what it holds.
   * Throws {@link DatasetFileError}.
   */
  addJson(row: number, value: Json, values = 0): void {
    const place = { row, line: row };
    if (Array.isArray(value) && !isMessages(value) && value.every(isScalar)) {
      if (this.rows.length === 0 && this.columns.length === 0) this.listed = true;
      if (this.listed) {
        if (value.every((cell) => cell === null || cell === '')) this.addEmpty(place);
        else this.addList({ ...place, cells: value });
        return;
      }
    }
    const whole = recordOf(value);
    if (!whole || this.listed) {
      throw new DatasetFileError('not-a-table', `Row ${count(row)}: not an object.`, place);
    }
    this.spend(values, place);
    const { record, truncated } = unwrapped(whole);
    const cells: Json[] = [];
    for (const [name, cell] of Object.entries(record)) {
      const column = this.index.get(name) ?? this.addColumn(name, place);
      if (typeof cell === 'string' && cell.length > this.options.limits.cell) {
        throw new DatasetFileError(
          'cell-too-long',
          `Row ${count(row)}, column ${quoted(name)}: more than ` +
            `${count(this.options.limits.cell)} characters.`,
          { ...place, column: name },
        );
      }
      // Columns that this record lacks take room, too.
      this.spend(Math.max(0, column - cells.length), place);
      while (cells.length < column) cells.push(null);
      cells[column] = cell;
    }
    const cut = truncated.length > 0;
    if (!cut && cells.every((cell) => cell === null || cell === '')) this.addEmpty(place);
    else this.addRow({ ...place, cells, ...(cut && { truncated }) });
  }

  private addEmpty(place: { row: number; line: number }): void {
    if (this.emptyRows++ < this.options.limits.emptyRows) return;
    throw new DatasetFileError(
      'too-many-rows',
      `${atRow(place)}: the file has more than ${count(this.options.limits.emptyRows)} rows ` +
        'without content.',
      { row: place.row, line: place.line },
    );
  }

  private spend(values: number, place: { row: number; line: number }): void {
    this.values += values;
    const { values: most } = this.options.limits;
    if (this.values <= most) return;
    throw new DatasetFileError(
      'too-many-values',
      `${atRow(place)}: the file has more than ${count(most)} cells. Take only its first rows, ` +
        'split it, or leave columns out.',
      { row: place.row, line: place.line },
    );
  }

  private addColumn(name: string, place: { row: number; line: number }): number {
    const { row, line } = place;
    const taken = this.index.get(name);
    if (taken !== undefined) {
      throw new DatasetFileError(
        'duplicate-column',
        `Two columns are called ${quoted(name)}: ${taken + 1} and ${this.columns.length + 1}.`,
        { row, line, column: name },
      );
    }
    if (this.columns.length === this.options.limits.columns) {
      throw new DatasetFileError(
        'too-many-columns',
        `${atRow(place)}: more than ${count(this.options.limits.columns)} columns.`,
        { row, line, column: name },
      );
    }
    this.index.set(name, this.columns.length);
    return this.columns.push(name) - 1;
  }

  private addRow(row: TableRow): void {
    const { take, limits } = this.options;
    if (take !== null && this.rows.length >= take) {
      this.more = true;
      return;
    }
    if (this.rows.length >= limits.rows) {
      throw new DatasetFileError(
        'too-many-rows',
        `${atRow(row)}: the file has more than ${count(limits.rows)} rows. ` +
          'Take only its first rows, or split it.',
        { row: row.row, line: row.line },
      );
    }
    this.rows.push(row);
  }
}

const isScalar = (value: Json) => typeof value !== 'object' || value === null;

function recordOf(value: Json): JsonObject | null {
  if (typeof value === 'string') return { [ONLY_COLUMN]: value };
  if (isMessages(value)) return { [CHAT_COLUMN]: value };
  return isObject(value) ? value : null;
}

/** The hub's viewer wraps each record as {row_idx, row, truncated_cells}. */
function unwrapped(record: JsonObject): { record: JsonObject; truncated: string[] } {
  if (!isObject(record.row) || !('row_idx' in record)) return { record, truncated: [] };
  const cut = record.truncated_cells;
  const truncated = Array.isArray(cut) ? cut.filter((name) => typeof name === 'string') : [];
  return { record: record.row, truncated };
}
