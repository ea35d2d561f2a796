// Whether two prompts are the same but for a few words.

/** Words without case and punctuation. @param {string} prompt */
export function wordsOf(prompt) {
  return (
    prompt
      .toLowerCase()
      .normalize('NFKC')
      .match(/[\p{L}\p{N}]+/gu) ?? []
  );
}

/** @param {readonly string[]} words @param {number} n @returns {Set<string>} */
function shingles(words, n) {
  if (words.length <= n) return new Set([words.join(' ')]);
  return new Set(words.slice(n - 1).map((_, i) => words.slice(i, i + n).join(' ')));
}

/**
 * Whether the Jaccard index reaches `limit`; sizes alone rule most pairs out.
 * @param {ReadonlySet<string>} a @param {ReadonlySet<string>} b @param {number} limit
 */
function overlap(a, b, limit) {
  if (Math.min(a.size, b.size) < limit * Math.max(a.size, b.size)) return false;
  let both = 0;
  for (const item of a) if (b.has(item)) both++;
  return both >= limit * (a.size + b.size - both);
}

/** Jaccard index of the word 5-grams from which two prompts are near-duplicates. */
export const FIVE_GRAMS = 0.5;
/** The same of their words; for short prompts, which have few 5-grams. */
export const WORDS = 0.8;

/**
 * Pairs of near-duplicates: equal words, or 5-grams or words that overlap too far.
 * @param {readonly string[]} first @param {readonly string[]} second
 * @returns {[string, string][]}
 */
export function nearDuplicates(first, second) {
  const index = second.map((prompt) => {
    const words = wordsOf(prompt);
    return { prompt, words: new Set(words), grams: shingles(words, 5) };
  });
  return first.flatMap((prompt) => {
    const list = wordsOf(prompt);
    const [words, grams] = [new Set(list), shingles(list, 5)];
    return index
      .filter(
        (other) => overlap(words, other.words, WORDS) || overlap(grams, other.grams, FIVE_GRAMS),
      )
      .map((other) => /** @type {[string, string]} */ ([prompt, other.prompt]));
  });
}
