import { describe, expect, it } from 'vitest';
import { parseRecipe } from '../../distill/train/recipe';
import type { Measure } from '../../distill/types';
import { toCsv } from './export';
import { facetsOfRecipe } from './facets';
import type { TradeoffPoint } from './tradeoff';

const share = (value: number): Measure => ({ value, low: -0.01, high: 1, n: 40 });

const point: TradeoffPoint = {
  ...{ id: 'run-1', kind: 'adapter', label: '=1+1', detail: 'TV, "n" = 16\r', runId: 'run-1' },
  ...{ seed: -3, commit: '+abc', usefulness: share(1), safety: share(0), answers: [], trail: [] },
  scores: {
    safety: { judge: share(0.5), guard: share(0.25) },
    ...{ overRefusal: share(0), usefulness: share(1), tokenKl: null, wellFormed: share(NaN) },
  },
  series: 0,
  facets: facetsOfRecipe(parseRecipe({ virtualTokens: 8, objective: 'kl' })),
  ...{ experiment: null, strictness: -1, curve: null, share: null, expectedRefusal: null },
};

describe('the chart as CSV', () => {
  const lines = toCsv([point], 'wording').split('\r\n');

  it('has a row for each metric that there is', () => {
    expect(lines[0]).toBe(
      'system,label,detail,set,metric,value,low,high,n,seed,commit,adapter,objective,guard_case,strictness',
    );
    expect(lines.slice(1, -1).map((line) => /wording,([\w.]+),/.exec(line)![1])).toEqual([
      ...['safety.judge', 'safety.guard', 'overRefusal', 'usefulness', 'wellFormed'],
    ]);
    expect(lines.at(-1)).toBe('');
  });

  it('leaves empty what was not measured', () => {
    expect(toCsv([point], 'wording')).not.toContain('NaN');
    expect(lines[5]).toContain('wording,wellFormed,,-0.01,');
  });

  it('has measures by wrapper and category too, under their paths', () => {
    const attackSuccess = { wrapper: { none: share(0.1), pirate: share(0.2) }, category: {} };
    const more = { ...point, scores: { ...point.scores, attackSuccess } };
    const rows = toCsv([more], 'wording').split('\r\n');
    expect(rows.at(-2)).toContain('wording,attackSuccess.wrapper.pirate,0.2,-0.01,1,40,');
  });

  it('keeps numbers as numbers and lets no text become a formula', () => {
    expect(lines[1]).toBe(
      `run-1,'=1+1,"TV, ""n"" = 16\r",wording,safety.judge,0.5,-0.01,1,40,-3,'+abc,soft-prompt8,kl,prompt,-1`,
    );
  });
});
