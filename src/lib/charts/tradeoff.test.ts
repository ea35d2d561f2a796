import { describe, expect, it } from 'vitest';
import { parseRecipe } from '../../distill/train/recipe';
import type { Evaluation, Measure, Recipe, SystemEvaluation } from '../../distill/types';
import { seededRandom } from '../../formats/random.testing';
import { expectEvenGrowth } from '../../formats/growth.testing';
import { MOST_LABELS, placeLabels } from './labels';
import { pointsOf, seedGroups } from './points';
import {
  describePoint,
  dominatedIds,
  dominates,
  domains,
  experimentKey,
  neighbour,
  staircase,
  type ChartRun,
} from './tradeoff';

const recipe: Recipe = parseRecipe({ steps: 300, learningRate: 0.01 });

function share(value: number, n = 100): Measure {
  return { value, low: Math.max(0, value - 0.05), high: Math.min(1, value + 0.05), n };
}

function system(usefulness: number, safety: number, n = 100): SystemEvaluation {
  return {
    scores: {
      safety: { judge: share(safety, n), guard: share(safety - 0.1, n) },
      overRefusal: share(0.02, n),
      usefulness: share(usefulness, n),
      tokenKl: null,
      wellFormed: share(1, n),
    },
    answers: [],
  };
}

function run(id: string, seed: number, systems: Evaluation['systems'], n = 100): ChartRun {
  return {
    id,
    createdAt: '2026-01-01T00:00:00.000Z',
    recipe: { ...recipe, seed },
    environment: { commit: 'abc1234' },
    probes: [{ step: 10, safety: share(0.4), usefulness: share(0.9) }],
    evaluations: [
      {
        set: 'wording',
        temperature: 1,
        seed: 0,
        maxNewTokens: 48,
        counts: { harmful: n, borderline: n, benign: n },
        systems,
      },
    ],
  };
}

const first = run('r1', 0, { base: system(0.97, 0.2), adapter: system(0.94, 0.93) });
const second = run('r2', 1, {
  base: system(0.96, 0.25, 500),
  guarded: system(0.97, 0.97, 500),
  adapter: system(0.92, 0.95),
});

describe('pointsOf', () => {
  it('keeps one reference a system, from the larger measurement, before the soft prompts', () => {
    const points = pointsOf([first, second], 'wording', 'judge');
    expect(points.map((p) => p.id)).toEqual(['base', 'guarded', 'r1', 'r2']);
    expect(points[0]?.safety).toEqual(share(0.25, 500));
    expect(points.map((p) => p.series)).toEqual([0, 0, 0, 1]);
    expect(points[2]?.trail).toEqual([{ step: 10, usefulness: 0.9, safety: 0.4 }]);
  });

  it('gives every student references of its own, named after it', () => {
    const student = 'hub:o/n@main/q4';
    const other = { ...second, id: 'r3', recipe: { ...recipe, student } };
    const points = pointsOf([first, other], 'wording', 'judge');
    expect(points.map((p) => p.id)).toEqual([
      'base',
      `base:${student}`,
      `guarded:${student}`,
      'r1',
      'r3',
    ]);
    expect(points[1]?.label).toMatch(/, o\/n \(q4\)$/);
    expect(points[0]?.safety).toEqual(share(0.2));
    expect(points.at(-1)?.detail).toMatch(/, on o\/n \(q4\)$/);
  });

  it('takes runs from before there were other guards for repetitions of the bundled one’s', () => {
    const { guard: _, ...early } = recipe;
    expect(experimentKey(early as Recipe)).toBe(experimentKey({ ...recipe, seed: 7 }));
    expect(experimentKey({ ...recipe, guard: 'judge' })).not.toBe(experimentKey(recipe));
  });

  it('measures safety with the scorer that was asked for', () => {
    const [base] = pointsOf([first], 'wording', 'guard');
    expect(base?.safety.value).toBeCloseTo(0.1, 12);
  });

  it('leaves out what was asked no benign question', () => {
    const half = system(NaN, 0.9);
    half.scores.usefulness.n = 0;
    const points = pointsOf(
      [run('r3', 0, { base: half, adapter: system(0.9, 0.9) })],
      'wording',
      'judge',
    );
    expect(points.map((p) => p.id)).toEqual(['r3']);
  });

  it('has no points on a set that nobody measured', () => {
    expect(pointsOf([first], 'intent', 'judge')).toEqual([]);
  });
});

