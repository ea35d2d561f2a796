/**
 * The library's tokenizer behind checked files: bounded text in, typed errors out, and added tokens
 * that obey `single_word` as Python's tokenizers does, which the library reads and leaves aside.
 */
import { Tokenizer } from '@huggingface/tokenizers';
import type { Tokens } from '../../engine/types';
import { MAX_CHAT_CHARS, TextTooLongError } from './chat-template';
import { checkTokenizerFiles, TokenizerError } from './tokenizer-files';

export class TextTokenizer {
  /** Added tokens that are markers and no text. */
  readonly specialTokens: ReadonlySet<number>;
  /** All added tokens, those that are text among them. */
  readonly addedTokens: ReadonlySet<number>;
  private readonly tokenizer: Tokenizer;

  /**
   * @param tokenizerJson parsed tokenizer.json
   * @param config parsed tokenizer_config.json
   * @throws TokenizerError where no tokenizer can be made of them
   */
  constructor(tokenizerJson: unknown, config: unknown) {
    this.tokenizer = libraryTokenizer(tokenizerJson, config);
    const added = [...this.tokenizer.get_added_tokens_decoder()];
    this.addedTokens = new Set(added.map(([id]) => id));
    this.specialTokens = new Set(added.filter(([, { special }]) => special).map(([id]) => id));
  }

  get vocabSize(): number {
    return this.tokenizer.get_vocab(true).size;
  }

  /** One beyond the highest id; ids may leave gaps, so `vocabSize` can be less. */
  get idLimit(): number {
    let most = 0;
    for (const id of this.tokenizer.get_vocab(true).values()) most = Math.max(most, id);
    return most + 1;
  }

  idOf(token: string): number | undefined {
    return this.tokenizer.token_to_id(token);
  }

  /** Ids of text that names its special tokens itself. @throws TextTooLongError, TokenizerError */
  encode(text: string): number[] {
    if (text.length > MAX_CHAT_CHARS) throw new TextTooLongError();
    const { ids } = attempt(() => this.tokenizer.encode(text, { add_special_tokens: false }));
    if (!ids.every(Number.isInteger)) {
      throw new TokenizerError('tokenizer.json has no token for a part of this text.');
    }
    return ids;
  }

  /** The text of ids, without special tokens. @throws TokenizerError */
  decode(tokens: Tokens): string {
    if (tokens.length === 0) return '';
    return attempt(() => this.tokenizer.decode([...tokens], { skip_special_tokens: true }));
  }
}

/**
 * The library's tokenizer of parsed tokenizer.json and tokenizer_config.json, put right.
 * @throws TokenizerError where none can be made of them
 */
export function libraryTokenizer(tokenizerJson: unknown, config: unknown): Tokenizer {
  checkTokenizerFiles(tokenizerJson, config);
  return attempt(() => {
    const tokenizer = new Tokenizer(tokenizerJson as object, config as object);
    obeySingleWord(tokenizer);
    return tokenizer;
  });
}

interface AddedToken {
  single_word: boolean;
  normalized: boolean;
  lstrip: boolean;
  rstrip: boolean;
}

interface Splitter {
  /** The text in pieces, each an added token or what stands between two. */
  split(text: string): string[];
}

/** What of the library's tokenizer is read here; the version is pinned, and a test holds it. */
interface Inside {
  normalizer: ((text: string) => string) | null;
  pre_tokenizer: ((text: string, options: { section_index: number }) => string[]) | null;
  model: (words: string[]) => string[];
  splitter_unnormalized: Splitter;
  splitter_normalized: Splitter;
  added_tokens_map: ReadonlyMap<string, AddedToken>;
  encode_text: (text: string | null) => string[] | null;
}

interface Piece {
  text: string;
  /** Null for text between tokens. */
  token: AddedToken | null;
}

/** A letter, mark, digit, connector or joiner: \w of the regular expressions of Rust. */
const WORD = '[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}]';
const STARTS_WITH_WORD = new RegExp(`^${WORD}`, 'u');
const ENDS_WITH_WORD = new RegExp(`${WORD}$`, 'u');

/**
 * Makes a tokenizer of the library, whichever copy of it, leave added tokens with `single_word` in
 * the text where a word goes on beside them. One without such tokens is left as it is.
 */
export function obeySingleWord(tokenizer: object): void {
  const inside = tokenizer as Inside;
  const { added_tokens_map: added, normalizer, model } = inside;
  if (![...added.values()].some((token) => token.single_word)) return;
  const isNormalized = (token: AddedToken) => token.normalized && normalizer !== null;
  const cut = (text: string, splitter: Splitter, normalized: boolean) =>
    pieces(text, splitter.split(text), (section) => {
      const token = added.get(section);
      return token && isNormalized(token) === normalized ? token : null;
    });
  inside.encode_text = (whole) => {
    if (whole === null) return null;
    return cut(whole, inside.splitter_unnormalized, false).flatMap((outer, section_index) => {
      if (outer.token) return [outer.text];
      const text = normalizer ? normalizer(outer.text) : outer.text;
      return cut(text, inside.splitter_normalized, true).flatMap((inner) => {
        if (inner.token) return [inner.text];
        if (inner.text === '') return [];
        return model(inside.pre_tokenizer?.(inner.text, { section_index }) ?? [inner.text]);
      });
    });
  };
}

/** Sections of a text, those joined again that are no token where they stand. */
function pieces(
  text: string,
  sections: readonly string[],
  tokenOf: (section: string) => AddedToken | null,
): Piece[] {
  const found: Piece[] = [];
  let at = 0;
  for (const section of sections) {
    const end = at + section.length;
    const match = tokenOf(section);
    const token = match && stands(match, text, at, end) ? match : null;
    const last = found.at(-1);
    if (token || !last || last.token) found.push({ text: section, token });
    else last.text += section;
    at = end;
  }
  for (const [i, { token }] of found.entries()) {
    const [before, after] = [found[i - 1], found[i + 1]];
    if (token?.lstrip && before && !before.token) before.text = before.text.trimEnd();
    if (token?.rstrip && after && !after.token) after.text = after.text.trimStart();
  }
  return found;
}

/** Whether a token from `at` to `end` is one there; two units hold any letter. */
function stands({ single_word }: AddedToken, text: string, at: number, end: number): boolean {
  if (!single_word) return true;
  const before = text.slice(Math.max(0, at - 2), at);
  return !ENDS_WITH_WORD.test(before) && !STARTS_WITH_WORD.test(text.slice(end, end + 2));
}

function attempt<T>(work: () => T): T {
  try {
    return work();
  } catch (cause) {
    if (cause instanceof TokenizerError) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new TokenizerError(`The tokenizer's files cannot be used: ${reason}`, { cause });
  }
}
