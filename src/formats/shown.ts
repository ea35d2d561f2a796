/**
 * A value of a file in a sentence: short whatever it is. JSON.stringify overflows the stack on lists
 * that are nested deeply, and repeats a megabyte that stood where a number belongs.
 */

const MOST_CHARACTERS = 60;
const MOST_ENTRIES = 4;
const MOST_LEVELS = 2;

/** At most a hundred or so characters; never throws, and calls nothing of the value. */
export function shown(value: unknown, levels = MOST_LEVELS): string {
  if (typeof value === 'string') {
    const cut = value.slice(0, MOST_CHARACTERS);
    return JSON.stringify(cut) + (cut.length < value.length ? '…' : '');
  }
  if (typeof value === 'function') return 'a function';
  if (typeof value !== 'object' || value === null) return String(value);
  const isList = Array.isArray(value);
  const [open, close] = isList ? ['[', ']'] : ['{', '}'];
  if (levels === 0) return `${open}…${close}`;
  const keys = Object.keys(value);
  const entries = keys.slice(0, MOST_ENTRIES).map((key) => {
    const entry = shown((value as Record<string, unknown>)[key], levels - 1);
    return isList ? entry : `${shown(key)}: ${entry}`;
  });
  if (keys.length > MOST_ENTRIES) entries.push('…');
  const text = entries.join(', ');
  const cut = text.length > 2 * MOST_CHARACTERS ? `${text.slice(0, 2 * MOST_CHARACTERS)}…` : text;
  return `${open}${cut}${close}`;
}
