/** Tables with a message in each row: rows of one chat become one row with its messages. */
import { roleOf } from './conversation';
import { textOf } from './cells';
import { count, type Json, type Table, type TableRow } from './types';

const ROLE_NAMES = ['role', 'from', 'speaker', 'author', 'sender'];
const TEXT_NAMES = ['content', 'value', 'text', 'message'];
const CHAT_IDS = [
  ...['conversation_id', 'conversation', 'conv_id', 'chat_id', 'dialogue_id', 'dialog_id'],
  ...['thread_id', 'session_id', 'message_tree_id', 'id'],
];
const MESSAGES = 'messages';

/** `table`, or one row a chat where each of its rows is a message. */
export function withChats(table: Table): Table {
  const names = table.columns.map((name) => name.trim().toLowerCase());
  const find = (known: readonly string[]) =>
    known.map((name) => names.indexOf(name)).find((index) => index >= 0) ?? -1;
  const [role, text] = [find(ROLE_NAMES), find(TEXT_NAMES)];
  if (role < 0 || text < 0 || names.includes(MESSAGES) || table.rows.length === 0) return table;
  const messageIn = ({ cells }: TableRow) => ({
    role: cells[role] ?? null,
    content: cells[text] ?? '',
  });
  if (!table.rows.every((row) => roleOf(messageIn(row)) !== null)) return table;

  const id = find(CHAT_IDS);
  const kept = table.columns.map((_, i) => i).filter((i) => i !== role && i !== text);
  const chats = new Map<string, { first: TableRow; messages: Json[]; cut: Set<string> }>();
  for (const row of table.rows) {
    const key = id < 0 ? '' : JSON.stringify(row.cells[id] ?? null);
    let chat = chats.get(key);
    if (!chat) chats.set(key, (chat = { first: row, messages: [], cut: new Set() }));
    chat.messages.push(messageIn(row));
    for (const name of row.truncated ?? []) {
      chat.cut.add(name === table.columns[text] ? MESSAGES : name);
    }
  }
  // An id a message tells no chats apart.
  if (id >= 0 && names[id] === 'id' && chats.size === table.rows.length) return table;
  const rows = [...chats.values()].map(({ first, messages, cut }): TableRow => ({
    row: first.row,
    line: first.line,
    cells: [...kept.map((i) => first.cells[i] ?? null), messages],
    ...(cut.size > 0 && { truncated: [...cut] }),
  }));
  const how =
    id < 0
      ? 'no column tells chats apart, so they are one chat'
      : `rows of one “${textOf(table.columns[id])}” are one chat`;
  return {
    ...table,
    columns: [...kept.map((i) => table.columns[i]!), MESSAGES],
    rows,
    notes: [...table.notes, `Each of the ${count(table.rows.length)} rows is a message; ${how}.`],
  };
}
