/**
 * Reading fields of untrusted JSON for specifications (objectives, adapters, guard cases, sweeps):
 * every error names the field by its path and says what would be right.
 */
import { KnownError } from '../../formats/errors';

/** A field that cannot be used; `path` names it from the document's root, e.g. `objectives[2].gamma`. */
export class SpecError extends KnownError {
  override readonly name = 'SpecError';
  readonly errorCode = 'bad-input';
  constructor(
    readonly path: string,
    message: string,
  ) {
    super(message);
  }
}

export interface NumberRange {
  min: number;
  max: number;
  integer: boolean;
  default: number;
}

/** An object's own fields. @throws SpecError where `value` is none */
export function fieldsOf(value: unknown, path: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new SpecError(path, `${path} must be an object, not ${describe(value)}.`);
  }
  return value as Record<string, unknown>;
}

/** @throws SpecError for the first field that is not among `known` */
export function onlyFields(
  fields: Readonly<Record<string, unknown>>,
  known: readonly string[],
  path: string,
): void {
  for (const field of Object.keys(fields)) {
    if (!known.includes(field)) {
      const shown = describe(field);
      throw new SpecError(
        join(path, shown),
        `${path} has no field ${shown}; it has ${known.join(', ')}.`,
      );
    }
  }
}

/** A number in its range, or its default where it is missing. */
export function numberField(
  fields: Readonly<Record<string, unknown>>,
  field: string,
  range: Readonly<NumberRange>,
  path: string,
): number {
  const value = fields[field];
  if (value === undefined) return range.default;
  return checkNumber(value, range, join(path, field));
}

export function checkNumber(
  value: unknown,
  { min, max, integer }: Readonly<Omit<NumberRange, 'default'>>,
  path: string,
): number {
  if (
    typeof value !== 'number' ||
    !Number.isFinite(value) ||
    value < min ||
    value > max ||
    (integer && !Number.isInteger(value))
  ) {
    throw new SpecError(
      path,
      `${path} must be ${wanted({ min, max, integer })}, not ${describe(value)}.`,
    );
  }
  return value;
}

/** What a number must be, in words. */
export function wanted({ min, max, integer }: Readonly<Omit<NumberRange, 'default'>>): string {
  const kind = integer ? 'a whole number' : 'a number';
  if (max >= Number.MAX_SAFE_INTEGER) return min < 0 ? kind : `${kind} from ${min}`;
  return `${kind} from ${min} to ${max}`;
}

/** One of `choices`, or the first of them where it is missing. */
export function choiceField<T extends string>(
  fields: Readonly<Record<string, unknown>>,
  field: string,
  choices: readonly [T, ...T[]],
  path: string,
): T {
  const value = fields[field];
  if (value === undefined) return choices[0];
  const found = choices.find((choice) => choice === value);
  if (found === undefined) {
    throw new SpecError(
      join(path, field),
      `${join(path, field)} must be one of ${choices.join(', ')}, not ${describe(value)}.`,
    );
  }
  return found;
}

/** A list with `min` to `max` entries, each read by `read`. */
export function listField<T>(
  value: unknown,
  path: string,
  bounds: { min: number; max: number },
  read: (entry: unknown, path: string) => T,
): T[] {
  if (!Array.isArray(value)) {
    throw new SpecError(path, `${path} must be a list, not ${describe(value)}.`);
  }
  if (value.length < bounds.min || value.length > bounds.max) {
    throw new SpecError(
      path,
      `${path} must have ${bounds.min} to ${bounds.max} entries, not ${value.length}.`,
    );
  }
  return value.map((entry, i) => read(entry, `${path}[${i}]`));
}

export function join(path: string, field: string): string {
  return path === '' ? field : `${path}.${field}`;
}

/** A value as an error may show it: short, never a whole document, and never asked to name itself. */
export function describe(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'an object';
  if (typeof value === 'function') return 'a function';
  return cut(String(value), 60);
}

/** At most `length` UTF-16 units of a text; a character of two is not cut in half. */
export function cut(text: string, length: number): string {
  if (text.length <= length) return text;
  return text.slice(0, length).replace(/[\uD800-\uDBFF]$/, '');
}

/** A text of `min` to `max` UTF-16 units that any file can hold: without halves of characters. */
export function textField(
  value: unknown,
  path: string,
  { min = 0, max }: { min?: number; max: number },
): string {
  if (typeof value !== 'string') {
    throw new SpecError(path, `${path} must be a text, not ${describe(value)}.`);
  }
  if (value.length < min || value.length > max) {
    throw new SpecError(
      path,
      `${path} must have ${min} to ${max} characters, not ${value.length}.`,
    );
  }
  if (/\p{Surrogate}/u.test(value)) {
    throw new SpecError(path, `${path} holds half a character, which no file can keep.`);
  }
  return value;
}

/** Shares, probabilities and proportions. */
export const SHARE: Readonly<Omit<NumberRange, 'default'>> = { min: 0, max: 1, integer: false };
/** Of two shares. */
export const DIFFERENCE: Readonly<Omit<NumberRange, 'default'>> = {
  min: -1,
  max: 1,
  integer: false,
};
export const COUNT: Readonly<Omit<NumberRange, 'default'>> = {
  min: 0,
  max: Number.MAX_SAFE_INTEGER,
  integer: true,
};
/** Any number that JSON can carry. */
export const FINITE: Readonly<Omit<NumberRange, 'default'>> = {
  min: -Number.MAX_VALUE,
  max: Number.MAX_VALUE,
  integer: false,
};

/** Undefined where there is none; null is how JSON writes that. */
export function optional<T>(value: unknown, read: (value: unknown) => T): T | undefined {
  return isMissing(value) ? undefined : read(value);
}

export function isMissing(value: unknown): value is null | undefined {
  return value === null || value === undefined;
}

/** Without the fields that are undefined. */
export function present<T extends object>(
  fields: T,
): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
