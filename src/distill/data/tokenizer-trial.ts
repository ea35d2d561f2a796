/**
 * A tokenizer that somebody else made, tried where it can be stopped: in a worker of its own that is
 * ended when it does not answer in time. Its regular expressions are run by the JavaScript engine,
 * which nothing can interrupt, and some take time exponential in the text: `(a+)+$`.
 *
 * Why that is enough, together with what every later call is held to:
 * - shapes and sizes of the files are checked before a tokenizer is made (tokenizer-files.ts);
 * - a template counts its steps and is refused in time, in every call (template-limits.ts);
 * - texts are bounded before they are rendered and before they are tokenized (chat-template.ts);
 * - the trial tokenizes what backtracking is worst at: long runs of the characters and words that
 *   the tokenizer's own patterns name. What is exponential or cubic in a run never ends there.
 */
import { ChatTokenizer } from './chat';
import { TokenizerError } from './tokenizer-files';

/** The files' bytes; null where the model has none. */
export interface TrialFiles {
  tokenizer: Uint8Array;
  tokenizerConfig: Uint8Array;
  config: Uint8Array | null;
  generation: Uint8Array | null;
  template: Uint8Array | null;
}

/** From the worker: it has come one step further, or has come to the end. */
export type TrialMessage = 'step' | 'done';

/** A worker, in a browser or in Node. */
export interface TrialWorker {
  post(files: TrialFiles): void;
  onMessage(hear: (message: TrialMessage) => void): void;
  /** Called when the worker has failed: out of memory, as a rule. */
  onError(hear: (reason: string) => void): void;
  end(): void;
}

/** Milliseconds: what takes a second here may take ten times as long on a small device. */
export interface TrialLimits {
  /** Until the tokenizer is made of its files. */
  build: number;
  /** For each text. */
  step: number;
}

const LIMITS: TrialLimits = { build: 90_000, step: 15_000 };
/** Characters of each text. */
const RUN = 2048;
const MOST_RUNS = 64;

/**
 * Tries a tokenizer in a new worker, which is ended in any case.
 * @throws TokenizerError where it does not come to an end; the signal's reason
 */
export function tryTokenizer(
  files: TrialFiles,
  spawn: () => TrialWorker,
  signal?: AbortSignal,
  limits: TrialLimits = LIMITS,
): Promise<void> {
  signal?.throwIfAborted();
  const worker = spawn();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let stop = () => {};
  return new Promise<void>((resolve, reject) => {
    const within = (milliseconds: number) => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        reject(
          new TokenizerError(
            `tokenizer.json cannot be used: its patterns take more than ${milliseconds / 1000} s for ${RUN} characters.`,
          ),
        );
      }, milliseconds);
    };
    stop = () => reject(signal?.reason as Error);
    signal?.addEventListener('abort', stop, { once: true });
    worker.onMessage((message) => (message === 'done' ? resolve() : within(limits.step)));
    worker.onError((reason) => {
      reject(new TokenizerError(`The tokenizer cannot be tried: its worker failed (${reason}).`));
    });
    within(limits.build);
    worker.post(files);
  }).finally(() => {
    clearTimeout(timer);
    signal?.removeEventListener('abort', stop);
    worker.end();
  });
}

/**
 * In the worker. Files that cannot be used end the trial, too: whoever opens them next says what is
 * wrong with them.
 */
export function runTrial(files: TrialFiles, say: (message: TrialMessage) => void): void {
  try {
    const read = (bytes: Uint8Array | null) => (bytes ? new TextDecoder().decode(bytes) : null);
    const json = (bytes: Uint8Array | null) => JSON.parse(read(bytes) ?? 'null') as unknown;
    const tokenizer = json(files.tokenizer);
    const config = json(files.tokenizerConfig);
    const chat = new ChatTokenizer(tokenizer, config, {
      // A classifier has no template; its tokenizer is tried all the same.
      template: read(files.template) ?? ((config as Json).chat_template ? null : PLAIN),
      generation: json(files.generation),
      config: json(files.config),
    });
    for (const text of stressTexts(patternsOf(tokenizer))) {
      say('step');
      try {
        chat.encodeText(text);
      } catch {
        // A tokenizer need not have an id for every text; the next one may still never end.
      }
    }
  } catch {
    // Said where the files are opened.
  }
  say('done');
}

