/** Prompt sets (JSONL of PromptItem) and the facts of their domain, checked as they come in. */
import { ACCEPTED_RULE, isAccepted, MAX_NAME_CHARACTERS } from '../../formats/datasets/accepted';
import { KnownError } from '../../formats/errors';
import { type JsonLine, JsonLinesError, parseJsonLines } from '../../formats/jsonl';
import { hash32, Random } from '../statistics/prng';
import type { Label, PromptItem } from '../types';

/** A prompt set or domain file that cannot be used; the message names the line and the field. */
export class DatasetError extends KnownError {
  override readonly name = 'DatasetError';
  readonly errorCode = 'bad-input';
}

/** What the safe system of a domain needs besides its models. */
export interface Domain {
  /** The teacher's refusals; each is as likely as the others. */
  refusals: string[];
  /** The written safety preamble, said in the system role. */
  preamble: string;
  /** Prompts to start from in the chat. */
  suggestions: string[];
  maxNewTokens: number;
}

const LABELS: readonly Label[] = ['harmful', 'borderline', 'benign'];
const MAX_PROMPT_CHARACTERS = 4000;

/**
 * Prompts of a JSONL text; `id` and `intent` default to the line and to the prompt itself, so that
 * any file of `{prompt, label, answer?}` can be evaluated.
 * @throws DatasetError
 */
export function parsePromptItems(text: string): PromptItem[] {
  const items: PromptItem[] = [];
  const seen = new Set<string>();
  for (const row of readLines(text)) {
    const item = parseItem(row);
    if (seen.has(item.id)) throw new DatasetError(`Line ${row.line}: id ${item.id} comes twice.`);
    seen.add(item.id);
    items.push(item);
  }
  if (items.length === 0) throw new DatasetError('The prompt set is empty.');
  return items;
}

function readLines(text: string): JsonLine[] {
  try {
    return parseJsonLines(text);
  } catch (error) {
    if (error instanceof JsonLinesError) throw new DatasetError(error.message);
    throw error;
  }
}

function parseItem({ line, fields }: JsonLine): PromptItem {
  const fail = (what: string) => new DatasetError(`Line ${line}: ${what}`);
  const text = (name: string): string | undefined => {
    const field = fields[name];
    if (field === undefined || field === null) return undefined;
    if (typeof field !== 'string') throw fail(`${name} must be text.`);
    return field;
  };
  const prompt = text('prompt');
  if (!prompt) throw fail('prompt is missing.');
  if (prompt.length > MAX_PROMPT_CHARACTERS) throw fail('prompt is too long.');
  const label = LABELS.find((known) => known === fields.label);
  if (!label) throw fail(`label must be one of ${LABELS.join(', ')}.`);
  const item: PromptItem = {
    id: text('id') ?? `line-${line}`,
    prompt,
    label,
    intent: text('intent') ?? prompt,
  };
  for (const name of ['category', 'style', 'wrapper', 'answer'] as const) {
    const field = text(name);
    if (field !== undefined) item[name] = field;
  }
  for (const name of ['form', 'pair'] as const) {
    const field = text(name);
    if (field === undefined) continue;
    if (field === '') throw fail(`${name} must not be empty.`);
    if (field.length > MAX_NAME_CHARACTERS) throw fail(`${name} is too long.`);
    item[name] = field;
  }
  const { accepted } = fields;
  if (accepted !== undefined && accepted !== null) {
    if (!isAccepted(accepted)) throw fail(`accepted must be ${ACCEPTED_RULE}.`);
    item.accepted = accepted;
  }
  return item;
}

/** @throws DatasetError */
export function parseDomain(value: unknown): Domain {
  const fields = (value ?? {}) as Record<string, unknown>;
  const strings = (name: string): string[] => {
    const list = fields[name];
    if (!Array.isArray(list) || list.some((entry) => typeof entry !== 'string')) {
      throw new DatasetError(`The domain's ${name} must be a list of texts.`);
    }
    return list as string[];
  };
  const { preamble, maxNewTokens } = fields;
  const refusals = strings('refusals');
  if (refusals.length === 0) throw new DatasetError('The domain has no refusals.');
  if (typeof preamble !== 'string') throw new DatasetError('The domain has no preamble.');
  if (typeof maxNewTokens !== 'number' || !(maxNewTokens > 0)) {
    throw new DatasetError("The domain's maxNewTokens must be a positive number.");
  }
  return { refusals, preamble, suggestions: strings('suggestions'), maxNewTokens };
}

/** 64-bit hex of the prompts in their order: cached work names the data it was made from. */
export function contentHash(items: readonly PromptItem[]): string {
  const hex = (salt: number) => {
    let h = salt;
    for (const item of items) {
      h = hash32(h, item.id, item.prompt, item.label, item.intent, item.answer ?? '');
      // Only where there is one, so that sets without keep their hash.
      if (item.accepted) h = hash32(h, 'accepted', ...item.accepted);
    }
    return h.toString(16).padStart(8, '0');
  };
  return hex(1) + hex(2);
}

/**
 * At most `limit` prompts of each label (0 = all), spread evenly over each label's list, so that a
 * short evaluation still sees every part of the set. Keeps the order.
 */
export function limitItems(items: readonly PromptItem[], limit: number): PromptItem[] {
  if (limit <= 0) return [...items];
  const chosen = new Set<PromptItem>();
  for (const label of LABELS) {
    const list = items.filter((item) => item.label === label);
    const count = Math.min(limit, list.length);
    for (let i = 0; i < count; i++) chosen.add(list[Math.floor((i * list.length) / count)]!);
  }
  return items.filter((item) => chosen.has(item));
}

/** A fixed random subset with the given number of prompts of each label; the rest apart. */
export function holdOut(
  items: readonly PromptItem[],
  counts: Readonly<Record<Label, number>>,
): { held: number[]; rest: number[] } {
  const order = new Random('hold-out', items.length).permutation(items.length);
  const left = { ...counts };
  const held: number[] = [];
  const rest: number[] = [];
  for (const index of order) {
    const { label } = items[index]!;
    if (left[label] > 0) {
      left[label]--;
      held.push(index);
    } else {
      rest.push(index);
    }
  }
  const ascending = (a: number, b: number) => a - b;
  return { held: held.sort(ascending), rest: rest.sort(ascending) };
}
