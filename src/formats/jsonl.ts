/** Text of one JSON object a line (JSONL), as people's editors and tools write it. */
import { KnownError } from './errors';

/** A line that is no JSON object, or a file beyond the limits; names the line. */
export class JsonLinesError extends KnownError {
  override readonly name = 'JsonLinesError';
  readonly errorCode = 'bad-input';
}

export interface JsonLine {
  /** From 1, blank lines counted, as editors do. */
  line: number;
  fields: Record<string, unknown>;
}

export interface JsonLinesLimits {
  /** Characters of the whole text. */
  characters: number;
  /** Lines that are not blank. */
  rows: number;
}

const DEFAULT_LIMITS: JsonLinesLimits = { characters: 16 * 2 ** 20, rows: 100_000 };

/**
 * The objects of `text`, blank lines left out. A byte-order mark, CRLF and lone CR line ends, and
 * JSON's own line separators inside texts are all in order. Throws {@link JsonLinesError}.
 */
export function parseJsonLines(
  text: string,
  { characters, rows }: JsonLinesLimits = DEFAULT_LIMITS,
): JsonLine[] {
  if (text.length > characters) {
    throw new JsonLinesError(
      `The file has ${text.length.toLocaleString('en-US')} characters; at most ` +
        `${characters.toLocaleString('en-US')} are read.`,
    );
  }
  const parsed: JsonLine[] = [];
  const lines = text.replace(/^\uFEFF/, '').split(/\r\n|\n|\r/);
  for (const [index, content] of lines.entries()) {
    if (content.trim() === '') continue;
    const line = index + 1;
    if (parsed.length === rows) {
      throw new JsonLinesError(
        `Line ${line}: the file has more than ${rows.toLocaleString('en-US')} rows.`,
      );
    }
    parsed.push({ line, fields: parseLine(content, line) });
  }
  return parsed;
}

function parseLine(content: string, line: number): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(content);
  } catch {
    throw new JsonLinesError(`Line ${line}: not JSON. One object a line is expected.`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new JsonLinesError(`Line ${line}: not an object.`);
  }
  return value as Record<string, unknown>;
}
