/** The text of a cell, whatever a file put there. */
import { KnownError } from '../errors';
import { type Conversation, MessageError, messagesIn, readMessages } from './conversation';
import { isObject, type JsonObject } from './json-object';
import { doubledName, sizeOfJson, tryParse } from './json-scan';
import { readPython } from './python-literal';
import { DEFAULT_LIMITS, type Json, quoted } from './types';

/** A cell that holds no text; `what` completes “holds …”. */
export class CellError extends KnownError {
  override readonly name = 'CellError';
  readonly errorCode = 'bad-input';
}

/** What a cell of prompts holds. */
export interface PromptText {
  text: string;
  /** Turns of the user in it; the text is the first. */
  turns: number;
  /** A system message was left out. */
  system: boolean;
}

/** Columns that hold lists or objects in JSON, and their text in CSV. */
const NESTED = /^(turns|messages|conversations?|dialogu?e|category|categories|labels|tags)$/i;

const CHAT_TEXT = /^[[{][\s{]{0,20}["'](role|from|content|value|author|speaker)["']\s{0,20}:/;

/** A list or an object that a cell spells out as text. */
export interface Structure {
  value: Json[] | JsonObject;
  /** The first name that one of its objects has twice, of whose values it holds the last. */
  doubled: string | null;
}

/** What `text` spells out in JSON or Python; null where it is no list or object. */
export function structureIn(text: string): Structure | null {
  const inner = text.trim();
  const ends = /^(\[|\{|array\()/.test(inner) && /[\]})]$/.test(inner);
  if (!ends) return null;
  if (sizeOfJson(inner).depth > DEFAULT_LIMITS.depth) return null;
  const json = tryParse(inner);
  if (typeof json === 'object' && json !== null)
    return { value: json, doubled: doubledName(inner) };
  const python = readPython(inner);
  if (!python || typeof python.value !== 'object' || python.value === null) return null;
  return { value: python.value, doubled: python.doubled };
}

/** {@link structureIn}, or one that counts what it reads. */
export type StructureReader = (text: string) => Structure | null;

/** @throws CellError where a value of `structure` would be lost */
function whole({ value, doubled }: Structure): Structure['value'] {
  if (doubled === null) return value;
  throw new CellError(`an object with the name ${quoted(doubled)} twice`);
}

/**
 * Text of a cell: numbers and truth values as they are written, the texts of a list with “; ”
 * between, and of {name: boolean} the true names. A text that spells such a list out is one, too, in
 * the columns that hold lists by nature.
 * @throws CellError
 */
export function textOf(
  cell: Json | undefined,
  column = '',
  read: StructureReader = structureIn,
): string {
  if (cell === undefined || cell === null) return '';
  if (typeof cell === 'string') {
    const structure = isNested(column) ? read(cell) : null;
    if (structure === null) return cell;
    let text: string;
    try {
      text = textOf(structure.value);
    } catch (error) {
      // Text that happens to be JSON stays text.
      if (error instanceof CellError) return cell;
      throw error;
    }
    whole(structure);
    return text;
  }
  if (typeof cell === 'number' || typeof cell === 'boolean') return String(cell);
  if (Array.isArray(cell)) {
    if (cell.some((entry) => typeof entry === 'object' && entry !== null)) {
      throw new CellError('a list that is not of texts');
    }
    return cell
      .map((entry) => textOf(entry))
      .filter((text) => text !== '')
      .join('; ');
  }
  const entries = Object.entries(cell);
  if (entries.length > 0 && entries.every(([, value]) => typeof value === 'boolean')) {
    return entries
      .filter(([, value]) => value)
      .map(([name]) => name)
      .join('; ');
  }
  throw new CellError('an object, not a text');
}

/** Whether lists are what a column of this name holds. */
export const isNested = (column: string) => NESTED.test(column.trim());

/** Whether `text`, which spells `structure` out, is a chat, or starts as one that is broken. */
export const isChatText = (text: string, structure: Structure | null): boolean =>
  CHAT_TEXT.test(text.trim()) || messagesIn(structure?.value) !== null;

/**
 * The prompt in a cell: of a list of texts the first (turns), of a chat the first message of the
 * user, whether as JSON or as JSON's or Python's text, which `read` reads.
 * @throws CellError
 */
export function promptOf(
  cell: Json | undefined,
  column: string,
  read: StructureReader = structureIn,
): PromptText {
  if (typeof cell === 'string') return promptOfText(cell, column, read(cell));
  if (Array.isArray(cell)) {
    if (cell.length === 0) return plain('');
    if (cell.every((entry) => typeof entry === 'string')) {
      return { text: cell[0]!, turns: cell.length, system: false };
    }
  }
  const chat = chatIn(cell);
  if (chat) return chat;
  if (Array.isArray(cell)) throw new CellError('a list that is neither of texts nor of messages');
  if (isObject(cell)) throw new CellError('an object, not a text');
  return plain(textOf(cell));
}

/** A prompt that is its cell, whatever that spells. */
export const plain = (text: string): PromptText => ({ text, turns: 1, system: false });

function promptOfText(text: string, column: string, structure: Structure | null): PromptText {
  const nested = isNested(column);
  if (structure !== null) {
    const { value } = structure;
    if (messagesIn(value)) return chatIn(whole(structure))!;
    const isList = Array.isArray(value) && value.length > 0;
    if (nested && isList && value.every((entry) => typeof entry === 'string')) {
      return { text: value[0]!, turns: value.length, system: false };
    }
  }
  if (CHAT_TEXT.test(text.trim())) {
    throw new CellError('chat messages that are neither JSON nor Python. Save the set as JSONL');
  }
  if (nested && structure === null && /^\[[\s\S]*\]\s*$/.test(text)) {
    throw new CellError('a list that is neither JSON nor Python. Save the set as JSONL');
  }
  return plain(text);
}

function chatIn(value: Json | undefined): PromptText | null {
  const messages = messagesIn(value);
  if (!messages) return null;
  let chat: Conversation;
  try {
    chat = readMessages(messages);
  } catch (error) {
    if (error instanceof MessageError) throw new CellError(error.message);
    throw error;
  }
  if (chat.text === null) throw new CellError('a chat without a message of a user');
  return { ...chat, text: chat.text };
}
