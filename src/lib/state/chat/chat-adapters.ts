/** What can be put beside the base model in the chat: this browser's runs, a link, the recording. */
import type { Recipe, RunRecord } from '../../../distill/types';
import type { SharedPrompt } from '../../../formats/share/share-link';
import { KIND_LABELS } from '../../charts/facets';
import { recipeLine } from '../../charts/tradeoff';
import { type OpenedShare, templateOf } from './share';

export interface ChatAdapter {
  /** A link's text, or a run's id behind `run=`: what the address says after its `#`. */
  id: string;
  label: string;
  recipe: Recipe;
  modelId: string;
  /** Of the chat template that it was trained with; null where nobody knows. */
  templateHash: string | null;
  /** As a run's record has them; a link's are in `shared`. */
  values: Float32Array;
  /** Where it came as a link. */
  shared: SharedPrompt | null;
}

const RUN = 'run=';

/** What stands after the `#` of the chat's address to open it with this run. */
export function chatHash({ id, share }: Pick<RunRecord, 'id' | 'share'>): string {
  return share ?? RUN + id;
}

/** The id of the run that an address names; null where it names a link or nothing. */
export function runOfHash(hash: string): string | null {
  const text = hash.replace(/^#/, '');
  return text.startsWith(RUN) ? text.slice(RUN.length) : null;
}

export function adapterOfRun(run: RunRecord): ChatAdapter {
  const { recipe, modelId, values } = run;
  const label = `Your run: ${recipeLine(recipe)}`;
  const templateHash = templateOf(run.share);
  return { id: chatHash(run), label, recipe, modelId, templateHash, values, shared: null };
}

export function adapterOfShare(
  { shared, recipe, text }: OpenedShare,
  origin: string,
  student = recipe.student,
): ChatAdapter {
  return {
    id: text,
    label: `${origin}: ${recipeLine(recipe)}`,
    recipe: { ...recipe, student },
    modelId: shared.modelId,
    templateHash: shared.templateHash,
    values: shared.values,
    shared,
  };
}

/** Whether it was trained into one of these students: a branch and its commit are both one. */
export function isOf({ recipe }: ChatAdapter, students: readonly (string | undefined)[]): boolean {
  return students.includes(recipe.student);
}

/** How an adapter's column is headed, what it is, and what it adds to the weights. */
export function adapterWords(adapter: ChatAdapter | null): {
  title: string;
  subtitle: string;
  extra: string;
} {
  const kind = adapter?.recipe.adapter.kind ?? 'soft-prompt';
  const words = {
    'soft-prompt': ['the same student, trained vectors first', 'prompt as KV prefix'],
    lora: ['the same student, thin matrices beside its own', 'thin matrices'],
    steering: ['the same student, a vector added behind its layers', 'vectors'],
    preamble: ['the same student, the safety text in the system role', 'longer prompt'],
  } as const;
  const [subtitle, extra] = words[kind];
  return { title: KIND_LABELS[kind], subtitle, extra };
}

/** Why nobody can talk to it, as a sentence; null where one can. */
export function chatRefusal({ recipe, values, shared }: ChatAdapter): string | null {
  if (recipe.adapter.kind === 'preamble' || shared !== null || values.length > 0) return null;
  return 'This run kept no values, so there is nothing to put into the student. Train it again.';
}
