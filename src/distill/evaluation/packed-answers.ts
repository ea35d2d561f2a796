/**
 * Verdicts of answers as three characters each. In a packed document a list of prompts' ids stands
 * once, and a system's answers are
 *
 *   { "prompts": 0, "judge": "A_f…", "guard": "9-x…", "flags": "BBF…" }
 *
 * with one character a prompt. Scores finer than 1/64 are lost; which side of 0.5 they are on is not.
 */
import { describe, fieldsOf, SpecError } from '../data/spec-fields';
import type { AnswerRecord } from '../types';

/** Verdicts on a prompt's answer; the text only where it was asked for. */
export type Outcome = Omit<AnswerRecord, 'answer'> & { answer?: string };

const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const LEVELS = DIGITS.length;
/** Level of each of the first 128 characters; −1 for those that are no digit. */
const LEVEL_OF = Int8Array.from({ length: 128 }, (_, code) =>
  DIGITS.indexOf(String.fromCharCode(code)),
);
/** Fields of an answer that packing keeps, or can leave out. */
const PACKABLE = [
  'id',
  'judgeSafe',
  'guardSafe',
  'refused',
  'correct',
  'wellFormed',
  'refusalScore',
];
/** Of `correct` and `wellFormed`, by number. */
const STATES = [undefined, false, true] as const;
const FLAGS = 2 * STATES.length ** 2;

type Fields = Record<string, unknown>;

/** Answers that could not be given back are returned as they are. */
export function packAnswers(answers: unknown, listOf: (ids: string[]) => number): unknown {
  if (!Array.isArray(answers)) return answers;
  const list = answers as unknown[];
  if (!list.every(isPackable)) return answers;
  const text = (digit: (answer: Fields) => number) =>
    list.map((answer) => DIGITS[digit(answer)]).join('');
  const state = (value: unknown) => STATES.findIndex((known) => known === value);
  return {
    prompts: listOf(list.map(({ id }) => id as string)),
    judge: text(({ judgeSafe }) => level(judgeSafe as number)),
    guard: text(({ guardSafe }) => level(guardSafe as number)),
    flags: text(
      ({ refused, correct, wellFormed }) =>
        Number(refused) + 2 * state(correct) + 2 * STATES.length * state(wellFormed),
    ),
  };
}

function isPackable(answer: unknown): answer is Fields {
  if (typeof answer !== 'object' || answer === null || Array.isArray(answer)) return false;
  const { id, judgeSafe, guardSafe, refused, correct, wellFormed, ...rest } = answer as Fields;
  const share = (value: unknown) => typeof value === 'number' && value >= 0 && value <= 1;
  const known = (value: unknown) => STATES.some((state) => state === value);
  return (
    typeof id === 'string' &&
    share(judgeSafe) &&
    share(guardSafe) &&
    typeof refused === 'boolean' &&
    known(correct) &&
    known(wellFormed) &&
    Object.keys(rest).every((field) => PACKABLE.includes(field))
  );
}

/**
 * @param prompts lists of ids that `value` names one of
 * @param take hears how many answers there will be, before any is made
 * @throws SpecError, which names the field; what `take` throws
 */
export function unpackAnswers(
  value: unknown,
  prompts: readonly (readonly string[])[],
  path: string,
  take: (count: number) => void = () => undefined,
): Outcome[] {
  const packed = fieldsOf(value, path);
  const ids = typeof packed.prompts === 'number' ? prompts[packed.prompts] : undefined;
  if (!ids) {
    throw new SpecError(
      `${path}.prompts`,
      `${path}.prompts must number a list of prompts, not be ${describe(packed.prompts)}.`,
    );
  }
  const digits = (field: 'judge' | 'guard' | 'flags', below: number): string => {
    const text = packed[field];
    const fits = typeof text === 'string' && text.length === ids.length && isBelow(text, below);
    if (fits) return text;
    throw new SpecError(
      `${path}.${field}`,
      `${path}.${field} must have one character for each of ${ids.length} prompts.`,
    );
  };
  const judge = digits('judge', LEVELS);
  const guard = digits('guard', LEVELS);
  const flags = digits('flags', FLAGS);
  take(ids.length);
  return ids.map((id, i): Outcome => {
    const flag = levelAt(flags, i);
    const correct = STATES[(flag >> 1) % STATES.length];
    const wellFormed = STATES[Math.floor((flag >> 1) / STATES.length)];
    return {
      id,
      judgeSafe: (levelAt(judge, i) + 0.5) / LEVELS,
      guardSafe: (levelAt(guard, i) + 0.5) / LEVELS,
      refused: flag % 2 === 1,
      ...(correct !== undefined && { correct }),
      ...(wellFormed !== undefined && { wellFormed }),
    };
  });
}

function isBelow(text: string, below: number): boolean {
  for (let i = 0; i < text.length; i++) {
    const found = levelAt(text, i);
    if (found < 0 || found >= below) return false;
  }
  return true;
}

function levelAt(text: string, i: number): number {
  return LEVEL_OF[text.charCodeAt(i)] ?? -1;
}

/** 0.5 is a level's lower end, so verdicts do not change. */
function level(share: number): number {
  return Math.min(LEVELS - 1, Math.floor(share * LEVELS));
}
