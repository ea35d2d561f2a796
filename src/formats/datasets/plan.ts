/** What the columns of a table mean: plain data that a page shows, edits and applies again. */
import { DatasetFileError, PROMPT_LABELS, type PromptLabel, quoted } from './types';

export type LayoutName =
  | 'retort'
  | 'harmbench'
  | 'xstest'
  | 'jailbreakbench'
  | 'advbench'
  | 'strongreject'
  | 'simplesafetytests'
  | 'do-not-answer'
  | 'beavertails'
  | 'beavertails-evaluation'
  | 'toxigen'
  | 'toxigen-generations'
  | 'mt-bench'
  | 'sorry-bench'
  | 'alpaca'
  | 'dolly'
  | 'generic';

/** Column names of the file; null where the file has none. */
export interface Mapping {
  prompt: string;
  /** A text that belongs to some prompts, put in by `contextTemplate`. */
  context: string | null;
  /** Read by the label rules `values` and `prefix`. */
  label: string | null;
  id: string | null;
  intent: string | null;
  category: string | null;
  style: string | null;
  wrapper: string | null;
  answer: string | null;
  accepted: string | null;
  form: string | null;
  pair: string | null;
}

export type LabelRule =
  | { kind: 'all'; label: PromptLabel }
  /** By the text of the label column, in lower case. */
  | { kind: 'values'; values: Record<string, PromptLabel> }
  /** By how the text of the label column starts. */
  | { kind: 'prefix'; prefix: string; starts: PromptLabel; otherwise: PromptLabel }
  /** By the sum of numeric columns. */
  | {
      kind: 'above';
      columns: string[];
      threshold: number;
      above: PromptLabel;
      otherwise: PromptLabel;
    };

export interface ImportPlan {
  layout: LayoutName;
  mapping: Mapping;
  /** null: nothing in the file says, so someone must. */
  labels: LabelRule | null;
  /** Holds {prompt}. */
  template: string;
  /** Holds {prompt} and {context}; for rows whose context is not empty. */
  contextTemplate: string;
  /** Rows of one prompt: kept as they are, or one item with the worst label and all categories. */
  repeats: 'keep' | 'merge';
}

export const NO_COLUMNS: Omit<Mapping, 'prompt'> = {
  context: null,
  label: null,
  id: null,
  intent: null,
  category: null,
  style: null,
  wrapper: null,
  answer: null,
  accepted: null,
  form: null,
  pair: null,
};

/** A plan that names every column it uses. Throws {@link DatasetFileError}. */
export function checkPlan(plan: ImportPlan, columns: readonly string[]): void {
  for (const [field, column] of Object.entries(plan.mapping)) {
    if (column !== null && !columns.includes(column)) {
      throw new DatasetFileError(
        'missing-column',
        `The file has no column ${quoted(String(column))}, which ${field} should come from.`,
        { column: String(column) },
      );
    }
  }
  const { labels } = plan;
  if (labels === null) {
    throw new DatasetFileError(
      'bad-plan',
      'Nothing in the file says which prompts are harmful, borderline or benign. Choose a label.',
    );
  }
  if ((labels.kind === 'values' || labels.kind === 'prefix') && plan.mapping.label === null) {
    throw new DatasetFileError('bad-plan', 'The labels come from a column, but none is chosen.');
  }
  for (const column of labels.kind === 'above' ? labels.columns : []) {
    if (columns.includes(column)) continue;
    throw new DatasetFileError(
      'missing-column',
      `The file has no column ${quoted(column)}, which the labels should come from.`,
      { column },
    );
  }
  if (!plan.template.includes('{prompt}')) {
    throw new DatasetFileError('bad-plan', 'The template has no {prompt} in it.');
  }
  const withContext = plan.contextTemplate;
  if (!withContext.includes('{prompt}') || !withContext.includes('{context}')) {
    throw new DatasetFileError(
      'bad-plan',
      'The template for prompts with a context needs {prompt} and {context}.',
    );
  }
}

/** What files call the three labels. “Safe” alone is a benign prompt; XSTest's means borderline. */
export const COMMON_LABELS: Record<string, PromptLabel> = {
  ...Object.fromEntries(PROMPT_LABELS.map((label) => [label, label])),
  ...{ unsafe: 'harmful', toxic: 'harmful', malicious: 'harmful', dangerous: 'harmful' },
  ...{ jailbreak: 'harmful', 'prompt injection': 'harmful', injection: 'harmful' },
  ...{ attack: 'harmful', safe: 'benign', harmless: 'benign', unharmful: 'benign' },
  ...{ 'non-harmful': 'benign', 'not harmful': 'benign', 'non-toxic': 'benign' },
  ...{ nontoxic: 'benign', 'not toxic': 'benign', ambiguous: 'borderline' },
  ...{ controversial: 'borderline' },
};
