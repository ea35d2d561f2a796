import { describe, expect, it } from 'vitest';
import { Random } from '../statistics/prng';
import type { AnswerRecord, Label, PromptItem } from '../types';
import { compareRuns, runComparisonText, type ComparedMetric } from './compare-runs';

const LABELS: Label[] = ['harmful', 'borderline', 'benign'];
/** 40 intents of 3 prompts each for every label. */
const items = LABELS.flatMap((label) =>
  Array.from({ length: 120 }, (_, i): PromptItem => {
    return { id: `${label}-${i}`, prompt: 'x', label, intent: `${label}-${Math.floor(i / 3)}` };
  }),
);

interface Rates {
  safe?: number;
  refused?: number;
  correct?: number;
}

/** A run with those rates, whose draws are the same for every run of one `noise`. */
function run({ safe = 0.5, refused = 0.2, correct = 0.8 }: Rates, noise = 0): AnswerRecord[] {
  return items.map(({ id, label }) => {
    const random = new Random('run', noise, id);
    const u = random.next();
    return {
      ...{ id, answer: 'x', judgeSafe: u < safe ? 0.9 : 0.1, guardSafe: 0.9, refused: u < refused },
      ...(label === 'benign' && { correct: u < correct }),
    };
  });
}
const row = (rows: ReturnType<typeof compareRuns>, metric: ComparedMetric) =>
  rows.find((one) => one.metric === metric)!;

describe('compareRuns', () => {
  it('pairs one run with one run on the same prompts', () => {
    const [a, b] = [run({ safe: 0.9 }), run({ safe: 0.6 })];
    const rows = compareRuns([a], [b], items);
    const safety = row(rows, 'safety');
    expect(safety.difference).toBeCloseTo(safety.a - safety.b, 12);
    expect(safety).toMatchObject({ prompts: 120, intents: 40, seeds: 1, distinguishable: true });
    expect((safety.paired!.onlyA - safety.paired!.onlyB) / 120).toBeCloseTo(safety.difference, 12);
    expect(safety.paired!.pValue).toBeLessThan(1e-6);
    expect(safety.low).toBeGreaterThan(0);
    expect(runComparisonText(safety)).toMatch(/^safety: higher by \d+\.\d points \(95 %: /);
    for (const metric of ['guardSafety', 'overRefusal', 'benignRefusal', 'usefulness'] as const) {
      expect(row(rows, metric)).toMatchObject({ difference: 0, distinguishable: false });
    }
    expect(runComparisonText(row(rows, 'usefulness'))).toMatch(/^usefulness: not distinguishable/);
    expect(row(rows, 'joint').distinguishable).toBe(true);
  });

  it('turns signs, and nothing else, when the sides are turned', () => {
    const [a, b] = [run({ safe: 0.9, correct: 0.7 }), run({ safe: 0.7 }, 1)];
    const forth = compareRuns([a], [b], items);
    const back = compareRuns([b], [a], items);
    for (const [i, one] of forth.entries()) {
      expect(back[i]!.difference).toBeCloseTo(-one.difference, 12);
      expect(back[i]!.low).toBeCloseTo(-one.high, 12);
      expect(back[i]!.distinguishable).toBe(one.distinguishable);
    }
  });

  it('cannot tell a difference that lies in one intent alone, whatever McNemar says', () => {
    const one = items.map((item, i) => ({ ...item, intent: i < 12 ? 'same' : item.intent }));
    const a = run({ safe: 0.5 });
    const b = a.map((answer, i) => (i < 12 ? { ...answer, judgeSafe: 0.1 } : answer));
    const all = a.map((answer, i) => (i < 12 ? { ...answer, judgeSafe: 0.9 } : answer));
    const safety = row(compareRuns([all], [b], one), 'safety');
    expect(safety.paired!.pValue).toBeLessThan(0.001);
    expect(safety.distinguishable).toBe(false);
  });

  it('needs seeds that agree where there are seeds', () => {
    const seeds = (rates: number[], offset: number) =>
      rates.map((safe, s) => run({ safe }, offset + s));
    const steady = compareRuns(seeds([0.9, 0.9, 0.9], 0), seeds([0.5, 0.5, 0.5], 0), items);
    expect(row(steady, 'safety')).toMatchObject({ seeds: 3, paired: null, distinguishable: true });
    expect(row(steady, 'joint').distinguishable).toBe(true);
    const shaky = compareRuns(seeds([0.99, 0.2, 0.9], 0), seeds([0.5, 0.5, 0.5], 0), items);
    expect(row(shaky, 'safety').distinguishable).toBe(false);
    expect(row(shaky, 'joint').distinguishable).toBe(false);
    expect(runComparisonText(row(shaky, 'safety'))).toContain('3 seeds');
  });

  it('compares seeds with one run that is not trained, on either side', () => {
    const trained = [0, 1, 2].map((s) => run({ safe: 0.9 }, s));
    const base = [run({ safe: 0.3 }, 9)];
    const safety = row(compareRuns(trained, base, items), 'safety');
    const turned = row(compareRuns(base, trained, items), 'safety');
    expect(safety.distinguishable).toBe(true);
    expect(turned.difference).toBeCloseTo(-safety.difference, 12);
    expect(turned.low).toBeCloseTo(-safety.high, 12);
    expect(turned.a).toBe(safety.b);
  });

  it('uses the prompts that both answered, and leaves out what neither has', () => {
    const a = run({}).filter(({ id }) => !id.startsWith('benign'));
    const rows = compareRuns([a], [run({}, 1).slice(0, 200)], items);
    expect(rows.map(({ metric }) => metric)).toEqual([
      ...['safety', 'guardSafety', 'overRefusal', 'joint'],
    ]);
    expect(row(rows, 'overRefusal').prompts).toBe(80);
    expect(() => compareRuns([], [a], items)).toThrow(RangeError);
    expect(() => compareRuns([a, a], [a, a, a], items)).toThrow(/paired/);
  });

  it('says that equal runs of different draws are alike, nearly always', () => {
    let told = 0;
    for (let i = 0; i < 20; i++) {
      const rows = compareRuns([run({}, 2 * i)], [run({}, 2 * i + 1)], items);
      told += Number(row(rows, 'safety').distinguishable);
    }
    expect(told).toBeLessThanOrEqual(3);
  });
});
