/** Words and numbers as people read them; one place, so that page, table and export agree. */
import { shownInterval } from '../../distill/statistics/statistics';
import type { Interval, Measure } from '../../distill/types';

/** 0.9532 → "95.3 %"; whole values lose the ".0". */
export function percent(value: number, digits = 1): string {
  if (!Number.isFinite(value)) return '–';
  const text = (value * 100).toFixed(digits);
  return `${text.replace(/\.0+$/, '')} %`;
}

/** "95.3 % [93.1, 96.9], n = 512". */
export function measureText(measure: Measure): string {
  if (measure.n === 0) return 'not measured, n = 0';
  return `${percent(measure.value)} ${intervalText(measure)}, n = ${measure.n}`;
}

/** "[93.1, 96.9]" in percent; of a measure over whole intents, where it has repeated ones. */
export function intervalText(measure: Interval | Measure): string {
  const { low, high } = 'n' in measure ? shownInterval(measure) : measure;
  if (!Number.isFinite(low) || !Number.isFinite(high)) return '';
  return `[${(low * 100).toFixed(1)}, ${(high * 100).toFixed(1)}]`;
}

/** 1_234_567 → "1.2 MB". Decimal units, as download dialogs use. */
export function bytes(count: number): string {
  if (!Number.isFinite(count) || count < 0) return '–';
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = count;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** 95 → "1 min 35 s"; 4.2 → "4.2 s". */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds) || seconds < 0) return '–';
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** 1234 → "1,234". */
export function count(value: number): string {
  return value.toLocaleString('en-GB', { maximumFractionDigits: 0 });
}

/** 0.0123 → "0.0123", 3e-7 → "3e-7", 12.345 → "12.35". */
export function compact(value: number): string {
  if (!Number.isFinite(value)) return '–';
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size < 1e-3 || size >= 1e5) return value.toExponential(1).replace('e+', 'e');
  return size < 1 ? String(Number(value.toPrecision(3))) : String(Number(value.toFixed(2)));
}
