/** One JSON value that holds a table: a list under a name, lists by column, or pandas' forms. */
import { isMessages } from './conversation';
import { isObject, type JsonObject } from './json-object';
import { isChatName, isPromptName } from './prompt-names';
import { count, DatasetFileError, type Json, type Limits, quoted } from './types';

export interface DocumentRecords {
  /** Objects, texts or lists of cells, each made when it is asked for: a person may take only the first. */
  records: Iterable<Json>;
  /** How many there are. */
  total: number;
  /** What of the file is in none of them, in sentences. */
  notes: string[];
}

type CellLimits = Pick<Limits, 'values' | 'columns' | 'rows' | 'bytes'> & {
  /** Only the first so many rows are asked for. */
  take: number | null;
};

/** Objects inside objects that are looked through for a table. */
const WRAPPERS = 3;

/** Names of lists that are the table, where there are other lists. */
const TABLE_NAMES =
  /^(rows|data|examples|items|records|results|prompts|questions|instances|samples|entries|train|test)$/i;
/** Where a file holds several lists, these win; what is beside them is named. */
const MAIN_NAMES = ['rows', 'data'];
/** What the hub's viewer and pandas say of the table. */
const DESCRIPTIONS = new Set(['features', 'schema', 'index', 'dataset', 'config', 'split']);

const isObjects = (value: Json | undefined): value is JsonObject[] =>
  Array.isArray(value) && value.length > 0 && value.every(isObject);

const isScalar = (value: Json) => typeof value !== 'object' || value === null;

/**
 * The records of `document`, or null where it is an ordinary record itself. Throws
 * {@link DatasetFileError} where it holds several tables, columns of unequal length, or, in the rows
 * that are taken, more cells than `limits` has values.
 */
export function recordsOf(
  document: JsonObject,
  limits: CellLimits,
  wrappers = WRAPPERS,
): DocumentRecords | null {
  const found =
    split(document, limits) ??
    lists(document) ??
    byColumn(document, limits) ??
    byIndex(document, limits) ??
    byRow(document) ??
    listIn(document) ??
    (wrappers > 0 ? wrapped(document, limits, wrappers) : null);
  return found && { ...found, notes: [...found.notes, ...pageNotes(document, found.total)] };
}

const rows = (records: Json[], notes: string[] = []): DocumentRecords => ({
  ...{ records, total: records.length, notes },
});

/** A row of each of `items`, made when it is asked for. */
function rowsOf<T>(
  items: readonly T[],
  row: (item: T, index: number) => Json,
  notes: string[] = [],
): DocumentRecords {
  function* records() {
    for (const [i, item] of items.entries()) yield row(item, i);
  }
  return { records: records(), total: items.length, notes };
}

/** The rows out of `total` that are asked for. */
const taken = (total: number, { take }: CellLimits) => Math.min(total, take ?? total);

function checkCells(columns: number, total: number, limits: CellLimits) {
  if (columns > limits.columns) {
    throw new DatasetFileError(
      'too-many-columns',
      `The file has ${count(columns)} columns; at most ${count(limits.columns)} are read.`,
    );
  }
  const cells = columns * taken(total, limits);
  if (cells > limits.values) {
    throw new DatasetFileError(
      'too-many-values',
      `The file has ${count(cells)} cells; at most ${count(limits.values)} are read.`,
    );
  }
}

/** pandas' `split` and `tight`: {columns: [name], data: [[cell]]}. */
function split({ columns, data }: JsonObject, limits: CellLimits): DocumentRecords | null {
  if (!Array.isArray(columns) || !Array.isArray(data)) return null;
  if (!columns.every((name) => typeof name === 'string')) return null;
  if (!data.every((row) => Array.isArray(row))) return null;
  checkCells(columns.length, data.length, limits);
  const twice = columns.find((name, i) => columns.indexOf(name) < i);
  if (twice !== undefined) {
    throw new DatasetFileError('duplicate-column', `Two columns are called ${quoted(twice)}.`, {
      column: twice,
    });
  }
  return rowsOf(data as Json[][], (cells, i) => {
    if (cells.length !== columns.length) {
      throw new DatasetFileError(
        'ragged-row',
        `Record ${i + 1}: ${cells.length} cells, but there are ${columns.length} columns.`,
        { row: i + 1, line: i + 1 },
      );
    }
    return Object.fromEntries(columns.map((name, k) => [name, cells[k]!]));
  });
}

/** {values: [[name], [cell]]}, as spreadsheets' interfaces give it. */
function lists({ values, ...others }: JsonObject): DocumentRecords | null {
  if (!Array.isArray(values) || values.length === 0) return null;
  if (!values.every((row) => Array.isArray(row) && row.every(isScalar))) return null;
  return Object.values(others).every(isScalar) ? rows(values) : null;
}

