/** Tables with a message in each row: rows of one chat become one row with its messages. */
import { isUser, roleOf } from './conversation';
import { textOf } from './cells';
import { count, type Json, type Table, type TableRow } from './types';

/** Names of what says who speaks; the later ones are also those of people who wrote texts. */
const ROLE_NAMES = ['role', 'from', 'speaker', 'author', 'sender'];
const CLEAR_ROLES = ['role', 'from'];
const TEXT_NAMES = ['content', 'value', 'text', 'message'];
const CHAT_IDS = [
  ...['conversation_id', 'conversation', 'conv_id', 'chat_id', 'dialogue_id', 'dialog_id'],
  ...['thread_id', 'session_id', 'message_tree_id', 'id'],
];
const MESSAGES = 'messages';

interface Message {
  row: TableRow;
  role: string;
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
function takeTurns(messages: readonly Message[]): boolean {
  const [first] = messages;
  const turns = messages.slice(isUser(first!.role) ? 0 : 1);
  return (
    turns.length > 0 &&
    (isUser(first!.role) || /^(system|developer)$/.test(first!.role)) &&
    turns.every(({ role }, i) => isUser(role) === (i % 2 === 0))
  );
}

/** Whether rows of one `id`, as rows about one document have it, too, are somebody asking and answered. */
function belongTogether(messages: readonly Message[]): boolean {
  const [{ role: first }] = messages as [Message];
  const starts = isUser(first) || /^(system|developer)$/.test(first);
  return starts && (messages.length === 1 || messages.some(({ role }) => !isUser(role)));
}

/**
 * Whether cells of a column are those of single messages: they differ within the chat, or only what
 * users say has one. Else they are the chat's, on each of its rows or on the first.
 */
function isOfMessages(messages: readonly Message[], column: number): boolean {
  const cellOf = ({ row }: Message) => {
    const cell = given(row.cells[column]) ?? null;
    return cell === null ? null : JSON.stringify(cell);
  };
  if (new Set(messages.map(cellOf).filter((cell) => cell !== null)).size > 1) return true;
  const users = messages.filter(({ role }) => isUser(role));
  const others = messages.filter(({ role }) => !isUser(role));
  const isTold = users.filter((message) => cellOf(message) !== null);
  return (
    others.length > 0 &&
    others.every((message) => cellOf(message) === null) &&
    (isTold.length > 1 || (isTold.length === 1 && isTold[0] !== messages[0]))
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
  const chats = new Map<string, Message[]>();
  for (const [i, row] of table.rows.entries()) {
    const key = id < 0 ? '' : JSON.stringify(row.cells[id] ?? null);
    if (!chats.has(key)) chats.set(key, []);
    chats.get(key)!.push({ row, role: roles[i]! });
  }
  // An id a message tells no chats apart; and rows of one document have one id, too.
  if (id < 0 || names[id] === 'id') {
    if (chats.size === table.rows.length || !CLEAR_ROLES.includes(names[role]!)) return table;
    const all = [...chats.values()];
    if (id < 0 && (!all.every(takeTurns) || labelsVary(table, names))) return table;
    if (id >= 0 && !all.every(belongTogether)) return table;
  }
  const kept = table.columns.map((_, i) => i).filter((i) => i !== role && i !== text);
  const ofPrompts = kept.filter((i) => [...chats.values()].some((chat) => isOfMessages(chat, i)));
  // Whatever stands beside the messages is that of the one which is the prompt, or of the chat.
  const rows = [...chats.values()].map((messages): TableRow => {
    const first = messages[0]!.row;
    const asks = messages.find((message) => isUser(message.role))?.row;
    const cut = messages.flatMap(({ row }) =>
      (row.truncated ?? []).map((name) => (name === table.columns[text] ? MESSAGES : name)),
    );
    const cells = kept.map(
      (i) => given(asks?.cells[i]) ?? (ofPrompts.includes(i) ? null : first.cells[i]) ?? null,
    );
    return {
      row: first.row,
      line: first.line,
      cells: [...cells, messages.map(({ row }) => messageIn(row))],
      ...(cut.length > 0 && { truncated: [...new Set(cut)] }),
    };
  });
  const how =
    id < 0
      ? 'no column tells chats apart, so they are one chat'
      : `rows of one “${textOf(table.columns[id])}” are one chat`;
  return {
    ...table,
    columns: [...kept.map((i) => table.columns[i]!), MESSAGES],
    rows,
    ofPrompts: ofPrompts.map((i) => table.columns[i]!),
    notes: [...table.notes, `Each of the ${count(table.rows.length)} rows is a message; ${how}.`],
  };
}
