/**
 * What tokenizer.json, tokenizer_config.json and generation_config.json must look like before a
 * tokenizer is made of them. The library takes them as they are: an object where a text belongs, or
 * an id of a billion, would keep it busy without end or fill the memory. Only what is read is
 * looked at, and everything once: time and memory are linear in the files.
 */
import { KnownError } from '../../formats/errors';

/** A tokenizer's file that cannot be used; the message names the file and the place. */
export class TokenizerError extends KnownError {
  override readonly name = 'TokenizerError';
  readonly errorCode = 'unsupported-model';
}

type Json = Record<string, unknown>;

/** Ids of tokens: several times the largest vocabulary there is. */
const MAX_ID = 1 << 22;
const MAX_ADDED = 1 << 16;
/** Characters of all added tokens: they become a trie with a node a character. */
const MAX_ADDED_CHARS = 1 << 20;
const MAX_TOKEN_CHARS = 1 << 12;
/** Of a normalizer, pre-tokenizer, post-processor or decoder. */
const MAX_PARTS = 4096;
const MAX_DEPTH = 24;
const MAX_PART_CHARS = 1 << 14;
/** A word of WordPiece is tried in every length. */
const MAX_WORD = 512;
/** Sequences and special tokens that a post-processor writes. */
const MAX_PIECES = 64;
const MAX_STOPS = 256;
/** Times as long as it was that a text may become before it is cut into tokens. */
const MAX_GROWTH = 64;

const STAGES = ['normalizer', 'pre_tokenizer', 'post_processor', 'decoder'] as const;

/** Fields of the stages that hold text. */
const TEXTS: ReadonlySet<string> = new Set([
  'type',
  'content',
  'prepend',
  'replacement',
  'str_rep',
  'prepend_scheme',
  'prefix',
  'suffix',
  'behavior',
  'Regex',
  'String',
  'pad_token',
  'word_delimiter_token',
]);
/** Fields of the stages that hold lists, and how long those may be. */
const LISTS: ReadonlyMap<string, number> = new Map([
  ['normalizers', 512],
  ['pretokenizers', 512],
  ['processors', MAX_PIECES],
  ['decoders', 512],
  ['single', MAX_PIECES],
  ['pair', MAX_PIECES],
]);

/** @throws TokenizerError naming what is wrong and where */
export function checkTokenizerFiles(tokenizer: unknown, config: unknown): void {
  checkTokenizer(tokenizer);
  checkConfig(config);
}

/**
 * The ids that end an answer as a model's files say: generation_config.json's, else config.json's,
 * as transformers reads them. Empty where neither names one.
 * @param vocabulary one beyond the tokenizer's highest id; the model may have more, as config.json says
 * @throws TokenizerError for anything but an id or a list of ids, and for one that no token has
 */
export function endsOf(generation: unknown, config: unknown, vocabulary: number): number[] {
  const ofConfig = (name: string) =>
    fieldOf(config, name, 'config.json') ??
    fieldOf(fieldOf(config, 'text_config', 'config.json'), name, 'config.json');
  const size = ofConfig('vocab_size');
  const most = Math.max(vocabulary, isId(size) ? size : 0);
  const own = fieldOf(generation, 'eos_token_id', 'generation_config.json');
  if (own !== null) return idList(own, 'generation_config.json', most);
  const named = ofConfig('eos_token_id');
  return named === null ? [] : idList(named, 'config.json', most);
}

function fieldOf(value: unknown, name: string, file: string): unknown {
  if (value === null || value === undefined) return null;
  if (!isObject(value)) throw new TokenizerError(`${file} is not a JSON object.`);
  return Object.hasOwn(value, name) ? (value[name] ?? null) : null;
}

function idList(value: unknown, file: string, vocabulary: number): number[] {
  const ids = Array.isArray(value) ? (value as unknown[]) : [value];
  if (ids.length > MAX_STOPS || !ids.every(isId)) {
    throw new TokenizerError(
      `${file}: eos_token_id must be a token id or a list of up to ${MAX_STOPS} of them.`,
    );
  }
  const none = (ids as number[]).find((id) => id >= vocabulary);
  if (none !== undefined) {
    throw new TokenizerError(
      `${file}: eos_token_id is ${none}, but the vocabulary ends at ${vocabulary - 1}.`,
    );
  }
  return [...new Set(ids as number[])];
}

