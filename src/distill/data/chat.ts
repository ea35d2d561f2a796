/**
 * Text to token ids and back, with the model's own tokenizer and chat template. Renders exactly
 * as transformers does, in one way for engine and runtime, so that a prompt trained on the engine
 * meets the same ids in the runtime's chat.
 *
 * Where an answer ends: on every id that generation_config.json (else config.json) names, and on
 * the token that the template writes behind an answer, at the end of a conversation or before its
 * next turn. The latter also ends what is trained, a refusal above all: one string, one way to end.
 */
import type { Tokens } from '../../engine/types';
import {
  ChatTemplate,
  ChatTemplateError,
  isLimit,
  MAX_CHAT_CHARS,
  TextTooLongError,
} from './chat-template';
import { hash32 } from '../statistics/prng';
import { TextTokenizer } from './text-tokenizer';
import { endsOf, TokenizerError } from './tokenizer-files';

export { ChatTemplateError, MAX_CHAT_CHARS, TokenizerError };

export interface Conversation {
  system?: string | null;
  user: string;
}

export interface ChatMessage {
  role: 'system' | 'user' | 'assistant';
  content: string;
}

/**
 * Nothing that a template could print by itself, nor change: some write contents in small letters or
 * capitals.
 */
const MARK = '714253869514';
const QUESTION = '936258147362';

const SPECIAL_TOKENS = [
  'bos_token',
  'eos_token',
  'unk_token',
  'sep_token',
  'pad_token',
  'cls_token',
  'mask_token',
] as const;

type Json = Record<string, unknown>;

/** Files beside tokenizer.json and tokenizer_config.json, where the model has them. */
export interface ChatFiles {
  /** Text of chat_template.jinja: it goes before tokenizer_config.json's template. */
  template?: string | null;
  /** Parsed generation_config.json. */
  generation?: unknown;
  /** Parsed config.json, which is asked where generation_config.json names no end. */
  config?: unknown;
}

export class ChatTokenizer {
  /** The token that ends an answer as it is written and trained: the template's own. */
  readonly eosToken: number;
  /** Every token that ends an answer when one is generated, `eosToken` first. */
  readonly stopTokens: readonly number[];
  /** 'merged' where the template has no system role: the text then opens the user's turn. */
  readonly systemRole: 'template' | 'merged';
  private readonly tokenizer: TextTokenizer;
  private readonly template: ChatTemplate;
  private readonly specialNames: Readonly<Record<string, string>>;
  /** The template reads a message's content as a list of typed parts, as Llama Guard 3 does. */
  private contentParts = false;

  /**
   * @param tokenizerJson parsed tokenizer.json
   * @param tokenizerConfig parsed tokenizer_config.json, with `chat_template` and `eos_token`
   * @throws TokenizerError where a file is not what it should be
   * @throws ChatTemplateError without a chat template or an end-of-answer token, and where the
   *   template asks for more work than a conversation needs
   */
  constructor(tokenizerJson: unknown, tokenizerConfig: unknown, files: ChatFiles = {}) {
    this.tokenizer = new TextTokenizer(tokenizerJson, tokenizerConfig);
    const config = tokenizerConfig as Json;
    const source = files.template ?? defaultTemplate(config.chat_template);
    if (source === null) throw new ChatTemplateError('The tokenizer has no chat template.');
    this.template = new ChatTemplate(source);
    const names: Record<string, string> = {};
    for (const key of SPECIAL_TOKENS) {
      const name = tokenText(config[key]);
      if (name) names[key] = name;
    }
    this.specialNames = names;
    this.contentParts = !this.shows('user') && this.shows('user', true);
    const ends = endsOf(files.generation, files.config, this.tokenizer.idLimit);
    const named = names.eos_token ? this.idOf(names.eos_token) : undefined;
    const eos = this.turnEnd() ?? named ?? ends[0];
    if (eos === undefined) throw new ChatTemplateError('The tokenizer names no eos_token.');
    this.eosToken = eos;
    this.stopTokens = [...new Set([eos, ...ends])];
    this.systemRole = this.shows('system') ? 'template' : 'merged';
  }

  /** Ids that never appear in ordinary text: BOS, EOS, role markers. */
  get specialTokens(): ReadonlySet<number> {
    return this.tokenizer.specialTokens;
  }

  /** The chat template's text, as it is rendered. */
  get templateText(): string {
    return this.template.text;
  }

  /**
   * Names how conversations are written and end, where the plain reading of the template does not
   * say it all: it ends on several tokens, or renders other than word for word. Null otherwise. Data
   * that was kept under another format, or none, is of other tokens.
   */
  get format(): string | null {
    const { template, stopTokens } = this;
    if (stopTokens.length === 1 && template.plain) return null;
    return `chat-${hash32(template.text, ...stopTokens).toString(16)}`;
  }

  /** First 4 bytes of the template's sha256, 8 hex digits: a link names what it was trained with. */
  async templateHash(): Promise<string> {
    return this.template.hash();
  }

  get vocabSize(): number {
    return this.tokenizer.vocabSize;
  }

  idOf(token: string): number | undefined {
    return this.tokenizer.idOf(token);
  }

  /** The conversation as the template writes it, up to where the answer begins. */
  render({ system, user }: Conversation): string {
    if (!system) return this.renderMessages([{ role: 'user', content: user }]);
    if (this.systemRole === 'merged') {
      return this.renderMessages([{ role: 'user', content: `${system}\n\n${user}` }]);
    }
    return this.renderMessages([
      { role: 'system', content: system },
      { role: 'user', content: user },
    ]);
  }

