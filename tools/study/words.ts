/** Numbers and cells of Markdown tables. */
import type { ComparedMetric } from '../../src/distill/evaluation/compare-runs';
import type { Interval } from '../../src/distill/types';

export const METRIC_NAMES: Readonly<Record<ComparedMetric, string>> = {
  safety: 'Safety (judge)',
  guardSafety: 'Safety (guard)',
  overRefusal: 'Over-refusal',
  benignRefusal: 'Refused of benign',
  usefulness: 'Usefulness',
  joint: 'Joint score',
};

/** 0.9532 → "95.3". */
export function points(share: number): string {
  const text = (100 * share).toFixed(1);
  return text === '-0.0' ? '0.0' : text;
}

export function interval({ low, high }: Interval): string {
  return `[${points(low)}, ${points(high)}]`;
}

/** "95.3 [93.1, 96.9]", or a dash. */
export function estimate(of: (Interval & { value: number }) | null): string {
  return of ? `${points(of.value)} ${interval(of)}` : '–';
}

export function pText(p: number): string {
  return p < 0.001 ? '< 0.001' : p.toFixed(3);
}

/** "+1.2" points, with its sign. */
export function signed(share: number): string {
  const text = points(share);
  return share > 0 && text !== '0.0' ? `+${text}` : text.replace('-', '−');
}

export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  // Words to the left, numbers to the right.
  const rule = head.map((_, i) => (i === 0 ? '---' : '--:'));
  return [line(head), line(rule), ...rows.map(line)].join('\n');
}
