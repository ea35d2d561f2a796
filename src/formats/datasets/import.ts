/** A table as prompts, by a plan; what is wrong is named by row and column, never by its text. */
import { ACCEPTED_RULE, isAccepted, MAX_NAME_CHARACTERS } from './accepted';
import { CellError, textOf } from './cells';
import { NestedCells } from './nested-cells';
import { checkPlan, type ImportPlan, type LabelRule, type Mapping } from './plan';
import {
  atRow,
  count,
  DatasetFileError,
  type ImportedPrompt,
  type Json,
  PROMPT_LABELS,
  type PromptLabel,
  quoted,
  type Table,
  type TableRow,
} from './types';
import {
  type ImportReport,
  type ProblemCode,
  type ProblemList,
  RowError,
  type RowProblem,
} from './problems';
import { restoreFormula } from './write';

export interface ImportOptions {
  /** What becomes of an id that was there before. Default: the row is an error. */
  duplicateIds?: 'refuse' | 'rename';
  /** Characters of a prompt; what the trainer and the evaluation take. */
  promptCharacters?: number;
}

const LISTED = 100;

/** The prompts of `table` as `plan` reads it. Throws {@link DatasetFileError} for a plan that cannot be. */
export function importPrompts(
  table: Table,
  plan: ImportPlan,
  options: ImportOptions = {},
): ImportReport {
  checkPlan(plan, table.columns);
  const importer = new Importer(table, plan, options);
  for (const row of table.rows) importer.add(row);
  return importer.report();
}

/**
 * The same, all or nothing.
 * Throws {@link DatasetFileError} that names the first rows which are wrong.
 */
export function importAll(
  table: Table,
  plan: ImportPlan,
  options: ImportOptions = {},
): ImportedPrompt[] {
  return allOf(table.rows.length === 0 ? null : importPrompts(table, plan, options));
}

/**
 * The prompts of a report without errors.
 * Throws {@link DatasetFileError} that names the first wrong rows, or where there are no prompts.
 */
export function allOf(report: ImportReport | null): ImportedPrompt[] {
  if (report === null) throw new DatasetFileError('empty-file', 'The file has no prompts.');
  const { items, errors } = report;
  if (errors.total > 0) {
    const shown = errors.first.slice(0, 5).map(({ message }) => message);
    if (errors.total > shown.length) shown.push(`And ${count(errors.total - shown.length)} more.`);
    const { row, column } = errors.first[0]!;
    throw new DatasetFileError('bad-rows', shown.join(' '), {
      ...(row === null ? {} : { row }),
      ...(column === null ? {} : { column }),
    });
  }
  if (items.length === 0) throw new DatasetFileError('empty-file', 'The file has no prompts.');
  return items;
}

type Optional = 'category' | 'style' | 'wrapper' | 'answer' | 'form' | 'pair';
const OPTIONAL: readonly Optional[] = ['category', 'style', 'wrapper', 'answer', 'form', 'pair'];
/** What is compared as a name; a long text there is another column's. */
const NAMES: readonly Optional[] = ['form', 'pair'];

class Importer {
  private readonly items: ImportedPrompt[] = [];
  private readonly errors: ProblemList = { total: 0, first: [] };
  private readonly warnings: ProblemList = { total: 0, first: [] };
  private readonly index: Map<string, number>;
  private readonly idRows = new Map<string, number>();
  private readonly promptRows = new Map<string, { row: number; item: ImportedPrompt }>();
  /** By the item that rows of one prompt became. */
  private readonly categories = new Map<ImportedPrompt, Set<string>>();
  /** By id: the number that the next row of that id is tried with. */
  private readonly renames = new Map<string, number>();
  private merged = 0;
  private cut = 0;
  private furtherTurns = 0;
  private systems = 0;
  private readonly limit: number;
  private readonly used: ReadonlySet<string>;
  private readonly nested: NestedCells;

  constructor(
    private readonly table: Table,
    private readonly plan: ImportPlan,
    private readonly options: ImportOptions,
  ) {
    this.index = new Map(table.columns.map((name, i) => [name, i]));
    this.limit = options.promptCharacters ?? 4000;
    this.used = usedColumns(plan);
    this.nested = new NestedCells(table, plan);
  }

  add(row: TableRow): void {
    const cut = this.cutColumn(row);
    if (cut !== null) {
      this.cut++;
      const what = 'whoever served the file cut this cell short; the row is left out.';
      this.note(this.warnings, 'truncated-row', row, cut, what);
      return;
    }
    try {
      this.addItem(row, this.read(row));
    } catch (error) {
      if (!(error instanceof RowError)) throw error;
      const { code, column, message } = error;
      this.note(this.errors, code, row, column, message);
    }
  }

