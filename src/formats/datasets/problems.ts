/** What an import gives: prompts, and what is to be said of rows and of the file. */
import { KnownError } from '../errors';
import type { ImportedPrompt, PromptLabel } from './types';

export type ProblemCode =
  | 'empty-prompt'
  | 'long-prompt'
  | 'broken-text'
  | 'not-a-text'
  | 'unknown-label'
  | 'duplicate-id'
  | 'duplicate-prompt'
  | 'renamed-id'
  | 'merged-rows'
  | 'empty-rows'
  | 'first-rows-only'
  | 'truncated-row'
  | 'first-turns'
  | 'system-messages'
  | 'file-note';

export interface RowProblem {
  code: ProblemCode;
  /** null where it is about the whole file. */
  row: number | null;
  column: string | null;
  message: string;
}

/** The first problems and how many there are. */
export interface ProblemList {
  total: number;
  first: RowProblem[];
}

export interface ImportReport {
  /** Without the rows that `errors` names. */
  items: ImportedPrompt[];
  /** Each is a row that was left out. */
  errors: ProblemList;
  warnings: ProblemList;
  /** Rows that gave no prompt although they are not empty: `errors`, and rows that were cut short. */
  leftOut: number;
  /** Columns of the file that nothing was taken from. */
  unusedColumns: string[];
  counts: {
    labels: Record<PromptLabel, number>;
    categories: Record<string, number>;
    styles: Record<string, number>;
  };
}

/** A row that cannot be used; caught where the row is added. */
export class RowError extends KnownError {
  override readonly name = 'RowError';
  readonly errorCode = 'bad-input';
  constructor(
    readonly code: ProblemCode,
    readonly column: string | null,
    /** Completes “Row 3, column “x”: …”. */
    message: string,
  ) {
    super(message);
  }
}