function checkTokenizer(tokenizer: unknown): void {
  const fail = failing('tokenizer.json');
  if (!isObject(tokenizer)) throw fail('it is not a JSON object');
  if (!isObject(tokenizer.model)) throw fail('it has no model');
  checkModel(tokenizer.model, fail);
  for (const stage of STAGES) {
    const value = tokenizer[stage] ?? null;
    if (value !== null && !isObject(value)) throw fail(`${stage} is no object`);
    if (value !== null) checkStage(value, stage, fail);
  }
  const { normalizer, pre_tokenizer: cutting, decoder } = tokenizer;
  const grown = checkGrowth(normalizer, 'normalizer', 1, fail);
  checkGrowth(cutting, 'pre_tokenizer', grown, fail);
  checkGrowth(decoder, 'decoder', 1, fail);
  checkAdded(tokenizer.added_tokens, fail);
}

function checkModel(model: Json, fail: Fail): void {
  const { vocab, merges } = model;
  if (Array.isArray(vocab)) {
    const isEntry = (entry: unknown) =>
      Array.isArray(entry) && isToken(entry[0]) && Number.isFinite(entry[1]);
    if (vocab.length > MAX_ID || !vocab.every(isEntry)) {
      throw fail('model.vocab holds something else than [token, score]');
    }
    const { unk_id: unknown } = model;
    if (!isNothing(unknown) && !(isId(unknown) && unknown < vocab.length)) {
      throw fail('model.unk_id is no token of the vocabulary');
    }
  } else if (isObject(vocab)) {
    for (const token in vocab) {
      if (!isId(vocab[token])) throw fail(`model.vocab gives ${show(token)} no token id`);
    }
  } else throw fail('model.vocab is missing');
  if (!isNothing(merges)) {
    const isMerge = (merge: unknown) =>
      isToken(merge) || (Array.isArray(merge) && merge.length === 2 && merge.every(isToken));
    if (!Array.isArray(merges) || !merges.every(isMerge)) {
      throw fail('model.merges holds something else than pairs of tokens');
    }
  }
  const { max_input_chars_per_word: word } = model;
  if (
    !isNothing(word) &&
    !(Number.isInteger(word) && Number(word) >= 0 && Number(word) <= MAX_WORD)
  )
    throw fail(`model.max_input_chars_per_word must be a number up to ${MAX_WORD}`);
  const texts = ['type', 'unk_token', 'continuing_subword_prefix', 'end_of_word_suffix'];
  for (const name of [...texts, 'continuing_subword_suffix']) {
    if (!isNothing(model[name]) && !isToken(model[name])) throw fail(`model.${name} is no text`);
  }
}

/** Any of the four stages, with all that stands in it. */
function checkStage(stage: Json, name: string, fail: Fail): void {
  let parts = 0;
  const check = (value: unknown, path: string, depth: number): void => {
    if (++parts > MAX_PARTS || depth > MAX_DEPTH) throw fail(`${name} has too many parts`);
    if (typeof value === 'number' && !(Math.abs(value) <= MAX_ID)) {
      throw fail(`${path} is no number up to ${MAX_ID}`);
    }
    if (typeof value !== 'object' || value === null) return;
    if (Array.isArray(value)) {
      for (const [i, entry] of value.entries()) check(entry, `${path}[${i}]`, depth + 1);
      return;
    }
    for (const [field, entry] of Object.entries(value)) {
      checkField(field, entry, `${path}.${field}`, fail);
      check(entry, `${path}.${field}`, depth + 1);
    }
  };
  check(stage, name, 0);
}

/**
 * Throws where replacements, one after the other, could make a text too many times as long.
 * @param before times as long as it was that earlier stages make a text
 * @returns the same with this stage
 */