/**
 * {column: [cell]}, as the `datasets` library gives a slice. Single values beside the lists are
 * those of every row.
 */
function byColumn(document: JsonObject, limits: CellLimits): DocumentRecords | null {
  const entries = Object.entries(document);
  const columns = entries.filter((entry): entry is [string, Json[]] => {
    const [name, value] = entry;
    return Array.isArray(value) && !isMessages(value) && !isChat(name, value);
  });
  const single = entries.filter(([, value]) => isScalar(value));
  if (columns.length === 0 || columns.length + single.length < entries.length) return null;
  // Several lists of records are several tables, not the columns of one.
  if (columns.every(([, list]) => isObjects(list))) return null;
  const named = columns.some(([name]) => isPromptName(name));
  if (single.some(([name]) => isPromptName(name))) return null;
  if (single.length > 0 && !named && columns.length > 1) return null;
  const [[firstName, first]] = columns as [[string, Json[]]];
  for (const [name, list] of columns) {
    if (list.length !== first.length) {
      throw new DatasetFileError(
        'ragged-row',
        `Column ${quoted(name)} has ${count(list.length)} cells, column ${quoted(firstName)} has ` +
          `${count(first.length)}.`,
        { column: name },
      );
    }
  }
  // A number beside lists may be a count: {"safe": 40, "unsafe": 60}.
  const shared = single.filter(([name, value]) => isSaidOfRows(name) && !isNumber(value));
  checkCells(columns.length + shared.length, first.length, limits);
  checkShared(shared, first.length, limits);
  const names = new Set(shared.map(([name]) => name));
  const others = single.map(([name]) => name).filter((name) => !names.has(name));
  const row = (_: Json, i: number) =>
    Object.fromEntries([...columns.map(([name, list]) => [name, list[i]!]), ...shared]);
  return rowsOf(first, row, [
    ...(shared.length > 0 ? [`Every row has the file’s ${listed([...names])}.`] : []),
    ...unread(others),
  ]);
}

/** Values that the file holds once and every row has: as long in all as the file itself may be. */
function checkShared(shared: readonly [string, Json][], total: number, limits: CellLimits) {
  if (shared.length === 0) return;
  // No row is without content.
  if (limits.take === null && total > limits.rows) {
    throw new DatasetFileError(
      'too-many-rows',
      `The file has ${count(total)} rows; at most ${count(limits.rows)} are read. ` +
        'Take only its first rows, or split it.',
    );
  }
  const lengths = shared.map(([name, value]) => ({ name, length: String(value).length }));
  const length = lengths.reduce((sum, each) => sum + each.length, 0);
  if (length * taken(total, limits) <= limits.bytes) return;
  const { name } = lengths.sort((a, b) => b.length - a.length)[0]!;
  throw new DatasetFileError(
    'too-large',
    `Every row has the file’s ${quoted(name)}: with it, ${count(taken(total, limits))} rows hold more ` +
      `than the ${count(limits.bytes)} characters that are read. Shorten it, or take only the first rows.`,
    { column: name },
  );
}

const isSaidOfRows = (name: string) =>
  /label|categor|class|safe|harm|type|toxic|malicious|benign|jailbreak|flagged/i.test(name);

/** Lists and objects beside a table; and of single values those that may have been said of its rows. */
const saysSomething = (name: string, value: Json) =>
  !isScalar(value) || (isSaidOfRows(name) && value !== null && value !== '');

const isNumber = (value: Json) =>
  typeof value === 'number' || (typeof value === 'string' && /^\s*[-+\d.,]+\s*$/.test(value));

/** Turns of one chat, not prompts of their own. */
const isChat = (name: string, value: Json) =>
  isChatName(name) && Array.isArray(value) && value.every((entry) => typeof entry === 'string');

const DIGITS = /^\d+$/;

/** pandas' default: {column: {"0": cell, "1": cell}}. */
function byIndex(document: JsonObject, limits: CellLimits): DocumentRecords | null {
  const columns = Object.entries(document);
  const indexed = (value: Json): value is JsonObject =>
    isObject(value) &&
    Object.keys(value).length > 0 &&
    Object.keys(value).every((key) => DIGITS.test(key));
  if (columns.length === 0 || !columns.every(([, cells]) => indexed(cells))) return null;
  checkCells(columns.length, 0, limits);
  const keys = new Set(columns.flatMap(([, cells]) => Object.keys(cells as JsonObject)));
  checkCells(columns.length, keys.size, limits);
  return rowsOf([...keys], (key) =>
    Object.fromEntries(columns.map(([name, cells]) => [name, (cells as JsonObject)[key] ?? null])),
  );
}

