/** Text in pieces as a table: chooses a parser by the first signs of the text and feeds it. */
import { CsvParser, type CsvRecord } from './csv';
import type { Decoded } from './encoding';
import { checkDelimiter, csvStart } from './header';
import { recordsOf } from './json-document';
import { isObject } from './json-object';
import {
  checkNames,
  JsonArrayParser,
  JsonLinesParser,
  type JsonRecord,
  type RecordParser,
} from './json-records';
import { checkJsonSize, sizeOfJson, tryParse } from './json-scan';
import { type BuildOptions, TableBuilder } from './table-builder';
import { count, DatasetFileError, type Delimiter, type Limits, type Table } from './types';

export interface ReaderOptions extends BuildOptions {
  /** What a person said; default: as the file is written. */
  delimiter: Delimiter | undefined;
}

/**
 * What is known of the file. `first-line`: it starts as JSON, and its first line is being collected;
 * `one-line`: that line is a JSON value, and only blanks have followed.
 */
type State =
  'blank' | 'start' | 'csv-start' | 'csv' | 'first-line' | 'one-line' | 'records' | 'document';

const JSON_START = /^[{[]\s*["{[\]}\d-]/;

export class TableReader {
  private readonly builder: TableBuilder;
  private readonly limits: Limits;
  private state: State = 'blank';
  private delimiter: Delimiter;
  private csv: CsvParser | null = null;
  private records: RecordParser | null = null;
  /** Text that no parser has yet, or the whole of a JSON document. */
  private held: string[] = [];
  private heldLength = 0;
  /** Blanks before the first sign. */
  private blanks = 0;
  private format: 'json' | 'jsonl' = 'json';
  private headed = false;

  constructor(
    private readonly name: string,
    private readonly options: ReaderOptions,
  ) {
    this.limits = options.limits;
    this.builder = new TableBuilder(options);
    this.delimiter = options.delimiter ?? (/\.(tsv|tab)$/i.test(name) ? '\t' : ',');
  }

  get full(): boolean {
    return this.builder.more;
  }

  push({ text, badOffset }: Decoded): void {
    if (text !== '') this.accept(text);
    if (badOffset === null || this.full) return;
    const row = this.csv?.row ?? this.records?.row ?? null;
    throw new DatasetFileError(
      'encoding',
      `Byte ${count(badOffset)}${row === null ? '' : ` (row ${count(row)})`} is not UTF-8. ` +
        'Save the file as UTF-8.',
      { offset: badOffset, ...(row === null ? {} : { row, line: this.csv?.line ?? row }) },
    );
  }

  end(): void {
    if (this.state === 'start') this.chooseFormat(true);
    if (this.state === 'csv-start') this.startCsv(true);
    if (this.state === 'first-line' || this.state === 'one-line') {
      if (this.startsList()) this.startRecords(new JsonArrayParser(this.limits));
      else this.state = 'document';
    }
    if (this.full) return;
    if (this.csv) this.addAll(this.csv.end());
    else if (this.records) this.addRecords(this.records.end());
    else if (this.state === 'document') this.endDocument();
  }

  /** In files with tabs a quote is often no more than a quote. */
  private swallowed(csv: CsvParser): string[] {
    const { total, rows } = csv.swallowed;
    if (total === 0 || this.delimiter !== '\t') return [];
    const more = total > rows.length ? ` and ${count(total - rows.length)} more` : '';
    return [
      `${total === 1 ? 'Row' : 'Rows'} ${rows.map(count).join(', ')}${more}: a cell in quotes holds tabs ` +
        'and line ends. Where the quotes are part of the text, it swallowed rows: write them twice, and ' +
        'quotes around the cell.',
    ];
  }

  table(): Table {
    const { builder, name } = this;
    if (builder.columns.length === 0) {
      throw new DatasetFileError('empty-file', 'The file has no rows.');
    }
    if (this.csv) {
      const table = builder.table(name, 'csv', this.delimiter);
      return { ...table, notes: [...table.notes, ...this.swallowed(this.csv)] };
    }
    return builder.table(name, this.format, null);
  }

  private accept(text: string): void {
    if (this.csv) {
      this.addAll(this.csv.push(text));
      return;
    }
    if (this.records) {
      this.addRecords(this.records.push(text));
      return;
    }
    this.held.push(text);
    this.heldLength += text.length;
    switch (this.state) {
      case 'blank':
        this.skipBlanks(text);
        break;
      case 'start':
        this.chooseFormat(false);
        break;
      case 'csv-start':
        if (/[\r\n]/.test(text) || this.heldLength > this.limits.cell) this.startCsv(false);
        break;
      case 'first-line':
        if (/[\r\n]/.test(text)) this.endFirstLine();
        else if (this.heldLength - this.blanks > this.limits.record) this.endLongLine();
        break;
      case 'one-line':
        this.afterLine(text);
        break;
    }
  }

  private skipBlanks(text: string): void {
    const at = text.search(/\S/);
    this.blanks += at < 0 ? text.length : at;
    if (this.blanks > this.limits.record) {
      throw new DatasetFileError(
        'empty-file',
        `The file starts with more than ${count(this.limits.record)} blanks.`,
      );
    }
    if (at < 0) return;
    this.state = 'start';
    this.chooseFormat(false);
  }

  /** The text from its first sign on. */
  private heldText(): string {
    const whole = this.held.join('');
    this.held = [whole];
    return whole.slice(this.blanks);
  }

  private startsList(): boolean {
    return this.heldText().startsWith('[');
  }

  private chooseFormat(ended: boolean): void {
    const text = this.heldText();
    const bracket = text[0] === '{' || text[0] === '[';
    // The sign after a bracket tells JSON from a name in brackets.
    if (bracket && text.trimEnd().length === 1 && !ended && text.length < this.limits.record) {
      if (!/[\r\n]/.test(text)) return;
    }
    const named = /\.(jsonl|ndjson|json)$/i.test(this.name);
    if (bracket && (named || ended || JSON_START.test(text) || text.trimEnd().length === 1)) {
      this.state = 'first-line';
      if (/[\r\n]/.test(text)) this.endFirstLine();
      else if (text.length > this.limits.record) this.endLongLine();
    } else if (/\.(jsonl|ndjson)$/i.test(this.name)) {
      this.startRecords(new JsonLinesParser(this.limits));
    } else if (named) {
      throw new DatasetFileError('not-json', 'The file is called JSON, but starts as none.');
    } else {
      this.state = 'csv-start';
      this.startCsv(ended);
    }
  }

  private startCsv(ended: boolean): void {
    const { delimiter } = this.options;
    const start = csvStart(this.heldText(), this.delimiter, delimiter, this.limits, ended);
    if (!start) return;
    this.delimiter = start.delimiter;
    if (start.note !== null) this.builder.notes.push(start.note);
    const before = this.held[0]!.slice(0, start.skip > 0 ? this.blanks + start.skip : 0);
    this.csv = new CsvParser(start.delimiter, this.limits, 1 + lineEnds(before));
    this.state = 'csv';
    this.release(before.length);
  }

  private endFirstLine(): void {
    const text = this.heldText();
    const end = text.search(/[\r\n]/);
    const line = text.slice(0, end);
    const isValue =
      line.length <= this.limits.record &&
      sizeOfJson(line).depth <= this.limits.depth &&
      tryParse(line) !== undefined;
    if (isValue) {
      this.state = 'one-line';
      this.afterLine(text.slice(end));
    } else if (text.startsWith('[')) {
      this.startRecords(new JsonArrayParser(this.limits));
    } else if (/\.(jsonl|ndjson)$/i.test(this.name) && line.trim() !== '{') {
      this.startRecords(new JsonLinesParser(this.limits));
    } else {
      this.state = 'document';
    }
  }

  private endLongLine(): void {
    if (this.startsList()) this.startRecords(new JsonArrayParser(this.limits));
    else this.state = 'document';
  }

  /** What follows a first line that is a JSON value: another value, or nothing. */
  private afterLine(text: string): void {
    const sign = /\S/.exec(text)?.[0];
    if (sign === undefined) {
      // What may still come after so many blanks is told by whoever parses it.
      if (this.heldLength > 2 * this.limits.record) this.endLongLine();
      return;
    }
    if (this.startsList() && sign !== '[' && sign !== '{') {
      this.startRecords(new JsonArrayParser(this.limits));
    } else this.startRecords(new JsonLinesParser(this.limits));
  }

  private startRecords(parser: RecordParser): void {
    this.records = parser;
    this.state = 'records';
    this.format = parser instanceof JsonLinesParser ? 'jsonl' : 'json';
    this.release(0);
  }

  /** Gives the parser what was held, but for `skip` characters. */
  private release(skip: number): void {
    const text = this.held.join('').slice(skip);
    this.held = [];
    if (text !== '') this.accept(text);
  }

  private endDocument(): void {
    const text = this.held.join('');
    this.held = [];
    checkJsonSize(text, this.limits, 'The file');
    const document = tryParse(text);
    if (!isObject(document)) {
      throw new DatasetFileError(
        'not-json',
        'The file starts as JSON but is neither one JSON value nor one object a line. Is it cut off?',
      );
    }
    checkNames(text, 'The file');
    const { take } = this.options;
    const found = recordsOf(document, { ...this.limits, take });
    this.builder.notes.push(...(found?.notes ?? []));
    let row = 0;
    for (const record of found?.records ?? [document]) {
      this.builder.addJson(++row, record, isObject(record) ? Object.keys(record).length : 1);
      if (this.full) return;
    }
  }

  private addRecords(records: Iterable<JsonRecord>): void {
    for (const { row, value, values } of records) {
      this.builder.addJson(row, value, values);
      if (this.full) return;
    }
  }

  private addAll(records: Iterable<CsvRecord>): void {
    for (const record of records) {
      this.addCsv(record);
      if (this.full) return;
    }
  }

  private addCsv(record: CsvRecord): void {
    if (!this.headed && record.cells.some((cell) => cell.trim() !== '')) {
      this.headed = true;
      checkDelimiter(record, this.delimiter);
    }
    this.builder.addCsv(record);
  }
}

function lineEnds(text: string): number {
  return text.match(/\r\n|\n|\r/g)?.length ?? 0;
}
