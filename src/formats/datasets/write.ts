/**
 * Prompts and figures as CSV and JSONL. A spreadsheet takes a cell that starts with = + - @, a tab
 * or a line end for a formula, and formulas can send what is beside them elsewhere; such texts get
 * an apostrophe in front, as do those that already have one there, so that reading takes off just
 * what writing put on. Numbers stay numbers. JSONL needs none of that: every line starts with {.
 */
import type { ImportedPrompt } from './types';

const FORMULA = /^'*[=+\-@\t\r\n]/;

/** `text` as a spreadsheet shows it and does not run it. */
export function neutraliseFormula(text: string): string {
  return FORMULA.test(text) ? `'${text}` : text;
}

/** What {@link neutraliseFormula} was given. */
export function restoreFormula(text: string): string {
  return text.startsWith("'") && FORMULA.test(text) ? text.slice(1) : text;
}

export type CsvValue = string | number | boolean | null | undefined;

function cell(value: CsvValue): string {
  // A figure that was not measured is no number; n says so.
  if (value === null || value === undefined || Number.isNaN(value)) return '';
  const text = typeof value === 'string' ? neutraliseFormula(value) : String(value);
  return /[",;\t|\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Rows of equal length as RFC 4180 CSV, CRLF after each; texts cannot become formulas. */
export function writeCsv(rows: readonly (readonly CsvValue[])[]): string {
  return rows.map((row) => row.map(cell).join(',') + '\r\n').join('');
}

const NEEDED = ['id', 'prompt', 'label', 'intent'] as const;
const FIELDS = [
  ...NEEDED,
  'category',
  'style',
  'wrapper',
  'answer',
  'accepted',
  'form',
  'pair',
] as const;

/** A header and one row a prompt; a field that no prompt has has no column. */
export function promptsToCsv(items: readonly ImportedPrompt[]): string {
  const used = FIELDS.filter(
    (field) =>
      NEEDED.some((needed) => needed === field) || items.some((item) => item[field] !== undefined),
  );
  return writeCsv([used, ...items.map((item) => used.map((field) => csvValue(item[field])))]);
}

/** A list as JSON: what a text of a list is read back from. */
function csvValue(value: string | readonly string[] | undefined): CsvValue {
  return typeof value === 'object' ? JSON.stringify(value) : value;
}

/** One JSON object a line. Line separators inside texts are escaped: some tools break lines there. */
export function promptsToJsonl(items: readonly ImportedPrompt[]): string {
  return items
    .map((item) => {
      const fields = FIELDS.filter((field) => item[field] !== undefined);
      const line = JSON.stringify(Object.fromEntries(fields.map((field) => [field, item[field]])));
      return line.replace(/[\u0085\u2028\u2029]/g, escape) + '\n';
    })
    .join('');
}

const escape = (sign: string) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, '0')}`;
