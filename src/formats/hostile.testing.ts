/** What JSON files may hold that breaks careless readers. */

/** A list in a list in a list, so many levels deep. */
export function nestedLists(levels: number): unknown {
  return JSON.parse('['.repeat(levels) + ']'.repeat(levels));
}