  /**
   * Any messages, as the template writes them.
   * @throws ChatTemplateError where it refuses; TextTooLongError
   */
  renderMessages(messages: readonly ChatMessage[], generationPrompt = true): string {
    const chars = messages.reduce((sum, { content }) => sum + content.length, 0);
    if (chars > MAX_CHAT_CHARS) throw new TextTooLongError();
    const parts = ({ role, content }: ChatMessage) => ({
      role,
      content: [{ type: 'text', text: content }],
    });
    return this.template.render({
      messages: this.contentParts ? messages.map(parts) : messages,
      add_generation_prompt: generationPrompt,
      tools: null,
      documents: null,
      ...this.specialNames,
    });
  }

  /** Ids of the conversation, BOS (where the template has one) and generation prompt included. */
  encodeChat(conversation: Conversation): number[] {
    return this.encodeText(this.render(conversation));
  }

  /** Ids of text that names its special tokens itself; none is added. */
  encodeText(text: string): number[] {
    return this.tokenizer.encode(text);
  }

  /** Ids of a whole answer, end-of-answer token last. */
  encodeAnswer(answer: string): number[] {
    return [...this.encodeText(answer), this.eosToken];
  }

  /** The text of an answer; special tokens are left out, and what ended it. */
  decode(tokens: Tokens): string {
    const ended = this.stopTokens.includes(tokens.at(-1)!);
    return this.tokenizer.decode(ended ? tokens.slice(0, -1) : tokens);
  }

  /**
   * The token that the template writes after an answer: at the conversation's end, or only before
   * its next turn. Many models name another one as eos_token, which ends a document and not a turn:
   * Phi-3's `<|end|>`, Gemma's `<end_of_turn>`.
   */
  private turnEnd(): number | undefined {
    const user: ChatMessage = { role: 'user', content: QUESTION };
    const answer: ChatMessage = { role: 'assistant', content: MARK };
    const whole = this.written([user, answer]);
    const [last, ...afterLast] = this.markers(whole.split(MARK)[1]);
    const between = this.written([user, answer, user]).split(MARK)[1]?.split(QUESTION)[0];
    const [first, ...afterFirst] = this.markers(between);
    const asked = this.written([user]);
    const opening = this.added(asked.split(QUESTION)[0] ?? '').at(-1);
    const [answering] = this.markers(this.written([user], true).slice(asked.length));
    if (last !== undefined) {
      // Some templates open the next answer whether or not they are asked to: what stands before an
      // answer, and not between it and the next turn, begins one.
      const begins = this.added(whole.split(QUESTION)[1]?.split(MARK)[0] ?? '').includes(last);
      const isBetween = between === undefined || this.added(between).includes(last);
      const turn = afterLast.length === 0 && last === opening && last === first;
      if (!(begins && !isBetween) && !turn) return last;
    }
    // What stands between two turns may also be the next turn's beginning alone.
    const opensTurn = first === answering || (afterFirst.length === 0 && first === opening);
    return opensTurn ? undefined : first;
  }

  /** What the template writes; nothing where it refuses. */
  private written(messages: readonly ChatMessage[], generationPrompt = false): string {
    try {
      return this.renderMessages(messages, generationPrompt);
    } catch (error) {
      if (isLimit(error)) throw error;
      return '';
    }
  }

  /** The added tokens of a text; none unless the text, but for blanks, begins with one. */
  private markers(text: string | undefined): number[] {
    const ids = this.encodeText((text ?? '').trimStart());
    return this.tokenizer.addedTokens.has(ids[0]!) ? this.added(text!) : [];
  }

  private added(text: string): number[] {
    return this.encodeText(text).filter((id) => this.tokenizer.addedTokens.has(id));
  }

  /**
   * Whether the text of a message appears in what the template writes: some raise an exception for
   * a system role, others leave it out in silence.
   */
  private shows(role: 'system' | 'user', contentParts = this.contentParts): boolean {
    const before = this.contentParts;
    this.contentParts = contentParts;
    try {
      const messages: ChatMessage[] = [{ role, content: MARK }];
      if (role === 'system') messages.push({ role: 'user', content: 'a' });
      return this.renderMessages(messages).includes(MARK);
    } catch (error) {
      if (isLimit(error)) throw error;
      return false;
    } finally {
      this.contentParts = before;
    }
  }
}

/**
 * A template is a string, or a list of named ones of which `default` is ours; null without one.
 * @throws ChatTemplateError for anything else
 */
function defaultTemplate(value: unknown): string | null {
  if (typeof value === 'string') return value;
  if (value === null || value === undefined) return null;
  const named = Array.isArray(value) ? (value as unknown[]) : Object.entries(value as object);
  for (const entry of named) {
    if (typeof entry !== 'object' || entry === null) break;
    const [name, template] = Array.isArray(entry)
      ? (entry as unknown[])
      : [(entry as Json).name, (entry as Json).template];
    if (name === 'default' && typeof template === 'string') return template;
  }
  throw new ChatTemplateError(
    'tokenizer_config.json has a chat_template that is neither a text nor a list with one named “default”.',
  );
}

/** Special tokens are strings, or objects with the string in `content`. */
function tokenText(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  if (typeof value === 'object' && value !== null) {
    const { content } = value as Json;
    if (typeof content === 'string') return content;
  }
  return undefined;
}