  report(): ImportReport {
    const { items, errors, table } = this;
    for (const [item, categories] of this.categories) item.category = [...categories].join('; ');
    const labels: Record<PromptLabel, number> = { harmful: 0, borderline: 0, benign: 0 };
    for (const item of items) labels[item.label]++;
    const whole = this.wholeFile();
    return {
      items,
      errors,
      warnings: {
        total: whole.length + this.warnings.total,
        first: [...whole, ...this.warnings.first],
      },
      leftOut: errors.total + this.cut,
      unusedColumns: table.columns.filter((column) => !this.used.has(column)),
      counts: { labels, categories: tally(items, 'category'), styles: tally(items, 'style') },
    };
  }

  /** What is to be said of the file, not of a row. */
  private wholeFile(): RowProblem[] {
    const { table } = this;
    const said: RowProblem[] = [];
    const say = (code: ProblemCode, message: string) =>
      said.push({ code, row: null, column: null, message });
    for (const note of table.notes) say('file-note', note);
    if (table.more) {
      say('first-rows-only', `Only the first ${count(table.rows.length)} rows were read.`);
    }
    const rows = (n: number) => `${count(n)} ${n === 1 ? 'row' : 'rows'}`;
    if (table.emptyRows > 0) {
      const were = table.emptyRows === 1 ? 'was' : 'were';
      const empty = rows(table.emptyRows).replace(' ', ' empty ');
      say('empty-rows', `${empty} ${were} left out.`);
    }
    if (this.nested.note !== null) say('file-note', this.nested.note);
    if (this.furtherTurns > 0) {
      say('first-turns', `${rows(this.furtherTurns)} with more turns: only the first is a prompt.`);
    }
    if (this.systems > 0) {
      say('system-messages', `${rows(this.systems)} with a system message, which is left out.`);
    }
    if (this.merged > 0) {
      say(
        'merged-rows',
        `${count(this.merged)} rows repeat the prompt of an earlier row and were merged with it.`,
      );
    }
    return said;
  }

  /** A column that the prompt is made of and that was cut short. */
  private cutColumn({ truncated }: TableRow): string | null {
    return truncated?.find((column) => this.used.has(column)) ?? null;
  }

  private note(
    list: ProblemList,
    code: ProblemCode,
    row: TableRow,
    column: string | null,
    what: string,
  ): void {
    list.total++;
    if (list.first.length >= LISTED) return;
    const place = column === null ? atRow(row) : `${atRow(row)}, column ${quoted(column)}`;
    list.first.push({ code, row: row.row, column, message: `${place}: ${what}` });
  }

  private read(row: TableRow): ImportedPrompt {
    const { mapping } = this.plan;
    const text = (field: keyof Mapping) => this.text(row, mapping[field]);
    const bare = this.prompt(row);
    if (bare.trim() === '')
      throw new RowError('empty-prompt', mapping.prompt, 'the prompt is empty.');
    const context = text('context');
    const prompt = fill(context === '' ? this.plan.template : this.plan.contextTemplate, {
      prompt: bare,
      context,
    });
    if (prompt.length > this.limit) {
      throw new RowError(
        'long-prompt',
        mapping.prompt,
        `the prompt has ${count(prompt.length)} characters; at most ${count(this.limit)} are used.`,
      );
    }
    // Half of a surrogate pair, as a file cut inside a JSON escape has it.
    if (/\p{Surrogate}/u.test(prompt)) {
      throw new RowError('broken-text', mapping.prompt, 'the prompt holds half a character.');
    }
    const item: ImportedPrompt = {
      id: text('id') || `${this.plan.layout}-${row.row}`,
      prompt,
      label: this.label(row),
      intent: text('intent') || prompt,
    };
    for (const field of OPTIONAL) {
      const value = text(field);
      if (value === '') continue;
      if (NAMES.includes(field) && value.length > MAX_NAME_CHARACTERS) {
        const what = `has ${count(value.length)} characters; at most ${MAX_NAME_CHARACTERS} are used.`;
        throw new RowError('not-a-text', mapping[field], what);
      }
      item[field] = value;
    }
    const accepted = this.accepted(row);
    if (accepted !== null) item.accepted = accepted;
    return item;
  }

  private addItem(row: TableRow, item: ImportedPrompt): void {
    const before = this.promptRows.get(item.prompt);
    if (before && this.plan.repeats === 'merge') {
      this.merged++;
      this.merge(before.item, item);
      return;
    }
    this.checkId(row, item);
    if (before) {
      const labels = before.item.label === item.label ? '' : ', under another label';
      this.note(
        this.warnings,
        'duplicate-prompt',
        row,
        this.plan.mapping.prompt,
        `the same prompt as in row ${count(before.row)}${labels}.`,
      );
    } else this.promptRows.set(item.prompt, { row: row.row, item });
    this.idRows.set(item.id, row.row);
    this.items.push(item);
  }

