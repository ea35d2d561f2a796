/** Accepted answers of a prompt, as every reader of prompts checks them. */
import { wordsOf } from '../words';

/** Of a form, a pair's name, an accepted answer. */
export const MAX_NAME_CHARACTERS = 200;
export const MAX_ACCEPTED = 50;

export const ACCEPTED_RULE =
  `1 to ${MAX_ACCEPTED} texts with letters or digits, each of at most ` +
  `${MAX_NAME_CHARACTERS} characters`;

/** A form without letters and digits would stand in every answer, or in none. */
export function isAccepted(value: unknown): value is string[] {
  const isForm = (form: unknown) =>
    typeof form === 'string' && form.length <= MAX_NAME_CHARACTERS && wordsOf(form).length > 0;
  return (
    Array.isArray(value) && value.length > 0 && value.length <= MAX_ACCEPTED && value.every(isForm)
  );
}
