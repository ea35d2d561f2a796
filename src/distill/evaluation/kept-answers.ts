/** Reference answers out of a store or a file, where anything may have happened to them. */
import type { PromptItem } from '../types';
import type { SystemAnswers } from './input';

/** The answers to `items`, or null where they are not whole: they can be made again. */
export function keptAnswers(value: unknown, items: readonly PromptItem[]): SystemAnswers | null {
  if (typeof value !== 'object' || value === null) return null;
  const kept = value as Partial<Record<keyof SystemAnswers, unknown>>;
  const count = items.length;
  const rows = (list: unknown, length: number, isEntry: (entry: unknown) => boolean) =>
    isListOf(list, (row) => isListOf(row, isEntry)) && list.length === length;
  const list = (values: unknown, isEntry: (entry: unknown) => boolean) =>
    isListOf(values, isEntry) && values.length === count;
  const { tokens, logProbs, guardSafe, judgeSafe, promptSafe, sampledSafe, refusalScores } = kept;
  const whole =
    rows(tokens, count, isToken) &&
    // The guarded system has none.
    (rows(logProbs, count, isNumber) || rows(logProbs, 0, isNumber)) &&
    list(guardSafe, isShare) &&
    list(judgeSafe, isShare) &&
    (promptSafe === undefined || list(promptSafe, isShare)) &&
    (sampledSafe === undefined || rows(sampledSafe, count, isShare)) &&
    (refusalScores === undefined || refusalScores === null || list(refusalScores, isNumber));
  return whole ? (value as SystemAnswers) : null;
}

function isListOf(value: unknown, isEntry: (entry: unknown) => boolean): value is unknown[] {
  return Array.isArray(value) && value.every(isEntry);
}

function isNumber(value: unknown): boolean {
  return typeof value === 'number' && Number.isFinite(value);
}

function isShare(value: unknown): boolean {
  return typeof value === 'number' && value >= 0 && value <= 1;
}

function isToken(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) >= 0;
}
