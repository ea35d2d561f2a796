/** Words of a text as they are compared: whatever the case, accents and punctuation. */

/**
 * Runs of letters and digits, in lower case without accents. A sign inside a number belongs to it:
 * 1,000 is 1000, 2.5 and -3 are no 5 and no 3; half past 7:30 is none of them.
 */
export function wordsOf(text: string): string[] {
  const plain = text
    .normalize('NFKD')
    .replace(/\p{Mark}/gu, '')
    .toLowerCase()
    .replace(/[‘’']/g, '')
    .replace(/(?<=\d),(?=\d{3}(?!\d))/g, '');
  return (
    plain.match(
      /(?<![\p{Letter}\p{Number}])[-−]\d+(?:[.,:/]\d+)*|\d+(?:[.,:/]\d+)+|[\p{Letter}\p{Number}]+/gu,
    ) ?? []
  ).map((word) => word.replace('−', '-'));
}

/** Whether the words of `part` stand in `text`, one after the other. */
export function holdsWords(text: string, part: string): boolean {
  const [all, sought] = [wordsOf(text), wordsOf(part)];
  if (sought.length === 0) return false;
  return all.some((_, i) => sought.every((word, k) => all[i + k] === word));
}
