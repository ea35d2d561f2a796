import { describe, expect, it } from 'vitest';
import { bytes, compact, duration, intervalText, measureText, percent } from './format';

describe('format', () => {
  it('prints shares with their interval and n', () => {
    expect(measureText({ value: 0.953, low: 0.931, high: 0.968, n: 512 })).toBe(
      '95.3 % [93.1, 96.8], n = 512',
    );
    expect(percent(1)).toBe('100 %');
    expect(percent(0.1 + 0.2, 0)).toBe('30 %');
  });

  it('says nothing of a share that was never measured', () => {
    const none = { value: NaN, low: NaN, high: NaN, n: 0 };
    expect(measureText(none)).toBe('not measured, n = 0');
    expect(percent(none.value)).toBe('–');
    expect(intervalText(none)).toBe('');
  });

  it('prints sizes in the units of download dialogs', () => {
    expect(bytes(0)).toBe('0 B');
    expect(bytes(999)).toBe('999 B');
    expect(bytes(1464)).toBe('1.5 kB');
    expect(bytes(31_000_000)).toBe('31.0 MB');
    expect(bytes(231_000_000)).toBe('231 MB');
  });

  it('prints durations as people say them', () => {
    expect(duration(4.2)).toBe('4.2 s');
    expect(duration(201.3)).toBe('3 min 21 s');
    expect(duration(3700)).toBe('1 h 1 min');
    expect(duration(NaN)).toBe('–');
  });

  it('keeps small numbers readable', () => {
    expect(compact(0)).toBe('0');
    expect(compact(0.0145)).toBe('0.0145');
    expect(compact(3e-7)).toBe('3.0e-7');
    expect(compact(12.345)).toBe('12.35');
  });
});
