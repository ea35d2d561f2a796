/** What JSON text would become, counted before it is parsed: limits before memory. */
import { count, DatasetFileError, type Json, type Limits } from './types';

const QUOTE = 0x22;
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

/** The value, or undefined where `text` is not JSON. */
export function tryParse(text: string): Json | undefined {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return undefined;
  }
}
