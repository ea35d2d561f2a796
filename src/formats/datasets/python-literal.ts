/**
 * Lists and dicts as Python prints them, and as numpy prints arrays of them, where pandas wrote them
 * into a cell: {'role': 'user', 'content': "it's"}, (1, None), array(['a', 'b'], dtype=object).
 * Linear in the text; what lies too deep is refused.
 */
import { losesDigits } from './json-scan';
import type { Json } from './types';

const DEPTH = 32;

/** Text that is no Python literal. */
class NotPython extends Error {
  override readonly name = 'NotPython';
}

/** The value, or undefined where `text` is none; never throws. */
export function parsePython(text: string): Json | undefined {
  return readPython(text)?.value;
}

export interface PythonLiteral {
  value: Json;
  /** The first name that a dict has twice; its last value stands. */
  doubled: string | null;
}

/** The value of `text`, null where it is none; never throws. */
export function readPython(text: string): PythonLiteral | null {
  const parser = new Parser(text);
  try {
    return { value: parser.whole(), doubled: parser.doubled };
  } catch (error) {
    if (error instanceof NotPython) return null;
    throw error;
  }
}

const ESCAPES: Record<string, string> = {
  ...{ n: '\n', t: '\t', r: '\r', a: '\x07', b: '\b', f: '\f', v: '\v', '0': '\0' },
  ...{ '\\': '\\', "'": "'", '"': '"', '\n': '' },
};
const HEX_DIGITS: Record<string, number> = { x: 2, u: 4, U: 8 };
const WORDS: Record<string, Json> = { True: true, False: false, None: null, nan: null };

class Parser {
  doubled: string | null = null;
  private at = 0;
  private depth = 0;

  constructor(private readonly text: string) {}

  whole(): Json {
    const value = this.value();
    this.blanks();
    if (this.at < this.text.length) throw new NotPython();
    return value;
  }

  private value(): Json {
    this.blanks();
    const sign = this.text[this.at];
    if (sign === '[' || sign === '(') return this.list(sign === '[' ? ']' : ')');
    if (sign === '{') return this.dict();
    if (sign === "'" || sign === '"') return this.string();
    const number = this.match(/[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?/y);
    if (number !== null) return losesDigits(number) ? number : Number(number);
    const word = this.match(/[A-Za-z]+/y);
    if (word === 'array') return this.array();
    if (word !== null && Object.hasOwn(WORDS, word)) return WORDS[word]!;
    throw new NotPython();
  }

  /** `array([…], dtype=object)`; the type says nothing more. */
  private array(): Json {
    this.take('(');
    const value = this.value();
    this.blanks();
    if (this.text[this.at] === ',') {
      this.at++;
      this.blanks();
      if (this.match(/dtype=[\w<>|]+/y) === null) throw new NotPython();
    }
    this.take(')');
    return value;
  }

  /** numpy leaves out the commas. */
  private list(close: string): Json[] {
    this.enter();
    const list: Json[] = [];
    while (!this.closes(close)) {
      list.push(this.value());
      this.comma();
    }
    this.depth--;
    return list;
  }

  private dict(): Json {
    this.enter();
    const entries = new Map<string, Json>();
    while (!this.closes('}')) {
      const name = this.value();
      if (typeof name === 'object') throw new NotPython();
      this.take(':');
      if (entries.has(String(name))) this.doubled ??= String(name);
      entries.set(String(name), this.value());
      this.blanks();
      if (this.text[this.at] !== '}' && !this.comma()) throw new NotPython();
    }
    this.depth--;
    return Object.fromEntries(entries);
  }

  private string(): string {
    const quote = this.text[this.at++]!;
    let value = '';
    let start = this.at;
    for (; this.at < this.text.length; this.at++) {
      const sign = this.text[this.at];
      if (sign === quote) {
        value += this.text.slice(start, this.at++);
        return value;
      }
      if (sign !== '\\') continue;
      value += this.text.slice(start, this.at++);
      value += this.escaped();
      start = this.at + 1;
    }
    throw new NotPython();
  }

  /** At the sign after a backslash; ends at the last sign of the escape. */
  private escaped(): string {
    const sign = this.text[this.at] ?? '';
    const digits = HEX_DIGITS[sign];
    if (digits !== undefined) {
      const hex = this.text.slice(this.at + 1, this.at + 1 + digits);
      const code = parseInt(hex, 16);
      if (hex.length < digits || !/^[\da-f]+$/i.test(hex) || code > 0x10ffff) throw new NotPython();
      this.at += digits;
      return String.fromCodePoint(code);
    }
    if (Object.hasOwn(ESCAPES, sign)) return ESCAPES[sign]!;
    // Python keeps a backslash that escapes nothing.
    return `\\${sign}`;
  }

  private enter(): void {
    this.at++;
    if (++this.depth > DEPTH) throw new NotPython();
  }

  private closes(sign: string): boolean {
    this.blanks();
    if (this.text[this.at] !== sign) return false;
    this.at++;
    return true;
  }

  private comma(): boolean {
    this.blanks();
    if (this.text[this.at] !== ',') return false;
    this.at++;
    return true;
  }

  private take(sign: string): void {
    this.blanks();
    if (this.text[this.at] !== sign) throw new NotPython();
    this.at++;
  }

  private blanks(): void {
    this.match(/\s*/y);
  }

  private match(pattern: RegExp): string | null {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text);
    if (!found) return null;
    this.at += found[0].length;
    return found[0];
  }
}
