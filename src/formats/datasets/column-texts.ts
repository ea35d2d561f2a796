/** The texts of a column, as far as they could be labels. */
import { CellError, textOf } from './cells';
import type { Json, Table } from './types';

export type Rows = Pick<Table, 'columns' | 'rows' | 'ofPrompts'>;

/** Longer texts are no labels, and could be prompts, which messages never show. */
export const LABEL_LENGTH = 40;

/**
 * Distinct texts of `column`, trimmed, in lower case, empty and long ones left out, the most frequent
 * first; more than `limit` of them, and the list ends one beyond it, unordered.
 */
export function textsOf(table: Rows, column: string, limit = 1000): string[] {
  const index = table.columns.indexOf(column);
  const counts = new Map<string, number>();
  for (const { cells } of table.rows) {
    const text = shortText(cells[index], column);
    if (text === '') continue;
    counts.set(text, (counts.get(text) ?? 0) + 1);
    if (counts.size > limit) return [...counts.keys()];
  }
  return [...counts].sort((a, b) => b[1] - a[1]).map(([text]) => text);
}

/** A text that could be a label: a longer one stands for itself, cut, and is not taken apart. */
export function shortText(cell: Json | undefined, column: string): string {
  if (typeof cell === 'string' && cell.length > 1000)
    return cell.slice(0, 200).trim().toLowerCase();
  try {
    return textOf(cell, column).slice(0, 200).trim().toLowerCase();
  } catch (error) {
    if (error instanceof CellError) return '';
    throw error;
  }
}

export interface LabelValue {
  value: string;
  rows: number;
}

/** What `column` holds, lower case, the most frequent first, long texts left out. At most `limit`. */
export function labelValues(table: Rows, column: string | null, limit = 12): LabelValue[] {
  const index = column === null ? -1 : table.columns.indexOf(column);
  if (column === null || index < 0) return [];
  const counts = new Map<string, number>();
  for (const { cells } of table.rows) {
    const value = shortText(cells[index], column);
    if (value === '' || value.length > LABEL_LENGTH) continue;
    counts.set(value, (counts.get(value) ?? 0) + 1);
  }
  return [...counts]
    .map(([value, rows]) => ({ value, rows }))
    .sort((a, b) => b.rows - a.rows)
    .slice(0, limit);
}