describe('dominance', () => {
  const points = pointsOf([first, second], 'wording', 'judge');

  it('fades what another system beats on both axes', () => {
    expect(dominatedIds(points)).toEqual(new Set(['base', 'r1', 'r2']));
  });

  it('does not let equals dominate each other', () => {
    const twin = points[1];
    expect(twin && dominatedIds([twin, { ...twin, id: 'twin' }]).size).toBe(0);
  });

  it('draws the front as stairs that never overstate', () => {
    const at = (u: number, s: number) => ({ usefulness: { value: u }, safety: { value: s } });
    expect(staircase([at(0.9, 0.5), at(0.5, 0.9), at(0.4, 0.4)])).toEqual([
      [0.5, 0.9],
      [0.5, 0.5],
      [0.9, 0.5],
    ]);
    expect(staircase([])).toEqual([]);
  });
});

describe('domains', () => {
  const points = pointsOf([first, second], 'wording', 'judge');

  it('covers every interval and stays within shares', () => {
    const { x, y } = domains(points, 'fit');
    for (const p of points) {
      expect(x[0]).toBeLessThanOrEqual(p.usefulness.low);
      expect(x[1]).toBeGreaterThanOrEqual(p.usefulness.high);
      expect(y[0]).toBeLessThanOrEqual(p.safety.low);
      expect(y[1]).toBeGreaterThanOrEqual(p.safety.high);
    }
    expect(x[1]).toBe(1);
    expect(x[0]).toBeGreaterThan(0.7);
  });

  it('is the unit square when asked, or without points', () => {
    expect(domains(points, 'whole')).toEqual({ x: [0, 1], y: [0, 1] });
    expect(domains([], 'fit')).toEqual({ x: [0, 1], y: [0, 1] });
  });
});

describe('neighbour', () => {
  const points = pointsOf([first, second], 'wording', 'judge');

  it('visits every point once when one key is held', () => {
    for (const [key, axis] of [
      ['right', 'usefulness'],
      ['up', 'safety'],
    ] as const) {
      let at = [...points].sort((a, b) => a[axis].value - b[axis].value)[0]?.id ?? '';
      const seen = [at];
      for (let i = 0; i < points.length; i++) {
        const next = neighbour(points, at, key);
        if (next !== at) seen.push(next);
        at = next;
      }
      expect(new Set(seen).size).toBe(points.length);
    }
  });

  it('undoes itself and stops at the end', () => {
    expect(neighbour(points, neighbour(points, 'r1', 'up'), 'down')).toBe('r1');
    expect(neighbour(points, 'guarded', 'up')).toBe('guarded');
  });
});

describe('seedGroups', () => {
  it('groups runs that differ only in their seed', () => {
    const points = pointsOf([first, second], 'wording', 'judge');
    const [group] = seedGroups(points);
    expect(group?.ids).toEqual(['r1', 'r2']);
    expect(group?.safety.value).toBeCloseTo(0.94, 12);
    const other = { ...second, recipe: { ...second.recipe, steps: 10 } };
    expect(seedGroups(pointsOf([first, other], 'wording', 'judge'))).toEqual([]);
  });
});

describe('describePoint', () => {
  it('says value, interval and n', () => {
    const [base] = pointsOf([first], 'wording', 'judge');
    expect(base && describePoint(base, true)).toBe(
      'Base model, student pocket. Safety 20 %, between 15 % and 25 %, n 100. ' +
        'Usefulness 97 %, between 92 % and 100 %, n 100. ' +
        'Another system is at least as good on both.',
    );
  });
});

