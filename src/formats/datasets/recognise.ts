/**
 * Which known set a table is, by the names of its columns and by what is in them, and what of it says
 * which prompts are harmful: labels of its own before anything else; then the set that it is known to
 * be; else nothing, and a person is asked.
 */
import { contradiction } from './contradictions';
import { labelColumn } from './label-columns';
import { messagesIn } from './conversation';
import {
  CONTEXT_AFTER,
  GENERIC,
  type Layout,
  type LayoutFile,
  layoutFile,
  LAYOUTS,
  type LayoutTable,
  namesIn,
} from './layouts';
import { type ImportPlan, type LabelRule, type Mapping, NO_COLUMNS } from './plan';
import type { Recognition } from './recognition';
import { DatasetFileError, quoted } from './types';

/**
 * Every reading that fits, the likeliest first; the bare column of prompts is always among them.
 * Throws {@link DatasetFileError} where none does; it names the column that the nearest set lacks.
 */
export function recognise(table: LayoutTable): Recognition[] {
  const file = layoutFile(table);
  const present = new Set(table.columns.map((name) => name.trim().toLowerCase()));
  const fitting = LAYOUTS.filter(
    (layout) => missing(layout, present).length === 0 && proved(layout, file),
  );
  const chats = fitting.includes(GENERIC) ? null : chatColumn(table);
  if (fitting.length === 0 && chats === null) throw unknown(present);
  const found = fitting.map((layout) => recognition(layout, table, file, present));
  if (!fitting.includes(GENERIC)) {
    const prompt = chats ?? found[0]!.plan.mapping.prompt;
    found.push(recognition(GENERIC, table, file, present, prompt));
  }
  return found.sort((a, b) => b.confidence - a.confidence);
}

/** A plan for a table of no known columns, to be corrected by hand. */
export function planByHand(table: LayoutTable): ImportPlan {
  const [first] = table.columns;
  return recognition(GENERIC, table, layoutFile(table), new Set(), first).plan;
}

function recognition(
  layout: Layout,
  table: LayoutTable,
  file: LayoutFile,
  present: ReadonlySet<string>,
  prompt?: string,
): Recognition {
  const mapping = mappingOf(layout, file, prompt ?? table.columns[0]!);
  const { labels, column, labelled } = labelsOf(layout, table, file, mapping);
  if (column !== null) mapping.label = column;
  const known = namesOf(layout);
  const generic = layout === GENERIC;
  return {
    title: layout.title,
    confidence: confidenceOf(layout, present),
    plan: {
      layout: layout.name,
      mapping,
      labels,
      template: layout.template ?? '{prompt}',
      contextTemplate: layout.contextTemplate ?? CONTEXT_AFTER,
      repeats: layout.repeats ?? 'keep',
    },
    columns: generic
      ? [mapping.prompt]
      : table.columns.filter((name) => known.has(name.trim().toLowerCase())),
    values: layout.proof ? file.find(layout.proof.column) : null,
    labelled,
    usual: labels === null ? (layout.usual ?? null) : null,
    notes: layout.notes ?? [],
  };
}

function mappingOf(layout: Layout, file: LayoutFile, otherwise: string): Mapping {
  const find = (names: string | readonly string[] | undefined): string | null => {
    for (const name of namesIn(names)) {
      const column = file.find(name);
      if (column !== null) return column;
    }
    return null;
  };
  const mapping: Mapping = { ...NO_COLUMNS, prompt: find(layout.fields.prompt) ?? otherwise };
  for (const field of Object.keys(NO_COLUMNS) as (keyof typeof NO_COLUMNS)[]) {
    mapping[field] = find(layout.fields[field]);
  }
  return mapping;
}

interface Labels {
  labels: LabelRule | null;
  /** The label column, where labels or a question come from one. */
  column: string | null;
  labelled: string;
}

function labelsOf(layout: Layout, table: LayoutTable, file: LayoutFile, mapping: Mapping): Labels {
  const ofLayout = layout.labels(file);
  if (ofLayout?.kind === 'above') {
    ofLayout.columns = ofLayout.columns.map((column) => file.find(column) ?? column);
  }
  const { prompt } = mapping;
  // A layout's own column of labels is read by its rule; only a clearer one stands in for it.
  const taken = layout.ownLabels ? mapping.label : null;
  const own = ownLabels(layout, table, prompt, taken);
  const isLabel = taken?.trim().toLowerCase() === 'label';
  const clearer = own?.values && (own.by === 'prompt' || (own.by === 'name' && !isLabel));
  if (layout.ownLabels && ofLayout && !clearer && !(own && layout.name === 'retort')) {
    return readable(ofLayout, file, taken)
      ? { labels: ofLayout, column: taken, labelled: sourceOf(ofLayout, layout, taken) }
      : { labels: null, column: taken, labelled: nothing(taken) };
  }
  if (own?.values) {
    const labels: LabelRule = { kind: 'values', values: own.values };
    return { labels, column: own.column, labelled: sourceOf(labels, layout, own.column) };
  }
  if (own && !(own.slight && ofLayout && !layout.ownLabels)) {
    return { labels: null, column: own.column, labelled: own.doubt };
  }
  if (!ofLayout) return { labels: null, column: null, labelled: nothing(null) };
  const against = contradiction(file, layout, ofLayout, prompt);
  if (against !== null) return { labels: null, column: null, labelled: against };
  return { labels: ofLayout, column: null, labelled: sourceOf(ofLayout, layout, null) };
}

