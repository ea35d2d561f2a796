/** What JSON text would become, counted before it is parsed: limits before memory. */
import { count, DatasetFileError, type Json, type Limits } from './types';

const QUOTE = 0x22;
const MINUS = 0x2d;
const ZERO = 0x30;
const NINE = 0x39;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

export interface JsonSize {
  /** Values of lists and objects, at most one too many for each empty one. */
  values: number;
  /** Lists and objects within one another. */
  depth: number;
}

/** One pass, whether or not `text` is JSON. */
export function sizeOfJson(text: string): JsonSize {
  let [values, depth, deepest] = [1, 0, 0];
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === QUOTE) {
      for (i++; i < text.length; i++) {
        const inside = text.charCodeAt(i);
        if (inside === QUOTE) break;
        if (inside === BACKSLASH) i++;
      }
    } else if (code === COMMA) values++;
    else if (code === OPEN_LIST || code === OPEN_OBJECT) {
      values++;
      if (++depth > deepest) deepest = depth;
    } else if (code === CLOSE_LIST || code === CLOSE_OBJECT) depth--;
  }
  return { values, depth: deepest };
}

/** Throws {@link DatasetFileError} for text that would become too much; `where` starts its sentence. */
export function checkJsonSize(
  text: string,
  limits: Limits,
  where: string,
  place: { row?: number; line?: number } = {},
): JsonSize {
  const size = sizeOfJson(text);
  if (size.depth > limits.depth) {
    throw new DatasetFileError(
      'too-deep',
      `${where}: lists or objects lie more than ${limits.depth} deep in one another.`,
      place,
    );
  }
  if (size.values > limits.values) {
    throw new DatasetFileError(
      'too-many-values',
      `${where}: more than ${count(limits.values)} values.`,
      place,
    );
  }
  return size;
}

/**
 * The first name that stands twice in one object of `text`, where JSON.parse keeps the last; null where
 * none does. `text` is JSON.
 */
export function doubledName(text: string): string | null {
  /** Names of each open object; null for a list. */
  const open: (Set<string> | null)[] = [];
  /** The next string in an object is a name. */
  let named = false;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === OPEN_OBJECT) named = open.push(new Set()) > 0;
    else if (code === OPEN_LIST) open.push(null);
    else if (code === CLOSE_OBJECT || code === CLOSE_LIST) open.pop();
    else if (code === COMMA) named = true;
    else if (code === QUOTE) {
      const start = i + 1;
      i = endOfString(text, start);
      const names = open.at(-1);
      if (!names || !named) continue;
      const name = unescaped(text.slice(start, i));
      if (names.has(name)) return name;
      names.add(name);
      named = false;
    }
  }
  return null;
}

/** Where the string that starts at `i` ends: at its quote. */
function endOfString(text: string, i: number): number {
  for (; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === QUOTE) return i;
    if (code === BACKSLASH) i++;
  }
  return text.length;
}

function unescaped(inner: string): string {
  if (!inner.includes('\\')) return inner;
  const value = tryParse(`"${inner}"`);
  return typeof value === 'string' ? value : inner;
}

const LARGE_NUMBER = /\d{16}|[eE]\+?\d{3}/;
const NUMBER = /-?\d[\d.eE+-]*/y;

/** Whether a number that is written so would be another: a whole one beyond 2^53, or infinity. */
export function losesDigits(number: string): boolean {
  if (/^[-+]?[1-9]\d{15,}$/.test(number)) return !Number.isSafeInteger(Number(number));
  return Math.abs(Number(number)) === Infinity;
}

/**
 * JSON `text` with whole numbers beyond 2^53 as strings: as numbers, ids that differ would be one.
 * Others are as they were.
 */
function keepingDigits(text: string): string {
  if (!LARGE_NUMBER.test(text)) return text;
  const pieces: string[] = [];
  let from = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === QUOTE) i = endOfString(text, i + 1);
    else if (code === MINUS || (code >= ZERO && code <= NINE)) {
      NUMBER.lastIndex = i;
      const number = NUMBER.exec(text)?.[0] ?? text[i]!;
      if (losesDigits(number)) {
        pieces.push(text.slice(from, i), `"${number}"`);
        from = i + number.length;
      }
      i += number.length - 1;
    }
  }
  return [...pieces, text.slice(from)].join('');
}

/** JSON.parse, but that no digit of a whole number is lost. @throws SyntaxError */
export function parseJson(text: string): Json {
  return JSON.parse(keepingDigits(text)) as Json;
}

/** The value, or undefined where `text` is not JSON. */
export function tryParse(text: string): Json | undefined {
  try {
    return parseJson(text);
  } catch {
    return undefined;
  }
}
