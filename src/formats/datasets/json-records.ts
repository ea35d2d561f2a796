/** JSON records in pieces as they arrive: one object a line, or the elements of one array. */
import { checkJsonSize, doubledName, parseJson } from './json-scan';
import { count, DatasetFileError, type Json, type Limits, quoted } from './types';

export interface JsonRecord {
  row: number;
  value: Json;
  /** Values in it, nested ones included. */
  values: number;
}

/** What the reader needs of either. */
export interface RecordParser {
  /** The row being read, from 1. */
  readonly row: number;
  /** The records that `text` completes, to be taken to the last. */
  push(text: string): Iterable<JsonRecord>;
  end(): Iterable<JsonRecord>;
}

function parse(text: string, row: number, what: string, limits: Limits): JsonRecord {
  const place = { row, line: row };
  const { values } = checkJsonSize(text, limits, `${what} ${count(row)}`, place);
  let value: Json;
  try {
    value = parseJson(text);
  } catch (cause) {
    const message = `${what} ${count(row)}: not JSON.`;
    throw new DatasetFileError('not-json', message, place, { cause });
  }
  checkNames(text, `${what} ${count(row)}`, place);
  return { row, value, values };
}

/** @throws DatasetFileError where an object of JSON `text` has a name twice: one value would be lost */
export function checkNames(
  text: string,
  where: string,
  place: { row?: number; line?: number } = {},
): void {
  const name = doubledName(text);
  if (name === null) return;
  throw new DatasetFileError(
    'duplicate-column',
    `${where}: ${quoted(name)} stands twice in one object.`,
    { ...place, column: name },
  );
}

function tooLong(row: number, what: string, { record }: Limits): DatasetFileError {
  return new DatasetFileError(
    'cell-too-long',
    `${what} ${count(row)}: more than ${count(record)} characters in one record.`,
    { row, line: row },
  );
}

/** One JSON value a line; blank lines are counted and left out. */
export class JsonLinesParser implements RecordParser {
  row = 1;
  private held = '';
  private afterReturn = false;

  constructor(private readonly limits: Limits) {}

  /** Throws {@link DatasetFileError}. */
  *push(text: string): Generator<JsonRecord> {
    let start = 0;
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code !== 10 && code !== 13) {
        this.afterReturn = false;
        continue;
      }
      const secondOfPair = code === 10 && this.afterReturn;
      this.afterReturn = code === 13;
      if (!secondOfPair) {
        // Files of nothing but line ends are long, too.
        if (i > start || this.held !== '') {
          this.hold(text.slice(start, i));
          yield* this.take();
        }
        this.row++;
      }
      start = i + 1;
    }
    this.hold(text.slice(start));
  }

  /** Throws {@link DatasetFileError}. */
  *end(): Generator<JsonRecord> {
    yield* this.take();
  }

  private hold(text: string): void {
    if (this.held.length + text.length > this.limits.record) {
      throw tooLong(this.row, 'Line', this.limits);
    }
    this.held += text;
  }

  private take(): JsonRecord[] {
    const line = this.held;
    this.held = '';
    if (line.trim() === '') return [];
    return [parse(line, this.row, 'Line', this.limits)];
  }
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const OPEN_LIST = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_LIST = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/** JSON's own four blanks. */
const isSpace = (code: number) => code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09;

/** The elements of one array, each parsed as it ends, so that the array itself is never held. */
export class JsonArrayParser implements RecordParser {
  row = 1;
  private state: 'start' | 'element' | 'inside' | 'between' | 'done' = 'start';
  private held = '';
  private depth = 0;
  private inText = false;
  private escaped = false;

  constructor(private readonly limits: Limits) {}

  /** Throws {@link DatasetFileError}. */
  *push(text: string): Generator<JsonRecord> {
    let start = 0;
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (this.state !== 'inside') {
        if (isSpace(code)) continue;
        this.step(code);
        // What step() made of it may be the first sign of an element.
        if ((this.state as string) !== 'inside') continue;
        start = i;
      }
      if (this.inText) {
        if (this.escaped) this.escaped = false;
        else if (code === BACKSLASH) this.escaped = true;
        else if (code === QUOTE) this.inText = false;
      } else if (code === QUOTE) this.inText = true;
      else if (code === OPEN_OBJECT || code === OPEN_LIST) this.depth++;
      else if (this.depth > 0 && (code === CLOSE_OBJECT || code === CLOSE_LIST)) this.depth--;
      else if (this.depth === 0 && (code === COMMA || code === CLOSE_LIST)) {
        this.hold(text.slice(start, i));
        yield this.take();
        this.state = code === CLOSE_LIST ? 'done' : 'element';
      }
    }
    if (this.state === 'inside') this.hold(text.slice(start));
  }

  /** Throws {@link DatasetFileError}. */
  end(): JsonRecord[] {
    if (this.state === 'done') return [];
    throw new DatasetFileError(
      'not-json',
      `Record ${count(this.row)}: the file ends before its list does. Is it cut off?`,
      { row: this.row, line: this.row },
    );
  }

  /** One sign between elements. */
  private step(code: number): void {
    if (this.state === 'start' && code === OPEN_LIST) this.state = 'between';
    else if (this.state === 'between' && code === CLOSE_LIST) this.state = 'done';
    else if (this.state === 'between' || (this.state === 'element' && code !== CLOSE_LIST)) {
      this.state = 'inside';
    } else {
      const what = this.state === 'done' ? 'text follows the end of the list' : 'not JSON';
      throw new DatasetFileError('not-json', `Record ${count(this.row)}: ${what}.`, {
        row: this.row,
        line: this.row,
      });
    }
  }

  private hold(text: string): void {
    if (this.held.length + text.length > this.limits.record) {
      throw tooLong(this.row, 'Record', this.limits);
    }
    this.held += text;
  }

  private take(): JsonRecord {
    const record = parse(this.held, this.row, 'Record', this.limits);
    this.held = '';
    this.row++;
    return record;
  }
}