/** pandas' `index`: {"0": {column: cell}}; keys that are names stay, as ids. */
function byRow(document: JsonObject): DocumentRecords | null {
  const entries = Object.entries(document);
  if (entries.length === 0 || !entries.every(([, row]) => isObject(row))) return null;
  const records = entries as [string, JsonObject][];
  const numbered = records.every(([key]) => DIGITS.test(key));
  if (!numbered && !Object.keys(records[0]![1]).some((name) => isColumnOfPrompts(records, name))) {
    return null;
  }
  return rowsOf(records, ([key, row]) => (numbered || 'id' in row ? row : { id: key, ...row }));
}

const isColumnOfPrompts = (records: readonly [string, JsonObject][], name: string) =>
  isPromptName(name) &&
  records.every(([, row]) => {
    const cell = row[name];
    return typeof cell === 'string' || isMessages(cell) || (isChatName(name) && name in row);
  });

/** {data: [record]}, by whatever name. */
function listIn(document: JsonObject): DocumentRecords | null {
  const entries = Object.entries(document);
  const found = entries.filter(([, value]) => isObjects(value) && !isMessages(value));
  const isRecord = entries.some(
    ([name, value]) =>
      isMessages(value) || (isPromptName(name) && (isScalar(value) || isChat(name, value))),
  );
  const tables = isRecord ? found.filter(([name]) => TABLE_NAMES.test(name)) : found;
  if (tables.length === 0 || (isRecord && tables.every(([, list]) => !hasPrompts(list))))
    return null;
  const main = tables.filter(([name]) => MAIN_NAMES.includes(name));
  const [chosen, ...more] = tables.length > 1 ? main : tables;
  if (!chosen || more.length > 0) {
    throw new DatasetFileError(
      'not-a-table',
      `The file holds several lists: ${listed(tables.map(([name]) => name))}. Save the one to ` +
        'import as a file of its own.',
    );
  }
  const others = entries.filter(
    ([name, value]) => name !== chosen[0] && saysSomething(name, value) && !DESCRIPTIONS.has(name),
  );
  const full = others.filter(
    ([, value]) => isScalar(value) || Object.keys(value as object).length > 0,
  );
  return rows(chosen[1] as Json[], unread(full.map(([name]) => name)));
}

const hasPrompts = (list: Json) =>
  (list as JsonObject[]).every((record) => Object.keys(record).some(isPromptName));

/** One object around the table: {"dataset": {"rows": […]}}. */
function wrapped(
  document: JsonObject,
  limits: CellLimits,
  wrappers: number,
): DocumentRecords | null {
  const entries = Object.entries(document);
  if (entries.some(([name, value]) => isPromptName(name) && isScalar(value))) return null;
  const inner = entries.filter((entry): entry is [string, JsonObject] => isObject(entry[1]));
  const found = inner.flatMap(([name, value]) => {
    const records = recordsOf(value, limits, wrappers - 1);
    return records ? [{ name, ...records }] : [];
  });
  if (found.length > 1) {
    throw new DatasetFileError(
      'not-a-table',
      `The file holds several tables: ${listed(found.map(({ name }) => name))}. Save the one to ` +
        'import as a file of its own.',
    );
  }
  const [only] = found;
  if (!only) return null;
  const others = entries.filter(
    ([name, value]) => name !== only.name && saysSomething(name, value),
  );
  const notes = [...only.notes, ...unread(others.map(([name]) => name))];
  return { records: only.records, total: only.total, notes };
}

/** How messages list names. */
function listed(names: readonly string[]): string {
  const shown = names.slice(0, 5).map(quoted);
  if (names.length > shown.length) shown.push(`${count(names.length - shown.length)} more`);
  return shown.join(', ');
}

const unread = (names: readonly string[]) =>
  names.length === 0 ? [] : [`Besides the rows, the file holds ${listed(names)}: not read.`];

/** Signs that the file is one page of a longer answer, or was cut by whoever served it. */
function pageNotes(document: JsonObject, rows: number): string[] {
  const notes: string[] = [];
  const total = ['num_rows_total', 'total_rows', 'total_count', 'total', 'count']
    .map((name) => document[name])
    .find((value): value is number => typeof value === 'number' && value > rows);
  if (total !== undefined) {
    notes.push(
      `The file is a page of ${count(rows)} rows; it says that the set has ` + `${count(total)}.`,
    );
  } else if (document.has_more === true || document.hasMore === true || pointsOn(document)) {
    notes.push('The file is one page of a set: it says that more rows follow.');
  }
  if (document.truncated === true || document.partial === true) {
    notes.push('Whoever served the file says that it does not hold the whole set.');
  }
  return notes;
}

const pointsOn = (document: JsonObject) =>
  ['next', 'next_page', 'next_page_token', 'nextPageToken', 'next_cursor'].some((name) => {
    const value = document[name];
    return typeof value === 'string' && value !== '';
  });