type Json = Record<string, unknown>;

const PLAIN = "{{ messages[0]['content'] }}";

/** The regular expressions of a tokenizer's stages. */
export function patternsOf(tokenizer: unknown): string[] {
  const found: string[] = [];
  const look = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    for (const [name, inside] of Object.entries(value)) {
      if (name === 'Regex' && typeof inside === 'string') found.push(inside);
      else look(inside);
    }
  };
  const { normalizer, pre_tokenizer, decoder } = tokenizer as Json;
  for (const stage of [normalizer, pre_tokenizer, decoder]) look(stage);
  return found;
}

/** Long runs of what the patterns name, each with and without an end that does not belong to it. */
export function stressTexts(patterns: readonly string[]): string[] {
  const units = new Set(['a', ' ', '\n', '1', '!', 'A', ' a', '\r\n', "'"]);
  for (const unit of classesIn(patterns)) units.add(unit);
  for (const pattern of patterns) {
    // Escapes and counts name no text; runs of letters and digits do.
    const plain = charactersOf(pattern).replace(
      /\\[pP](\{[^}]*\}|[A-Z])|\\[a-zA-Z]|\{\d*,?\d*\}|\(\?[:=!<]+/g,
      '\0',
    );
    for (const word of plain.match(/[\p{L}\p{M}\p{N}_]+/gu) ?? []) {
      units.add(word.slice(0, 16));
      units.add(String.fromCodePoint(word.codePointAt(0)!));
    }
    for (const sign of plain.match(/[^\p{L}\p{M}\p{N}\s\0()[\]{}|*+?^$\\.]/gu) ?? [])
      units.add(sign);
  }
  return [...units].slice(0, MOST_RUNS).flatMap((unit) => {
    const run = unit.repeat(Math.ceil(RUN / unit.length)).slice(0, RUN);
    return [run, `${run}\u0000`, `${run}!x`];
  });
}

/** A pattern with \\u4e00, \\x41 and \\x{1F600} as the characters that they name. */
function charactersOf(pattern: string): string {
  return pattern.replace(
    /\\(?:u\{([\da-fA-F]{1,6})\}|x\{([\da-fA-F]{1,6})\}|u([\da-fA-F]{4})|x([\da-fA-F]{2}))/g,
    (whole, ...codes: (string | undefined)[]) => {
      const code = parseInt(
        codes.slice(0, 4).find((each) => each !== undefined)!,
        16,
      );
      return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
    },
  );
}

const MOST_CLASSES = 12;
/** Characters are looked for below this code: every script but rare ones. */
const LAST_CODE = 0x1_ffff;

/** For each class of characters that patterns name (\\p{Han}, \\P{L}) its first, in ASCII and beyond. */
function classesIn(patterns: readonly string[]): string[] {
  const named = patterns.flatMap(
    (pattern) => pattern.match(/\\[pP](\{\^?[^}]{1,40}\}|[A-Z])/g) ?? [],
  );
  return [...new Set(named)].slice(0, MOST_CLASSES).flatMap((name) => {
    let inside: RegExp;
    try {
      inside = new RegExp(name.replace('{^', '{').replace(/^\\([pP])([A-Z])$/, '\\$1{$2}'), 'u');
    } catch {
      return [];
    }
    const first = (from: number, to: number): string[] => {
      for (let code = from; code <= to; code++) {
        // Half of a pair is no character.
        if (code >= 0xd800 && code <= 0xdfff) continue;
        const character = String.fromCodePoint(code);
        if (inside.test(character)) return [character];
      }
      return [];
    };
    return [...first(0x21, 0x7e), ...first(0xa1, LAST_CODE)];
  });
}
