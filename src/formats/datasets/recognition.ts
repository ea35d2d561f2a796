/** One reading of a table: what it was taken for, by what, and what that makes of its columns. */
import type { ImportPlan } from './plan';
import { type PromptLabel, quoted } from './types';

export interface Recognition {
  title: string;
  /**
   * 1 where the file's columns are just the set's. The share of the set's columns that the file has,
   * times (1 + the share of the file's that the set has) / 2. A bare column of prompts: at most 0.3.
   */
  confidence: number;
  plan: ImportPlan;
  /** Columns of the file that the set has, too. */
  columns: readonly string[];
  /** The column whose values tell the set from others. */
  values: string | null;
  /** What says which prompts are harmful, in a sentence; where nothing does, why. */
  labelled: string;
  /** What the prompts of the set itself are; null where that is known to nobody or said above. */
  usual: PromptLabel | null;
  notes: readonly string[];
}

/** “the columns “prompt”, “type” and the values of “type””, to say by what a set was recognised. */
export function recognisedBy({ columns, values }: Recognition): string {
  const shown = columns.slice(0, 6).map(quoted).join(', ');
  const more = columns.length > 6 ? ' and others' : '';
  const names = `the ${columns.length === 1 ? 'column' : 'columns'} ${shown}${more}`;
  return values === null ? names : `${names} and the values of ${quoted(values)}`;
}
