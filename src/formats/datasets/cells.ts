/** The text of a cell, whatever a file put there. */
import { KnownError } from '../errors';
import { type Conversation, MessageError, messagesIn, readMessages } from './conversation';
import { isObject } from './json-object';
import { sizeOfJson, tryParse } from './json-scan';
import { parsePython } from './python-literal';
import { DEFAULT_LIMITS, type Json } from './types';

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

/** A list or an object that `text` spells out in JSON or Python; undefined where it is none. */
function structureIn(text: string): Json | undefined {
  const inner = text.trim();
  const ends = /^(\[|\{|array\()/.test(inner) && /[\]})]$/.test(inner);
  if (!ends) return undefined;
  if (sizeOfJson(inner).depth > DEFAULT_LIMITS.depth) return undefined;
  const value = tryParse(inner) ?? parsePython(inner);
  return typeof value === 'object' && value !== null ? value : undefined;
}

/**
 * Text of a cell: numbers and truth values as they are written, the texts of a list with “; ”
 * between, and of {name: boolean} the true names. A text that spells such a list out is one, too, in
 * the columns that hold lists by nature.
 * @throws CellError
 */
export function textOf(cell: Json | undefined, column = ''): string {
  if (cell === undefined || cell === null) return '';
  if (typeof cell === 'string') {
    const value = NESTED.test(column.trim()) ? structureIn(cell) : undefined;
    if (value === undefined) return cell;
    try {
      return textOf(value);
    } catch (error) {
      // Text that happens to be JSON stays text.
      if (error instanceof CellError) return cell;
      throw error;
    }
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

/** Whether a text spells a chat out, or starts as one that is broken. */
export function isChatText(text: string): boolean {
  if (!/^\s*(\[|\{|array\()/.test(text)) return false;
  return CHAT_TEXT.test(text.trim()) || messagesIn(structureIn(text)) !== null;
}

/**
 * The prompt in a cell: of a list of texts the first (turns), of a chat the first message of the
 * user, whether as JSON or as JSON's or Python's text. `isPlain`: texts are what they are, whatever they
 * spell.
 * @throws CellError
 */
export function promptOf(cell: Json | undefined, column: string, isPlain = false): PromptText {
  if (typeof cell === 'string') return isPlain ? plain(cell) : promptOfText(cell, column);
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

const plain = (text: string): PromptText => ({ text, turns: 1, system: false });

function promptOfText(text: string, column: string): PromptText {
  const nested = NESTED.test(column.trim());
  const looksLikeChat = CHAT_TEXT.test(text.trim());
  const value = structureIn(text);
  if (value !== undefined) {
    const chat = chatIn(value);
    if (chat) return chat;
    const isList = Array.isArray(value) && value.length > 0;
    if (nested && isList && value.every((entry) => typeof entry === 'string')) {
      return { text: value[0]!, turns: value.length, system: false };
    }
  }
  if (looksLikeChat) {
    throw new CellError('chat messages that are neither JSON nor Python. Save the set as JSONL');
  }
  if (nested && value === undefined && /^\[[\s\S]*\]\s*$/.test(text)) {
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
