/**
 * Chats inside a prompt set: lists of messages as chat APIs, ShareGPT, OpenAssistant and Gemini
 * write them. Of a chat, the first message of the user is the prompt.
 */
import { KnownError } from '../errors';
import { isObject, type JsonObject } from './json-object';
import type { Json } from './types';

const ROLES = ['role', 'from', 'author', 'speaker', 'sender'] as const;
const TEXTS = ['content', 'value', 'text', 'parts', 'message'] as const;
const USER = /^(user|human|prompter|person|customer|input_user)$/;
const OTHERS =
  /^(system|developer|assistant|gpt|chatgpt|bing|bard|bot|model|ai|tool|function|observation|function_call|ipython)$/;

export interface Conversation {
  /** Of the first message of the user; null where there is none. */
  text: string | null;
  /** Messages of the user. */
  turns: number;
  /** It starts with what a system is told; that is no part of the prompt. */
  system: boolean;
}

/** A message whose content is no text; `what` completes “holds …”. */
export class MessageError extends KnownError {
  override readonly name = 'MessageError';
  readonly errorCode = 'bad-input';
}

/** In lower case; null where `value` is no message. */
export function roleOf(value: Json | undefined): string | null {
  if (!isObject(value)) return null;
  const role = ROLES.map((name) => value[name]).find((each) => typeof each === 'string');
  if (role === undefined || !TEXTS.some((name) => name in value)) return null;
  const known = role.trim().toLowerCase();
  return USER.test(known) || OTHERS.test(known) ? known : null;
}

export const isUser = (role: string) => USER.test(role);

/** Whether `value` is a list of messages, of which there is at least one. */
export function isMessages(value: Json | undefined): value is JsonObject[] {
  return Array.isArray(value) && value.length > 0 && value.every((each) => roleOf(each) !== null);
}

/** The messages in `value`: the list itself, one message, or a list under a name. */
export function messagesIn(value: Json | undefined): JsonObject[] | null {
  if (isMessages(value)) return value;
  if (!isObject(value)) return null;
  if (roleOf(value) !== null) return [value];
  for (const name of ['messages', 'conversation', 'conversations', 'contents']) {
    if (isMessages(value[name])) return value[name];
  }
  return null;
}

/** @throws MessageError */
export function readMessages(messages: readonly JsonObject[]): Conversation {
  const users = messages.filter((message) => USER.test(roleOf(message)!));
  const first = users[0];
  return {
    text: first ? contentOf(first) : null,
    turns: users.length,
    system: /^(system|developer)$/.test(roleOf(messages[0])!),
  };
}

function contentOf(message: JsonObject): string {
  const content = TEXTS.map((name) => message[name]).find((each) => each !== undefined);
  if (typeof content === 'string') return content;
  const parts = isObject(content) && Array.isArray(content.parts) ? content.parts : content;
  const list = Array.isArray(parts) ? parts : [parts];
  return list.map(partOf).join('\n');
}

function partOf(part: Json | undefined): string {
  if (typeof part === 'string') return part;
  if (isObject(part)) {
    const { type } = part;
    if (typeof part.text === 'string') return part.text;
    if (typeof type === 'string') {
      throw new MessageError(`a message with a part that is no text (${type.slice(0, 20)})`);
    }
  }
  throw new MessageError('a message without a text');
}