  /** Throws {@link RowError} for an id that another row has, or gives the item another. */
  private checkId(row: TableRow, item: ImportedPrompt): void {
    const before = this.idRows.get(item.id);
    if (before === undefined) return;
    const what = `the id ${quoted(item.id)} is that of row ${count(before)}`;
    if (this.options.duplicateIds !== 'rename') {
      throw new RowError('duplicate-id', this.plan.mapping.id, `${what}.`);
    }
    // From where the last row of this id was named: many rows may share one.
    let n = this.renames.get(item.id) ?? 2;
    while (this.idRows.has(`${item.id}-${n}`)) n++;
    this.renames.set(item.id, n + 1);
    item.id = `${item.id}-${n}`;
    const column = this.plan.mapping.id;
    this.note(this.warnings, 'renamed-id', row, column, `${what}; renamed to ${quoted(item.id)}.`);
  }

  private prompt(row: TableRow): string {
    const { prompt: column } = this.plan.mapping;
    if (this.plan.layout === 'retort') return this.text(row, column);
    const { text, turns, system } = this.cell(row, column, (cell) => this.nested.prompt(cell));
    if (turns > 1) this.furtherTurns++;
    if (system) this.systems++;
    return text.trim();
  }

  /** Retort's own files give back exactly what was written; others lose blanks around a text. */
  private text(row: TableRow, column: string | null): string {
    if (column === null) return '';
    if (this.plan.layout !== 'retort') {
      return this.cell(row, column, (cell) => this.nested.text(cell, column)).trim();
    }
    const text = this.cell(row, column, (cell) => textOf(cell));
    return this.table.format === 'csv' ? restoreFormula(text) : text;
  }

  /** A list, or the JSON of one, which is what a CSV holds. @throws RowError */
  private accepted(row: TableRow): string[] | null {
    const { accepted: column } = this.plan.mapping;
    if (column === null) return null;
    const cell = row.cells[this.index.get(column)!] ?? null;
    if (cell === null || cell === '') return null;
    const list: unknown = typeof cell === 'string' ? listIn(cell) : cell;
    if (isAccepted(list)) return list;
    throw new RowError('not-a-text', column, `must hold ${ACCEPTED_RULE}.`);
  }

  /** @throws RowError for a cell that `read` finds no text in */
  private cell<T>(row: TableRow, column: string, read: (cell: Json | undefined) => T): T {
    try {
      return read(row.cells[this.index.get(column)!]);
    } catch (error) {
      if (!(error instanceof CellError)) throw error;
      throw new RowError('not-a-text', column, `holds ${error.message}.`);
    }
  }

  /** The worst label and every category of two rows of one prompt. */
  private merge(into: ImportedPrompt, other: ImportedPrompt): void {
    if (PROMPT_LABELS.indexOf(other.label) < PROMPT_LABELS.indexOf(into.label)) {
      into.label = other.label;
    }
    const names = other.category?.split('; ') ?? [];
    if (names.length === 0) return;
    let categories = this.categories.get(into);
    if (!categories) {
      categories = new Set(into.category?.split('; '));
      this.categories.set(into, categories);
    }
    for (const name of names) categories.add(name);
  }

  private label(row: TableRow): PromptLabel {
    const rule = this.plan.labels as LabelRule;
    const { label: column } = this.plan.mapping;
    switch (rule.kind) {
      case 'all':
        return rule.label;
      case 'prefix':
        return this.text(row, column).trim().toLowerCase().startsWith(rule.prefix)
          ? rule.starts
          : rule.otherwise;
      case 'values': {
        const value = this.text(row, column).trim().toLowerCase();
        const label = Object.hasOwn(rule.values, value) ? rule.values[value] : undefined;
        if (label) return label;
        throw new RowError(
          'unknown-label',
          column,
          value === ''
            ? 'the label is empty.'
            : `${quoted(value)} is none of the labels ${Object.keys(rule.values).join(', ')}.`,
        );
      }
      case 'above': {
        const sum = rule.columns.reduce((total, name) => total + this.number(row, name), 0);
        return sum > rule.threshold ? rule.above : rule.otherwise;
      }
    }
  }

  private number(row: TableRow, column: string): number {
    const text = this.text(row, column).trim();
    const value = text === '' ? NaN : Number(text);
    if (Number.isFinite(value)) return value;
    throw new RowError('unknown-label', column, 'is not a number, and the label comes from it.');
  }
}

/** Puts texts in for {names}; what they hold is not looked at again. */
function fill(template: string, texts: Record<'prompt' | 'context', string>): string {
  return template.replace(
    /\{(prompt|context)\}/g,
    (_, name: string) => texts[name as keyof typeof texts],
  );
}

/** Columns that a plan reads. */
function usedColumns({ mapping, labels }: ImportPlan): Set<string> {
  const mapped = Object.values(mapping).filter((column: string | null) => column !== null);
  return new Set([...mapped, ...(labels?.kind === 'above' ? labels.columns : [])]);
}

function listIn(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function tally(items: readonly ImportedPrompt[], field: Optional): Record<string, number> {
  const counts = new Map<string, number>();
  for (const item of items) {
    const name = item[field];
    if (name !== undefined) counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return Object.fromEntries([...counts].sort((a, b) => b[1] - a[1]));
}
