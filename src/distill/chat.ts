/**
 * Text to token ids and back, with the model's own tokenizer and chat template. Renders exactly
 * as transformers.js does (same tokenizer and template libraries, same options), so that a prompt
 * trained on the engine meets the same ids in the runtime's chat.
 */
import { Template } from '@huggingface/jinja';
import { Tokenizer } from '@huggingface/tokenizers';
import type { Tokens } from '../engine/types';

/** A tokenizer that cannot be used for chat; the message says what is missing. */
export class ChatTemplateError extends Error {
  override readonly name = 'ChatTemplateError';
}

export interface Conversation {
  system?: string | null;
  user: string;
}

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
  private readonly tokenizer: Tokenizer;
  private readonly template: Template;
  private readonly specialNames: Readonly<Record<string, string>>;

  /**
   * @param tokenizerJson parsed tokenizer.json
   * @param tokenizerConfig parsed tokenizer_config.json, with `chat_template` and `eos_token`
   * @throws ChatTemplateError without a chat template or an end-of-answer token
   */
  constructor(tokenizerJson: object, tokenizerConfig: object) {
    this.tokenizer = new Tokenizer(tokenizerJson, tokenizerConfig);
    const config = tokenizerConfig as Json;
    const source = defaultTemplate(config.chat_template);
    if (source === null) throw new ChatTemplateError('The tokenizer has no chat template.');
    this.template = new Template(source);
    this.templateText = source;
    const names: Record<string, string> = {};
    for (const key of SPECIAL_TOKENS) {
      const name = tokenText(config[key]);
      if (name) names[key] = name;
    }
    this.specialNames = names;
    const eos = names.eos_token === undefined ? undefined : this.idOf(names.eos_token);
    if (eos === undefined) throw new ChatTemplateError('The tokenizer names no eos_token.');
    this.eosToken = eos;
    this.specialTokens = new Set(
      [...this.tokenizer.get_added_tokens_decoder()]
        .filter(([, token]) => token.special)
        .map(([id]) => id),
    );
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
  render(conversation: Conversation): string {
    const messages = [];
    if (conversation.system) messages.push({ role: 'system', content: conversation.system });
    messages.push({ role: 'user', content: conversation.user });
    return this.template.render({
      messages,
      add_generation_prompt: true,
      tools: null,
      documents: null,
      ...this.specialNames,
    });
  }

  /** Ids of the conversation, BOS (where the template has one) and generation prompt included. */
  encodeChat(conversation: Conversation): number[] {
    return this.tokenizer.encode(this.render(conversation), { add_special_tokens: false }).ids;
  }

  /** Ids of a whole answer, end-of-answer token last. */
  encodeAnswer(answer: string): number[] {
    const { ids } = this.tokenizer.encode(answer, { add_special_tokens: false });
    return [...ids, this.eosToken];
  }

  /** The text of an answer; special tokens are left out. */
  decode(tokens: Tokens): string {
    if (tokens.length === 0) return '';
    return this.tokenizer.decode([...tokens], { skip_special_tokens: true });
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
