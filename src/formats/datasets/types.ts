/** Prompt sets as files: what every importer shares. Plain data, JSON-safe. */
import { KnownError } from '../errors';

export type PromptLabel = 'harmful' | 'borderline' | 'benign';

export const PROMPT_LABELS: readonly PromptLabel[] = ['harmful', 'borderline', 'benign'];

/** One prompt for training or evaluation; the same shape as the method's `PromptItem`. */
export interface ImportedPrompt {
  id: string;
  prompt: string;
  label: PromptLabel;
  /** Prompts of one intent are one cluster in the bootstrap. */
  intent: string;
  category?: string;
  style?: string;
  wrapper?: string;
  /** The one right answer of a benign prompt. */
  answer?: string;
  /** What right answers hold, where more than one is. */
  accepted?: string[];
  form?: string;
  /** Shared by a harmful prompt and its harmless twin. */
  pair?: string;
}

export type Json = string | number | boolean | null | Json[] | { [name: string]: Json };

export interface TableRow {
  /**
   * CSV: as spreadsheets count, the header is row 1. JSONL: the line. JSON: the record, from 1.
   */
  row: number;
  /** CSV: the line of the file where the row starts, as editors count. Else as `row`. */
  line: number;
  /** By column; a JSON record may end early. */
  cells: Json[];
  /** Columns whose cells whoever served the file cut short, where it says so. */
  truncated?: readonly string[];
}

export type TableFormat = 'csv' | 'json' | 'jsonl';

/** What a file holds, before anyone said what its columns mean. */
export interface Table {
  /** The file's name, without its folder. */
  name: string;
  format: TableFormat;
  delimiter: Delimiter | null;
  columns: string[];
  rows: TableRow[];
  /** Rows without any content, left out of `rows`. */
  emptyRows: number;
  /** Only the first rows were asked for and the file goes on. */
  more: boolean;
  /** What the file says of itself, or how it was read, that a person should know; sentences. */
  notes: readonly string[];
  /** Where rows were messages: columns that are said of the one which is the prompt, not of its chat. */
  ofPrompts?: readonly string[];
}

export type Delimiter = ',' | ';' | '\t' | '|';

export const DELIMITERS: readonly Delimiter[] = [',', ';', '\t', '|'];

/** How messages call a delimiter. */
export const SPOKEN: Record<Delimiter, string> = {
  ',': 'commas',
  ';': 'semicolons',
  '\t': 'tabs',
  '|': 'vertical bars',
};

export interface Limits {
  /** Of the whole file. */
  bytes: number;
  rows: number;
  columns: number;
  /** Characters of one cell. */
  cell: number;
  /** Characters of one JSON record. */
  record: number;
  /** Cells and nested values of the whole table, padding included: what bounds its memory. */
  values: number;
  /** Lists and objects within one another. */
  depth: number;
  /** Rows without content; spreadsheets write up to 2^20 of them. */
  emptyRows: number;
}

/** Alpaca, the largest set here that is used whole, has 52,002 rows in 22 MB. */
export const DEFAULT_LIMITS: Limits = {
  bytes: 64 * 2 ** 20,
  rows: 100_000,
  columns: 256,
  cell: 2 ** 16,
  record: 2 ** 20,
  values: 4_000_000,
  depth: 64,
  emptyRows: 2 ** 20,
};

export type DatasetErrorCode =
  | 'too-large'
  | 'too-many-rows'
  | 'too-many-columns'
  | 'too-many-values'
  | 'too-deep'
  | 'cell-too-long'
  | 'empty-file'
  | 'encoding'
  | 'not-text'
  | 'wrong-delimiter'
  | 'missing-header'
  | 'duplicate-column'
  | 'ragged-row'
  | 'unclosed-quote'
  | 'stray-quote'
  | 'not-json'
  | 'not-a-table'
  | 'missing-column'
  | 'unknown-layout'
  | 'bad-plan'
  | 'bad-rows'
  | 'read-failed';

export interface ErrorPlace {
  row?: number;
  line?: number;
  column?: string;
  /** Byte from the start of the file. */
  offset?: number;
  /** With `wrong-delimiter`: the one that fits. */
  delimiter?: Delimiter;
}

/** A file that is no prompt set; the message names the row and column and never quotes a prompt. */
export class DatasetFileError extends KnownError {
  override readonly name = 'DatasetFileError';
  readonly errorCode = 'bad-input';
  readonly row?: number;
  readonly line?: number;
  readonly column?: string;
  readonly offset?: number;
  readonly delimiter?: Delimiter;

  constructor(
    readonly code: DatasetErrorCode,
    message: string,
    place: ErrorPlace = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
    Object.assign(this, place);
  }
}

export function count(value: number): string {
  return value.toLocaleString('en-US');
}

/** A name out of a file, short enough for a message. */
export function quoted(name: string): string {
  const short = name.length > 40 ? `${name.slice(0, 39)}…` : name;
  return `“${short}”`;
}

/** “Row 4”, or “Row 4 (line 9)” where the two differ. */
export function atRow({ row, line }: { row: number; line: number }): string {
  return row === line ? `Row ${count(row)}` : `Row ${count(row)} (line ${count(line)})`;
}