describe('dominance', () => {
  const at = (id: number, usefulness: number, safety: number) => ({
    ...{ id: String(id), usefulness: { value: usefulness }, safety: { value: safety } },
  });

  it('is what comparing all with all finds, ties and twins included', () => {
    const random = seededRandom(4);
    for (let round = 0; round < 200; round++) {
      const points = Array.from({ length: 1 + Math.floor(random() * 40) }, (_, i) =>
        at(i, Math.floor(random() * 6) / 6, Math.floor(random() * 6) / 6),
      );
      if (round % 10 === 0) points.push(at(99, NaN, 0.5));
      const expected = points.filter((b) => points.some((a) => dominates(a, b)));
      expect(dominatedIds(points)).toEqual(new Set(expected.map(({ id }) => id)));
    }
  });

  it('takes twice as long for twice as many', async () => {
    await expectEvenGrowth(10_000, (count) => {
      const points = Array.from({ length: count }, (_, i) =>
        at(i, i / count, ((i * 7919) % count) / count),
      );
      return () => {
        dominatedIds(points);
        staircase(points);
      };
    });
  });
});

describe('placeLabels', () => {
  const frame = { x: 0, y: 0, width: 400, height: 300 };

  it('keeps labels of crowded points apart and inside', () => {
    const anchors = [0, 1, 2, 3].map((i) => ({
      id: String(i),
      x: 370 - i * 6,
      y: 30 + i * 4,
      width: 90,
      height: 18,
    }));
    const labels = placeLabels(anchors, frame);
    for (const [i, a] of labels.entries()) {
      expect(a.x).toBeGreaterThanOrEqual(0);
      expect(a.x + a.width).toBeLessThanOrEqual(400);
      for (const b of labels.slice(i + 1)) {
        const apart =
          a.x + a.width <= b.x ||
          b.x + b.width <= a.x ||
          a.y + a.height <= b.y ||
          b.y + b.height <= a.y;
        expect(apart).toBe(true);
      }
    }
  });

  it('names the first of thousands in a moment, clear of all their marks', () => {
    const many = Array.from({ length: 4000 }, (_, i) => {
      const along = i / 4000;
      return {
        id: String(i),
        x: 20 + 360 * along,
        y: 20 + 260 * along ** 2,
        width: 90,
        height: 18,
      };
    });
    const marks = many.map(({ x, y }) => ({ x: x - 7, y: y - 7, width: 14, height: 14 }));
    const start = performance.now();
    const labels = placeLabels(many, frame, marks);
    // All of them took most of a minute.
    expect(performance.now() - start).toBeLessThan(5000);
    expect(labels.map(({ id }) => id)).toEqual(many.slice(0, MOST_LABELS).map(({ id }) => id));
    const one = placeLabels(many.slice(2000, 2001), frame, marks)[0]!;
    expect(
      marks.every(
        (m) =>
          m.x >= one.x + one.width ||
          m.x + m.width <= one.x ||
          m.y >= one.y + one.height ||
          m.y + m.height <= one.y,
      ),
    ).toBe(true);
  });

  it('takes twice as long for twice the marks', async () => {
    await expectEvenGrowth(1000, (count) => {
      const anchors = Array.from({ length: count }, (_, i) => {
        return { id: `${i}`, x: (i * 37) % 400, y: (i * 53) % 300, width: 60, height: 18 };
      });
      const marks = anchors.map(({ x, y }) => ({ x, y, width: 14, height: 14 }));
      return () => placeLabels(anchors, frame, marks);
    });
  });

  it('needs no leader for a lonely point', () => {
    const [label] = placeLabels([{ id: 'a', x: 200, y: 150, width: 60, height: 18 }], frame);
    expect(label?.leader).toBe(false);
  });
});