function checkGrowth(stage: unknown, name: string, before: number, fail: Fail): number {
  let prepended = 0;
  const growth = (part: unknown): number => {
    if (!isObject(part)) return 1;
    const lists = [part.normalizers, part.pretokenizers, part.decoders];
    const list = (lists.find(Array.isArray) as unknown[] | undefined)?.map(growth) ?? [];
    if (typeof part.prepend === 'string') prepended += part.prepend.length;
    const own = part.type === 'Replace' ? of(part) : part.type === 'Metaspace' ? ofSpace(part) : 1;
    return list.reduce((product, each) => product * each, own);
  };
  /** Characters that a space may become. */
  const ofSpace = ({ replacement, str_rep: written }: Json): number =>
    Math.max(
      1,
      ...[replacement, written].map((text) => (typeof text === 'string' ? text.length : 1)),
    );
  /** Characters that one character of the text may become. */
  const of = ({ pattern, content }: Json): number => {
    const length = typeof content === 'string' ? content.length : 0;
    const { String: text, Regex: expression } = isObject(pattern) ? pattern : {};
    if (typeof text === 'string' && text !== '') return Math.max(1, length / text.length);
    // What fits between any two characters is put in there.
    return matchesNothing(expression) ? length + 1 : Math.max(1, length);
  };
  const times = before * growth(stage);
  if (!(times <= MAX_GROWTH))
    throw fail(`${name} may make a text more than ${MAX_GROWTH} times as long`);
  if (prepended > MAX_TOKEN_CHARS)
    throw fail(`${name} puts more than ${MAX_TOKEN_CHARS} characters before a text`);
  return times;
}

/** Whether a regular expression may match no character at all; true where it cannot be read. */
function matchesNothing(expression: unknown): boolean {
  if (typeof expression !== 'string') return true;
  try {
    return new RegExp(expression, 'u').test('') || /\(\?<?[=!]|\\[bB]|[\^$]/.test(expression);
  } catch {
    return true;
  }
}

function checkField(field: string, value: unknown, path: string, fail: Fail): void {
  if (isNothing(value)) return;
  if (TEXTS.has(field)) {
    if (typeof value !== 'string') throw fail(`${path} is no text`);
    if (value.length > MAX_PART_CHARS) throw fail(`${path} is longer than ${MAX_PART_CHARS}`);
  }
  const most = LISTS.get(field);
  if (most !== undefined) {
    if (!Array.isArray(value) || value.length > most || !value.every(isObject)) {
      throw fail(`${path} is no list of up to ${most} objects`);
    }
  }
  // FixedLength goes on by so many characters, and would not go on by none.
  if (field === 'length' && !(isId(value) && value > 0)) throw fail(`${path} is no length`);
  if (field === 'pattern' && !(isObject(value) && ('Regex' in value || 'String' in value))) {
    throw fail(`${path} has neither Regex nor String`);
  }
}

function checkAdded(added: unknown, fail: Fail): void {
  if (!Array.isArray(added)) throw fail('added_tokens is no list');
  if (added.length > MAX_ADDED) throw fail(`added_tokens has more than ${MAX_ADDED} entries`);
  let chars = 0;
  for (const [i, token] of (added as unknown[]).entries()) {
    const path = `added_tokens[${i}]`;
    if (!isObject(token)) throw fail(`${path} is no object`);
    if (!isToken(token.content) || token.content === '') {
      throw fail(`${path}.content is no text of up to ${MAX_TOKEN_CHARS} characters`);
    }
    if (!isId(token.id)) throw fail(`${path}.id is no token id`);
    for (const flag of ['single_word', 'lstrip', 'rstrip', 'normalized', 'special']) {
      if (!isNothing(token[flag]) && typeof token[flag] !== 'boolean') {
        throw fail(`${path}.${flag} is neither true nor false`);
      }
    }
    chars += token.content.length;
  }
  if (chars > MAX_ADDED_CHARS) {
    throw fail(`added_tokens are longer than ${MAX_ADDED_CHARS} characters together`);
  }
}

function checkConfig(config: unknown): void {
  const fail = failing('tokenizer_config.json');
  if (!isObject(config)) throw fail('it is not a JSON object');
  const { additional_special_tokens: more } = config;
  if (!isNothing(more) && !(Array.isArray(more) && more.length <= MAX_PARTS)) {
    throw fail(`additional_special_tokens is no list of up to ${MAX_PARTS} entries`);
  }
  if (!isNothing(config.target_lang) && typeof config.target_lang !== 'string') {
    throw fail('target_lang is no text');
  }
}

type Fail = (what: string) => TokenizerError;

function failing(file: string): Fail {
  return (what) => new TokenizerError(`${file} cannot be used: ${what}.`);
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isNothing(value: unknown): value is null | undefined {
  return value === null || value === undefined;
}

function isId(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= MAX_ID;
}

function isToken(value: unknown): value is string {
  return typeof value === 'string' && value.length <= MAX_TOKEN_CHARS;
}

function show(text: string): string {
  return JSON.stringify(text.slice(0, 40));
}
