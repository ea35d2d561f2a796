/** The text of a cell, whatever a file put there. */
import { KnownError } from '../errors';
import { isObject } from './json-document';
import type { Json } from './types';

/** A cell that holds no text; `what` completes “holds …”. */
export class CellError extends KnownError {
  override readonly name = 'CellError';
  readonly errorCode = 'bad-input';
}

/**
 * Text of a cell: numbers and truth values as they are written, a list's first text (first turns),
 * the first user message of a conversation, and of {name: boolean} the true names.
 * @throws CellError
 */
export function textOf(cell: Json | undefined): string {
  if (cell === undefined || cell === null) return '';
  if (typeof cell === 'string') return cell;
  if (typeof cell === 'number' || typeof cell === 'boolean') return String(cell);
  if (Array.isArray(cell)) return firstOf(cell);
  const entries = Object.entries(cell);
  if (entries.length > 0 && entries.every(([, value]) => typeof value === 'boolean')) {
    return trueNames(entries as [string, boolean][]);
  }
  throw new CellError('an object, not a text');
}

function firstOf(list: Json[]): string {
  if (list.length === 0) return '';
  if (list.every((entry) => typeof entry === 'string')) return list[0] as string;
  const messages = list.filter(isObject);
  if (messages.length === list.length) {
    const role = (message: { [name: string]: Json }) => message.role ?? message.from;
    const user = messages.find((message) => role(message) === 'user' || role(message) === 'human');
    const content = user?.content ?? user?.value;
    if (typeof content === 'string') return content;
  }
  throw new CellError('a list that is neither of texts nor of messages');
}

const trueNames = (entries: readonly [string, boolean][]) =>
  entries
    .filter(([, value]) => value)
    .map(([name]) => name)
    .join('; ');

/** Columns that hold lists or objects in JSON, and their text in CSV. */
const NESTED = /^(turns|messages|conversations?|category|categories)$/i;

/**
 * Text of a CSV cell. In columns that are lists or objects by nature, a list or an object in JSON,
 * or {name: True} as Python prints it, is taken as such.
 * @throws CellError
 */
export function textOfCsv(text: string, column: string): string {
  if (!NESTED.test(column.trim())) return text;
  const first = text[0];
  if (first !== '{' && first !== '[') return text;
  if (!/[\]}]\s*$/.test(text)) return text;
  let value: Json;
  try {
    value = JSON.parse(text) as Json;
  } catch {
    if (first === '{') return fromPython(text);
    throw new CellError('a list, but not in JSON. Save the set as JSONL');
  }
  // Text that happens to be JSON stays text.
  try {
    return typeof value === 'object' && value !== null ? textOf(value) : text;
  } catch (error) {
    if (error instanceof CellError) return text;
    throw error;
  }
}

/** {'name': True, …} as Python prints it; anything else is text. */
function fromPython(text: string): string {
  const pair = /(?:'([^'\\]*)'|"([^"\\]*)")\s*:\s*(True|False)/g;
  if (text.replace(pair, '').replace(/[\s,]/g, '') !== '{}') return text;
  const found = [...text.matchAll(pair)];
  return trueNames(found.map(([, single, double, value]) => [single ?? double!, value === 'True']));
}
