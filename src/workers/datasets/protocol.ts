/** What the page asks of the worker that reads prompt sets. The table stays in the worker. */
import type { LabelValue } from '../../formats/datasets/column-texts';
import type { ImportPlan } from '../../formats/datasets/plan';
import type { ImportReport } from '../../formats/datasets/problems';
import type { ReadOptions, ReadProgress } from '../../formats/datasets/read';
import type { Recognition } from '../../formats/datasets/recognition';
import type {
  DatasetErrorCode,
  Delimiter,
  ImportedPrompt,
  Table,
} from '../../formats/datasets/types';

/** A table without its rows. */
export interface TableFacts extends Omit<Table, 'rows' | 'emptyRows'> {
  rows: number;
}

/** A report with the first of its prompts. */
export interface ReportFacts extends Omit<ImportReport, 'items'> {
  prompts: number;
  first: readonly ImportedPrompt[];
}

/** A file that is no prompt set, as a sentence and what would help. */
export interface FileProblem {
  code: DatasetErrorCode;
  message: string;
  /** With `wrong-delimiter`: the one that fits. */
  delimiter?: Delimiter;
}

export interface OpenedFile {
  table: TableFacts;
  /** Every reading that fits, the likeliest first; none where the columns are to be said by hand. */
  readings: Recognition[];
  plan: ImportPlan;
  /** Why there is no reading. */
  problem: FileProblem | null;
}

export interface ReadPlan {
  plan: ImportPlan;
  duplicateIds: 'refuse' | 'rename';
}

export interface DatasetRequests {
  /** Reads a file of this machine or at an address; the one before it is forgotten. */
  open: {
    payload: {
      source: { file: File } | { address: string };
      options: Pick<ReadOptions, 'delimiter' | 'header' | 'take'>;
    };
    event: ReadProgress;
    result: OpenedFile | { problem: FileProblem; table: null };
  };
  /** What the open file gives by a plan. */
  read: {
    payload: ReadPlan;
    event: never;
    result: {
      /** Of the plan's label column. */
      values: LabelValue[];
      report: ReportFacts | null;
      /** Why there is no report. */
      problem: FileProblem | null;
    };
  };
  /** All prompts that a plan without problems gives, and their `contentHash`. */
  take: {
    payload: ReadPlan;
    event: never;
    result: { items: ImportedPrompt[]; hash: string };
  };
}
