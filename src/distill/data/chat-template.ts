/**
 * A model's chat template, as Python's transformers renders it: whatever the line endings of its
 * file, and on whatever day. It is the model's text, not ours, so it is held to the limits of
 * template-limits.ts: what could run without end is refused with a sentence.
 */
import { Environment, parse, tokenize } from '@huggingface/jinja';
import { KnownError } from '../../formats/errors';
import { LimitedInterpreter, TemplateLimitError } from './template-limits';

/** A chat template that is missing or cannot be used; the message says why. */
export class ChatTemplateError extends KnownError {
  override readonly name = 'ChatTemplateError';
  readonly errorCode = 'unsupported-model';
}

/** A conversation longer than any student could read. */
export class TextTooLongError extends KnownError {
  override readonly name = 'TextTooLongError';
  readonly errorCode = 'bad-input';
  constructor() {
    super(`A conversation may have up to ${MAX_CHAT_CHARS} characters. Shorten it.`);
  }
}

/**
 * Characters of a conversation, before and after it is rendered: 32,768 positions of English text.
 * Tokenizing takes about a second for it in the slowest of tokenizers.
 */
export const MAX_CHAT_CHARS = 1 << 17;
/** Characters of a template's text. The longest that models come with have some 20,000. */
const MAX_TEMPLATE = 1 << 17;
/** The lexer looks at a run of blanks again from each of them. */
const MAX_BLANKS = 1024;

/**
 * A template that prints the date would give other ids every day than those that a prompt was
 * trained with, so it is always told the day that Llama's templates fall back to.
 */
const DATE = '26 Jul 2024';
const DAY: Readonly<Record<string, string>> = {
  '%Y': '2024',
  '%y': '24',
  '%m': '07',
  '%d': '26',
  '%e': '26',
  '%j': '208',
  '%b': 'Jul',
  '%h': 'Jul',
  '%B': 'July',
  '%a': 'Fri',
  '%A': 'Friday',
  '%w': '5',
  '%u': '5',
  '%H': '00',
  '%I': '12',
  '%M': '00',
  '%S': '00',
  '%f': '000000',
  '%p': 'AM',
  '%F': '2024-07-26',
  '%D': '07/26/24',
  '%T': '00:00:00',
  '%R': '00:00',
  '%x': '07/26/24',
  '%X': '00:00:00',
  '%c': 'Fri Jul 26 00:00:00 2024',
  '%z': '',
  '%Z': '',
  '%%': '%',
};

/** Numbers of one range() in a template. */
const MAX_RANGE = 10_000;

export class ChatTemplate {
  /** The template's text as it is rendered: every line ends in a line feed. */
  readonly text: string;
  /** Its text is the file's, and nothing in it asks for the day. */
  readonly plain: boolean;
  private readonly program: ReturnType<typeof parse>;

  /** @throws ChatTemplateError where it is no template, or too large for one */
  constructor(source: string) {
    // As jinja2's lexer reads it.
    this.text = source.replace(/\r\n?/g, '\n');
    this.plain = this.text === source && !source.includes('strftime_now');
    if (this.text.length > MAX_TEMPLATE) {
      throw new ChatTemplateError(
        `The chat template has ${this.text.length} characters; up to ${MAX_TEMPLATE} are read.`,
      );
    }
    if (longestBlank(this.text) > MAX_BLANKS) {
      throw new ChatTemplateError(
        `The chat template has more than ${MAX_BLANKS} blanks in a row; it is not read.`,
      );
    }
    try {
      this.program = parse(tokenize(this.text, { lstrip_blocks: true, trim_blocks: true }));
    } catch (cause) {
      throw new ChatTemplateError(`The chat template cannot be read: ${reasonOf(cause)}`, {
        cause,
      });
    }
  }

  /**
   * @param variables what the template sees beside the language's own names
   * @throws ChatTemplateError where the template refuses, or asks for more than the limits allow
   */
  render(variables: Readonly<Record<string, unknown>>): string {
    try {
      const scope = new Environment();
      for (const [name, value] of Object.entries({ ...GLOBALS, ...variables, date_string: DATE })) {
        scope.set(name, value);
      }
      return new LimitedInterpreter(scope).run(this.program).value as string;
    } catch (cause) {
      throw new ChatTemplateError(
        `The chat template cannot write this conversation: ${reasonOf(cause)}`,
        { cause },
      );
    }
  }

  /** First 4 bytes of the text's sha256, 8 hex digits. */
  async hash(): Promise<string> {
    const bytes = new TextEncoder().encode(this.text);
    const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
    return Array.from(digest.subarray(0, 4), (byte) => byte.toString(16).padStart(2, '0')).join('');
  }
}

const GLOBALS = {
  true: true,
  True: true,
  false: false,
  False: false,
  none: null,
  None: null,
  range,
  strftime_now: (format: unknown) =>
    String(format).replace(/%[-#]?([a-zA-Z%])/g, (whole, code: string) => {
      const text = DAY[`%${code}`];
      if (text === undefined) return whole;
      return whole.length === 3 ? text.replace(/^0(?=.)/, '') : text;
    }),
  raise_exception: (reason: unknown) => {
    throw new Error(String(reason));
  },
};

function range(first: unknown, second?: unknown, third?: unknown): number[] {
  const [start, stop, step = 1] = second === undefined ? [0, first] : [first, second, third];
  if (![start, stop, step].every(Number.isInteger) || step === 0) {
    throw new TemplateLimitError('range() takes whole numbers and a step that is not 0');
  }
  const [from, to, by] = [start, stop, step] as [number, number, number];
  const count = Math.max(0, Math.ceil((to - from) / by));
  if (count > MAX_RANGE) {
    throw new TemplateLimitError(`it asks for ${count} numbers; up to ${MAX_RANGE} are made`);
  }
  return Array.from({ length: count }, (_, i) => from + i * by);
}

/** Length of the longest run of blanks, of whatever kind. */
function longestBlank(text: string): number {
  let [longest, start] = [0, 0];
  for (let i = 0; i <= text.length; i++) {
    if (i < text.length && text[i]!.trim() === '') continue;
    longest = Math.max(longest, i - start);
    start = i + 1;
  }
  return longest;
}

/** Whether a template asked for more than the limits allow, where others only refuse a role. */
export function isLimit(error: unknown): boolean {
  if (!(error instanceof ChatTemplateError)) return false;
  return error.cause instanceof TemplateLimitError || isTooDeep(error.cause);
}

function isTooDeep(cause: unknown): boolean {
  // V8's and JavaScriptCore's RangeError, SpiderMonkey's InternalError.
  return cause instanceof Error && /call stack|too much recursion/i.test(cause.message);
}

function reasonOf(cause: unknown): string {
  if (isTooDeep(cause)) return 'it is nested too deeply.';
  const message = cause instanceof Error ? cause.message : String(cause);
  if (cause instanceof TemplateLimitError) return `${message}.`;
  return message === '' ? 'it leaves a loop where there is none.' : message;
}
