/** What people change about how a file is read, as steps from one plan to the next. */
import type { PromptSet } from '$lib/storage/prompt-sets';
import { MAX_SET_NAME } from '../../../distill/data/imported-prompts';
import { COMMON_LABELS, type ImportPlan, type Mapping } from '../../../formats/datasets/plan';
import type { PromptLabel } from '../../../formats/datasets/types';
import type { ReportFacts, TableFacts } from '../../../workers/datasets/protocol';

export interface FieldWords {
  field: keyof Mapping;
  label: string;
  help: string;
}

export const FIELD_WORDS: readonly FieldWords[] = [
  { field: 'prompt', label: 'Prompt', help: 'What is asked.' },
  { field: 'context', label: 'Context', help: 'A text that belongs to some prompts.' },
  { field: 'label', label: 'Label', help: 'Says which prompts are harmful.' },
  { field: 'id', label: 'Id', help: 'None: the number of the row.' },
  { field: 'intent', label: 'Intent', help: 'Prompts that ask the same. None: each is its own.' },
  { field: 'category', label: 'Category', help: 'Kind of harm or task.' },
  { field: 'style', label: 'Style', help: 'Way of asking.' },
  { field: 'wrapper', label: 'Wrapper', help: 'Jailbreak around the prompt.' },
  { field: 'answer', label: 'Right answer', help: 'Compared word by word.' },
  { field: 'accepted', label: 'Accepted answers', help: 'A list: any of them, as whole words.' },
  { field: 'form', label: 'Form', help: 'Question, order, story …' },
  { field: 'pair', label: 'Pair', help: 'Shared by a harmful prompt and its harmless twin.' },
];

/** Where labels come from: one for all, a column, or a rule of the set's own. */
export type LabelChoice = PromptLabel | 'column' | 'rule' | 'none';

export function labelChoice({ labels }: ImportPlan): LabelChoice {
  if (labels === null) return 'none';
  if (labels.kind === 'all') return labels.label;
  return labels.kind === 'values' ? 'column' : 'rule';
}

/** `suggested` is the plan as the set's layout has it. */
export function withLabelChoice(
  plan: ImportPlan,
  choice: LabelChoice,
  suggested: ImportPlan,
): ImportPlan {
  if (choice === 'none') return { ...plan, labels: null };
  if (choice === 'rule') {
    const mapping = { ...plan.mapping, label: suggested.mapping.label };
    return { ...plan, mapping, labels: suggested.labels };
  }
  if (choice !== 'column') return { ...plan, labels: { kind: 'all', label: choice } };
  const values =
    suggested.labels?.kind === 'values' ? suggested.labels.values : { ...COMMON_LABELS };
  return { ...plan, labels: { kind: 'values', values } };
}

export function withColumn(
  plan: ImportPlan,
  field: keyof Mapping,
  column: string | null,
): ImportPlan {
  return { ...plan, mapping: { ...plan.mapping, [field]: column } };
}

/** What the label column's `value` (lower case) means; null: nothing, so its rows are errors. */
export function withLabelValue(
  plan: ImportPlan,
  value: string,
  label: PromptLabel | null,
): ImportPlan {
  if (plan.labels?.kind !== 'values') return plan;
  const others = Object.entries(plan.labels.values).filter(([name]) => name !== value);
  const values = Object.fromEntries(label === null ? others : [...others, [value, label]]);
  return { ...plan, labels: { kind: 'values', values } };
}

export const LABEL_WORDS: Record<PromptLabel, string> = {
  harmful: 'Harmful',
  borderline: 'Borderline',
  benign: 'Benign',
};

/** “1 row”, “2 rows”. */
export function howMany(count: number, thing: string): string {
  return `${count.toLocaleString('en-US')} ${thing}${count === 1 ? '' : 's'}`;
}

/** What is kept beside the prompts of a set. */
export function describeSet(
  name: string,
  source: string,
  table: Pick<TableFacts, 'name' | 'more'>,
  plan: ImportPlan,
  report: Pick<ReportFacts, 'counts' | 'leftOut'>,
  /** `contentHash` of the prompts. */
  hash: string,
): PromptSet {
  return {
    id: `${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 10)}`,
    name: (name.trim() || table.name || 'Prompts').slice(0, MAX_SET_NAME),
    source,
    createdAt: new Date().toISOString(),
    hash,
    plan,
    counts: report.counts.labels,
    leftOut: report.leftOut,
    firstRowsOnly: table.more,
  };
}
