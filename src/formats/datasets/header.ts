/** The first row of a table of lists: names, or data already; and the delimiter that it is split at. */
import { CsvParser, type CsvRecord } from './csv';
import {
  count,
  DatasetFileError,
  type Delimiter,
  DELIMITERS,
  type Json,
  type Limits,
  SPOKEN,
} from './types';

/** Names are short and neither numbers nor sentences. */
function isData(cell: Json): boolean {
  if (typeof cell !== 'string') return cell !== null;
  if (cell.length > 200) return true;
  const name = cell.trim();
  return (
    name.length > 80 ||
    /\s.*[.?!]$/.test(name) ||
    /^[-+]?\d[\d.,]*$/.test(name) ||
    name.split(/\s+/).length > 6
  );
}

/** Throws {@link DatasetFileError} where a row that should name the columns looks like data. */
export function checkHeader(place: { row: number; line: number }, cells: readonly Json[]): void {
  const position = cells.findIndex(isData);
  if (position < 0) return;
  const { row, line } = place;
  throw new DatasetFileError(
    'missing-header',
    `Row ${count(row)} should name the columns, but its cell ${position + 1} looks like data. ` +
      'Add a row of names, or say whether there is one.',
    { row, line },
  );
}

/** One column that another delimiter would split into names. Throws {@link DatasetFileError}. */
export function checkDelimiter({ row, line, cells }: CsvRecord, delimiter: Delimiter): void {
  if (cells.length > 1) return;
  const better = DELIMITERS.filter((each) => each !== delimiter)
    .map((each) => ({ delimiter: each, names: cells[0]!.split(each) }))
    .sort((a, b) => b.names.length - a.names.length)[0]!;
  // A comma in a sentence splits prose, not names.
  if (better.names.length < 2 || better.names.some(isData)) return;
  throw new DatasetFileError(
    'wrong-delimiter',
    `Row ${count(row)} has one column when split at ${SPOKEN[delimiter]}, but ` +
      `${better.names.length} at ${SPOKEN[better.delimiter]}. Read it with ` +
      `${SPOKEN[better.delimiter]}.`,
    { row, line, delimiter: better.delimiter },
  );
}

export interface CsvStart {
  delimiter: Delimiter;
  /** Characters of a first line that names the delimiter and is no row. */
  skip: number;
  /** How a person is told, where the delimiter is another than the file's name says. */
  note: string | null;
}

/**
 * What the start of a CSV file says of its delimiter: a line `sep=;`, as Excel writes it, or a
 * header that only another delimiter splits. Null while `text`, which starts with no blank line, may
 * not hold the whole header yet. Throws {@link DatasetFileError}.
 * @param preferred what the file's name says
 * @param given what a person said; wins
 * @param ended `text` is the whole file
 */
export function csvStart(
  text: string,
  preferred: Delimiter,
  given: Delimiter | undefined,
  limits: Limits,
  ended: boolean,
): CsvStart | null {
  const first = /^[^\r\n]{0,20}(?:\r\n|\n|\r(?!$))/.exec(text)?.[0] ?? (ended ? text : null);
  if (first === null && /^"?sep=/i.test(text) && text.length < 20) return null;
  const line = first === null ? null : /^"?sep=(.?)"?[\s,;|]*$/i.exec(first);
  if (line) {
    const named = DELIMITERS.find((each) => each === line[1]);
    if (!named && !given) {
      throw new DatasetFileError(
        'wrong-delimiter',
        `Row 1 names a delimiter that is not read: one of ${Object.values(SPOKEN).join(', ')} is.`,
        { row: 1, line: 1 },
      );
    }
    const delimiter = given ?? named!;
    return { delimiter, skip: first!.length, note: null };
  }
  if (given) return { delimiter: given, skip: 0, note: null };
  const records = new Map(DELIMITERS.map((each) => [each, firstRow(text, each, limits, ended)]));
  const cells = records.get(preferred);
  if (cells === undefined && text.length <= limits.cell && !ended) return null;
  if (cells && cells.length > 1) return { delimiter: preferred, skip: 0, note: null };
  const [better] = [...records]
    .flatMap(([delimiter, names]) => (names ? [{ delimiter, names }] : []))
    .filter(({ names }) => names.length > 1 && !names.some(isData))
    .sort((a, b) => b.names.length - a.names.length);
  if (!better) return { delimiter: preferred, skip: 0, note: null };
  const { delimiter } = better;
  return { delimiter, skip: 0, note: `Its columns are split at ${SPOKEN[delimiter]}.` };
}

/** Cells of the first row; null where it cannot be read so, undefined where it goes on. */
function firstRow(
  text: string,
  delimiter: Delimiter,
  limits: Limits,
  ended: boolean,
): readonly string[] | null | undefined {
  const parser = new CsvParser(delimiter, limits);
  try {
    for (const { cells } of parser.push(text)) return cells;
    if (ended) for (const { cells } of parser.end()) return cells;
    return undefined;
  } catch (error) {
    if (error instanceof DatasetFileError) return null;
    throw error;
  }
}
