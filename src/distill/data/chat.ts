/**
 * Text to token ids and back, with the model's own tokenizer and chat template. Renders exactly
 * as transformers.js does (same tokenizer and template libraries, same options), so that a prompt
 * trained on the engine meets the same ids in the runtime's chat.
 */
import { KnownError } from '../../formats/errors';
import { Template } from '@huggingface/jinja';
import { Tokenizer } from '@huggingface/tokenizers';
import type { Tokens } from '../../engine/types';

/** A tokenizer that cannot be used for chat; the message says what is missing. */
export class ChatTemplateError extends KnownError {
  override readonly name = 'ChatTemplateError';
  readonly errorCode = 'unsupported-model';
}

export interface Conversation {
  system?: string | null;
  user: string;
}

export interface ChatMessage {
  role: 'system' | 'user' | 'assistant';
  content: string;
}

/**
 * A template that prints the date would give other ids every day than those that a prompt was
 * trained with, so it is always told the day that Llama's templates fall back to.
 */
const DATE = '26 Jul 2024';

/** Nothing that a template could print by itself. */
const MARK = 'qzxmark';

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

export class ChatTokenizer {
  /** The end-of-answer token: generation stops at it and refusals end in it. */
  readonly eosToken: number;
  /** Ids that never appear in ordinary text: BOS, EOS, role markers. */
  readonly specialTokens: ReadonlySet<number>;
  /** The chat template's text. */
  readonly templateText: string;
  /** 'merged' where the template has no system role: the text then opens the user's turn. */
  readonly systemRole: 'template' | 'merged';
  private readonly tokenizer: Tokenizer;
  private readonly template: Template;
  private readonly specialNames: Readonly<Record<string, string>>;
  /** The template reads a message's content as a list of typed parts, as Llama Guard 3 does. */
  private contentParts = false;

  /**
   * @param tokenizerJson parsed tokenizer.json
   * @param tokenizerConfig parsed tokenizer_config.json, with `chat_template` and `eos_token`
   * @param templateFile text of chat_template.jinja where the model has one; it goes before
   * @throws ChatTemplateError without a chat template or an end-of-answer token
   */
  constructor(tokenizerJson: object, tokenizerConfig: object, templateFile?: string | null) {
    this.tokenizer = new Tokenizer(tokenizerJson, tokenizerConfig);
    const config = tokenizerConfig as Json;
    const source = templateFile ?? defaultTemplate(config.chat_template);
    if (source === null) throw new ChatTemplateError('The tokenizer has no chat template.');
    this.template = parseTemplate(source);
    this.templateText = source;
    const names: Record<string, string> = {};
    for (const key of SPECIAL_TOKENS) {
      const name = tokenText(config[key]);
      if (name) names[key] = name;
    }
    this.specialNames = names;
    this.specialTokens = new Set(
      [...this.tokenizer.get_added_tokens_decoder()]
        .filter(([, token]) => token.special)
        .map(([id]) => id),
    );
    this.contentParts = !this.shows('user') && this.shows('user', true);
    const eos = this.turnEnd() ?? (names.eos_token ? this.idOf(names.eos_token) : undefined);
    if (eos === undefined) throw new ChatTemplateError('The tokenizer names no eos_token.');
    this.eosToken = eos;
    this.systemRole = this.shows('system') ? 'template' : 'merged';
  }

  /** First 4 bytes of the template's sha256, 8 hex digits: a link names what it was trained with. */
  async templateHash(): Promise<string> {
    const bytes = new TextEncoder().encode(this.templateText);
    const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
    return Array.from(digest.subarray(0, 4), (byte) => byte.toString(16).padStart(2, '0')).join('');
  }

  get vocabSize(): number {
    return this.tokenizer.get_vocab(true).size;
  }

  idOf(token: string): number | undefined {
    return this.tokenizer.token_to_id(token);
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

  /** Any messages, as the template writes them. @throws ChatTemplateError where it refuses. */
  renderMessages(messages: readonly ChatMessage[], generationPrompt = true): string {
    const parts = ({ role, content }: ChatMessage) => ({
      role,
      content: [{ type: 'text', text: content }],
    });
    try {
      return this.template.render({
        messages: this.contentParts ? messages.map(parts) : messages,
        add_generation_prompt: generationPrompt,
        tools: null,
        documents: null,
        date_string: DATE,
        ...this.specialNames,
      });
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new ChatTemplateError(`The chat template cannot write this conversation: ${reason}`, {
        cause,
      });
    }
  }

  /** Ids of the conversation, BOS (where the template has one) and generation prompt included. */
  encodeChat(conversation: Conversation): number[] {
    return this.encodeText(this.render(conversation));
  }

  /** Ids of text that names its special tokens itself; none is added. */
  encodeText(text: string): number[] {
    return this.tokenizer.encode(text, { add_special_tokens: false }).ids;
  }

  /** Ids of a whole answer, end-of-answer token last. */
  encodeAnswer(answer: string): number[] {
    return [...this.encodeText(answer), this.eosToken];
  }

  /** The text of an answer; special tokens are left out. */
  decode(tokens: Tokens): string {
    if (tokens.length === 0) return '';
    return this.tokenizer.decode([...tokens], { skip_special_tokens: true });
  }

  /**
   * The special token that the template writes after an answer. Many models name another one as
   * eos_token, which ends a document and not a turn: Phi-3's `<|end|>`, Gemma's `<end_of_turn>`.
   */
  private turnEnd(): number | undefined {
    let text: string;
    try {
      text = this.renderMessages(
        [
          { role: 'user', content: 'a' },
          { role: 'assistant', content: MARK },
        ],
        false,
      );
    } catch {
      return undefined;
    }
    const at = text.indexOf(MARK);
    if (at < 0) return undefined;
    const [first] = this.encodeText(text.slice(at + MARK.length).trimStart());
    return first !== undefined && this.specialTokens.has(first) ? first : undefined;
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
    } catch {
      return false;
    } finally {
      this.contentParts = before;
    }
  }
}

function parseTemplate(source: string): Template {
  try {
    return new Template(source);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new ChatTemplateError(`The chat template cannot be read: ${reason}`, { cause });
  }
}

/** A template is a string, or a list of named ones of which `default` is ours. */
function defaultTemplate(value: unknown): string | null {
  if (typeof value === 'string') return value;
  if (!Array.isArray(value)) return null;
  for (const entry of value as Json[]) {
    if (entry.name === 'default' && typeof entry.template === 'string') return entry.template;
  }
  return null;
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