/**
 * What the file's columns say beside the layout's own column `taken`. Retort's own columns are called
 * as anyone's may be, so its labels are looked at as any other file's.
 */
function ownLabels(layout: Layout, table: LayoutTable, prompt: string, taken: string | null) {
  if (taken === null) return labelColumn(table, prompt);
  if (layout.name !== 'retort') return labelColumn(table, prompt, new Set([taken]), true);
  const known = namesOf(layout);
  const its = table.columns.filter(
    (name) => name !== taken && known.has(name.trim().toLowerCase()),
  );
  return labelColumn(table, prompt, new Set(its));
}

/** Whether any row of the label column means something. */
function readable(rule: LabelRule, file: LayoutFile, column: string | null): boolean {
  if (rule.kind !== 'values' || column === null) return true;
  const texts = file.texts(column.trim().toLowerCase());
  return texts.some((text) => Object.hasOwn(rule.values, text));
}

const nothing = (column: string | null) =>
  column === null
    ? 'Nothing in the file says which prompts are harmful.'
    : `The column ${quoted(column)} does not say by itself which prompts are harmful.`;

function sourceOf(rule: LabelRule, { title }: Layout, column: string | null): string {
  switch (rule.kind) {
    case 'all':
      return `Every prompt of ${title} is ${rule.label}.`;
    case 'values':
    case 'prefix':
      return `The column ${quoted(column ?? '')} says which prompts are harmful.`;
    case 'above':
      return `The columns ${rule.columns.map(quoted).join(' and ')} say which prompts are harmful.`;
  }
}

const namesOf = (layout: Layout) =>
  new Set([...layout.required.flatMap(namesIn), ...layout.optional, ...(layout.rare ?? [])]);

function missing(layout: Layout, present: ReadonlySet<string>): string[] {
  return layout.required
    .filter((column) => !namesIn(column).some((name) => present.has(name)))
    .map((column) => namesIn(column)[0]!);
}

function proved({ proof }: Layout, file: LayoutFile): boolean {
  if (!proof) return true;
  const texts = file.texts(proof.column);
  if (texts.length === 0 || !texts.every((text) => proof.values.test(text))) return false;
  const { beside } = proof;
  return (
    !beside ||
    beside.columns.some((name) => file.has(name)) ||
    texts.some((t) => beside.values.test(t))
  );
}

/** A column whose first rows hold chats, whatever its name. */
function chatColumn({ columns, rows }: LayoutTable): string | null {
  const first = rows.slice(0, 20);
  const index = columns.findIndex(
    (_, i) => first.length > 0 && first.every(({ cells }) => messagesIn(cells[i]) !== null),
  );
  return columns[index] ?? null;
}

function confidenceOf(layout: Layout, present: ReadonlySet<string>): number {
  if (layout === GENERIC) return present.has('prompt') ? 0.3 : 0.2;
  const known = namesOf(layout);
  // Of alternatives, one is a full match.
  const spare = layout.required
    .map((column) => namesIn(column).filter((name) => !layout.optional.includes(name)).length - 1)
    .reduce((sum, more) => sum + Math.max(0, more), 0);
  const lacking = (layout.rare ?? []).filter((name) => !present.has(name)).length;
  const expected = known.size - spare - lacking;
  const shared = [...known].filter((name) => present.has(name)).length;
  const covered = Math.min(1, shared / expected);
  return (covered * (1 + shared / present.size)) / 2;
}

function unknown(present: ReadonlySet<string>): DatasetFileError {
  const near = LAYOUTS.filter((layout) => layout !== GENERIC)
    .map((layout) => ({ layout, lacks: missing(layout, present) }))
    .filter(({ layout, lacks }) => layout.required.length > 1 && lacks.length === 1)
    .sort((a, b) => b.layout.required.length - a.layout.required.length)
    .at(0);
  if (near) {
    const column = near.lacks[0]!;
    return new DatasetFileError(
      'missing-column',
      `The file looks like ${near.layout.title}, but has no column ${quoted(column)}.`,
      { column },
    );
  }
  return new DatasetFileError(
    'unknown-layout',
    'No column is recognised as the prompts. Call one “prompt”, or say which it is.',
  );
}
