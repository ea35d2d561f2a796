/** Tables with a message in each row: rows of one chat become one row with its messages. */
import { isUser, roleOf } from './conversation';
import { textOf } from './cells';
import { count, type Json, type Table, type TableRow } from './types';

const ROLE_NAMES = ['role', 'from', 'speaker', 'author', 'sender'];
const TEXT_NAMES = ['content', 'value', 'text', 'message'];
const CHAT_IDS = [
  ...['conversation_id', 'conversation', 'conv_id', 'chat_id', 'dialogue_id', 'dialog_id'],
  ...['thread_id', 'session_id', 'message_tree_id', 'id'],
];
const MESSAGES = 'messages';

interface Chat {
  first: TableRow;
  /** The first row of the user. */
  asks: TableRow | null;
  messages: Json[];
  /** Columns of cells that were cut short. */
  cut: Set<string>;
}

const given = (cell: Json | undefined) => (cell === '' ? null : cell);

/** Whether a column that is called a label says more than one thing: rows of one chat have one. */
const labelsVary = ({ rows }: Table, names: readonly string[]) =>
  names.some((name, i) => {
    if (!/label|safe|harm|toxic|flag|class|benign|malicious|jailbreak/.test(name)) return false;
    return new Set(rows.flatMap(({ cells }) => given(cells[i]) ?? [])).size > 1;
  });

/**
 * Whether roles follow one another as in one chat: perhaps what a system is told, then user and
 * assistant in turn. A list of prompts by one author, or of texts by people and machines, does not.
 */
function takeTurns(roles: readonly string[]): boolean {
  const start = isUser(roles[0]!) ? 0 : 1;
  const turns = roles.slice(start);
  return (
    turns.length > 1 &&
    (start === 0 || /^(system|developer)$/.test(roles[0]!)) &&
    turns.every((role, i) => isUser(role) === (i % 2 === 0))
  );
}

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
  const roles = table.rows.map((row) => roleOf(messageIn(row))!);
  if (id < 0 && (!takeTurns(roles) || labelsVary(table, names))) return table;
  const kept = table.columns.map((_, i) => i).filter((i) => i !== role && i !== text);
  const chats = new Map<string, Chat>();
  for (const [i, row] of table.rows.entries()) {
    const key = id < 0 ? '' : JSON.stringify(row.cells[id] ?? null);
    let chat = chats.get(key);
    if (!chat) chats.set(key, (chat = { first: row, asks: null, messages: [], cut: new Set() }));
    if (isUser(roles[i]!)) chat.asks ??= row;
    chat.messages.push(messageIn(row));
    for (const name of row.truncated ?? []) {
      chat.cut.add(name === table.columns[text] ? MESSAGES : name);
    }
  }
  // An id a message tells no chats apart.
  if (id >= 0 && names[id] === 'id' && chats.size === table.rows.length) return table;
  // Whatever stands beside the messages is that of the one which is the prompt.
  const rows = [...chats.values()].map(({ first, asks, messages, cut }): TableRow => ({
    row: first.row,
    line: first.line,
    cells: [...kept.map((i) => given(asks?.cells[i]) ?? first.cells[i] ?? null), messages],
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
