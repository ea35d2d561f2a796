/** JSON that a person brought: how much of it there is is known before any of it is parsed. */
import { KnownError } from './errors';

/** Text that is no JSON, or more of it than can be read; the message says which. */
export class JsonTextError extends KnownError {
  override readonly name = 'JsonTextError';
  readonly errorCode = 'bad-input';
}

export interface JsonLimits {
  /** UTF-16 units of the text. */
  characters: number;
  /** Lists and objects inside one another. */
  depth: number;
  /** Lists, objects, and what stands in them. */
  values: number;
}

/** No document of ours is a tenth as deep; a recursive reader manages a hundred times more. */
export const DEFAULT_DEPTH = 64;

/** Documents of text up to a few megabytes: specifications, configurations, recordings. */
export const SMALL_JSON: JsonLimits = {
  characters: 16 * 2 ** 20,
  depth: DEFAULT_DEPTH,
  values: 2 ** 21,
};

const QUOTE = 0x22;
const COMMA = 0x2c;
const OPEN_LIST = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_LIST = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/**
 * What `JSON.parse` gives, within `limits`: one pass over the text counts first.
 * @throws JsonTextError
 */
export function parseBoundedJson(text: string, limits: JsonLimits = SMALL_JSON): unknown {
  const { characters, depth, values } = limits;
  const most = (count: number) => count.toLocaleString('en-US');
  if (text.length > characters) {
    throw new JsonTextError(
      `This has ${most(text.length)} characters; at most ${most(characters)} are read.`,
    );
  }
  const size = measure(text, limits);
  if (size.depth > depth) {
    throw new JsonTextError(`This nests lists and objects more than ${most(depth)} deep.`);
  }
  if (size.values > values) {
    throw new JsonTextError(`This has more than ${most(values)} values.`);
  }
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new JsonTextError('This is not JSON, or it was cut off.');
  }
}

/** Counts until a limit is passed. Of text that is no JSON the counts mean nothing, and do no harm. */
function measure(text: string, limits: JsonLimits): { depth: number; values: number } {
  let depth = 0;
  let deepest = 0;
  let values = 0;
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case QUOTE:
        at = endOfString(text, at);
        break;
      case OPEN_LIST:
      case OPEN_OBJECT:
        values++;
        depth++;
        if (depth > deepest) deepest = depth;
        break;
      case CLOSE_LIST:
      case CLOSE_OBJECT:
        depth--;
        break;
      case COMMA:
        values++;
        break;
    }
    if (deepest > limits.depth || values > limits.values) break;
  }
  return { depth: deepest, values };
}

/** The place of the quote that ends the string whose first one is at `start`. */
function endOfString(text: string, start: number): number {
  let end = start;
  for (;;) {
    end = text.indexOf('"', end + 1);
    if (end < 0) return text.length;
    let slashes = 0;
    while (text.charCodeAt(end - 1 - slashes) === BACKSLASH) slashes++;
    if (slashes % 2 === 0) return end;
  }
}
