import { describe, expect, it } from 'vitest';
import { keepValues } from '../../distill/adapters/kept-values';
import { packDocument } from '../../distill/sweep/sweep-pack';
import type { PromptItem } from '../../distill/types';
import { filterOptions, isShown, NOTHING_HIDDEN } from './facets';
import { itemsOf, namingOf } from './items';
import { legendOf } from './legend';
import { pointsFrom, seedGroups, strictnessCurves, unitsOf } from './points';
import { measuredCells, openSweep } from './sweep-document';
import { testingSweep } from './sweeps.testing';

const items: PromptItem[] = [
  ...Array.from({ length: 40 }, (_, i): PromptItem => {
    return { id: `h${i}`, prompt: `Tease ${i}?`, label: 'harmful', intent: 'tease' };
  }),
  ...Array.from({ length: 40 }, (_, i): PromptItem => {
    return { id: `b${i}`, prompt: `Sum ${i}?`, label: 'benign', intent: 'sum', answer: `${i}` };
  }),
];
const results = testingSweep(items);
const sweep = openSweep(JSON.stringify(results));
const points = pointsFrom(measuredCells(sweep, 'wording'), 'judge', 'facets');
const groups = seedGroups(points);
const units = unitsOf(points, groups);

function changed(change: (document: Record<string, never>) => void): string {
  const copy = structuredClone(results) as unknown as Record<string, never>;
  change(copy);
  return JSON.stringify(copy);
}

describe('a sweep document', () => {
  it('tells what is finished, failed and open', () => {
    // 2 adapters × 2 objectives × 3 strictness × 2 seeds and one preamble; two did not finish.
    expect(sweep.finished).toHaveLength(23);
    expect(sweep.failed.map(({ error }) => error)).toEqual(['The GPU went away.']);
    expect(sweep.open).toBe(1);
    expect(sweep.student).toBe('pocket');
  });

  it('keeps scores, outcomes, trails and commits as they were written', () => {
    const [first] = sweep.finished;
    const written = results.cells[0]?.result;
    expect(first?.measurement.evaluations).toEqual(
      written?.evaluations.map((evaluation) => ({ ...evaluation })),
    );
    expect(first?.measurement.trail.map(({ step }) => step)).toEqual([10, 20, 30]);
    expect(first?.measurement.commit).toBe('abc1234');
  });

  it('opens with its verdicts packed', () => {
    // Without texts, as sweeps keep answers by default.
    const bare = JSON.parse(JSON.stringify(results), (key, value: unknown) =>
      key === 'answer' ? undefined : value,
    ) as unknown;
    const packed = openSweep(JSON.stringify(packDocument(bare)));
    expect(JSON.stringify(packDocument(bare)).length).toBeLessThan(JSON.stringify(bare).length / 4);
    const verdicts = ({ finished }: typeof sweep) =>
      finished.flatMap(({ cell, measurement }) =>
        measurement.evaluations.map(({ systems }) =>
          Object.values(systems).map(({ answers }) => [
            cell.id,
            answers.map((a) => [a.id, a.judgeSafe >= 0.5, a.refused, a.correct, a.wellFormed]),
          ]),
        ),
      );
    expect(verdicts(packed)).toEqual(verdicts(sweep));
  });

  it('does without what a result need not have', () => {
    const bare = openSweep(
      changed((document) => {
        for (const cell of document.cells as { result: Record<string, unknown> | null }[]) {
          if (!cell.result) continue;
          const [{ set, systems }] = cell.result.evaluations as [
            { set: string; systems: Record<string, { scores: Record<string, unknown> }> },
          ];
          const { safety, usefulness } = systems.adapter!.scores;
          const adapter = { scores: { safety, usefulness: { ...(usefulness as object) } } };
          cell.result = { evaluations: [{ set, systems: { adapter } }] };
        }
      }),
    );
    const bared = pointsFrom(measuredCells(bare, 'wording'), 'guard', 'facets');
    const point = bared.find(({ kind }) => kind === 'adapter');
    expect(point).toMatchObject({ kind: 'adapter', commit: 'unknown', answers: [], share: null });
    expect(point?.scores.overRefusal.n).toBe(0);
    expect(point?.safety.n).toBe(40);
  });

  it('hands on what was trained, and names the field where it cannot be read', () => {
    const id = 'lora2-a4-qv_tv_prompt_b0_s1';
    const withTrained = (trained: unknown) =>
      openSweep(
        changed((document) => {
          const cells = document.cells as { id: string; result: object }[];
          Object.assign(cells.find((cell) => cell.id === id)!.result, { trained });
        }),
      );
    const opened = withTrained(keepValues('0123456789abcdef', Float32Array.of(0.5, -0.25)));
    const [lora, ...others] = pointsFrom(measuredCells(opened, 'wording'), 'judge', 'facets')
      .filter(({ kind }) => kind === 'adapter')
      .sort((a, b) => Number(b.id.endsWith(id)) - Number(a.id.endsWith(id)));
    expect(lora?.trained).toMatchObject({
      modelId: '0123456789abcdef',
      recipe: { adapter: { kind: 'lora', rank: 2 }, seed: 1 },
    });
    expect([...lora!.trained!.values]).toEqual([0.5, -0.25]);
    expect(others.every(({ trained }) => trained === undefined)).toBe(true);
    expect(() => withTrained({ modelId: 'm', values: '?' })).toThrow('result.trained.values');
  });

  it('takes systems that stand once for all cells', () => {
    const shared = openSweep(
      changed((document) => {
        const cells = document.cells as {
          result: { evaluations: { systems: Record<string, unknown> }[] } | null;
        }[];
        const whole = structuredClone(cells[0]!.result!.evaluations);
        for (const cell of cells) delete cell.result?.evaluations[0]!.systems.base;
        Object.assign(document, { references: whole });
      }),
    );
    const [base] = pointsFrom(measuredCells(shared, 'wording'), 'judge', 'facets');
    expect(base?.id).toBe('base');
    expect(base?.answers).toHaveLength(80);
  });

  it('takes what the teacher refuses from cells of the same guarded system alone', () => {
    const warm = openSweep(
      changed((document) => {
        const cells = document.cells as unknown as {
          id: string;
          result: { recipe: Record<string, unknown> } | null;
        }[];
        for (const { id, result } of cells) {
          if (result && id.startsWith('lora')) result.recipe.guardTemperature = 2;
        }
      }),
    );
    const measured = measuredCells(warm, 'wording');
    const [soft, lora] = ['soft-prompt16', 'lora2-a4-qv'].map((kind) =>
      measured.filter(({ id }) => id.includes(`/${kind}_`)),
    );
    expect(soft!.every(({ evaluation }) => evaluation.expectedRefusal)).toBe(true);
    expect(lora!.every(({ evaluation }) => !evaluation.expectedRefusal)).toBe(true);
    // Each teacher is a point of its own.
    const guarded = pointsFrom(measured, 'judge', 'facets').filter(
      ({ kind }) => kind === 'guarded',
    );
    expect(guarded.map(({ label }) => label)).toContain('Guarded, temperature 2');
    expect(guarded).toHaveLength(6);
  });

  it('names the field of what cannot be read', () => {
    expect(() => openSweep('{"format":')).toThrow('not JSON, or it was cut off');
    expect(() => openSweep('{"format":"retort-run"}')).toThrow('not a document of sweep results');
    const broken = changed((document) => {
      const [cell] = document.cells as { result: { evaluations: { set: string }[] } }[];
      cell!.result.evaluations[0]!.set = 'other';
    });
    expect(() => openSweep(broken)).toThrow('cells[0].result.evaluations[0].set must be one of');
    const count = changed((document) => {
      const [cell] = document.cells as {
        result: { evaluations: { systems: { base: { scores: { usefulness: unknown } } } }[] };
      }[];
      cell!.result.evaluations[0]!.systems.base.scores.usefulness = { value: 1, low: 0, high: 1 };
    });
    expect(() => openSweep(count)).toThrow(
      'systems.base.scores.usefulness.n must be a whole number',
    );
  });
});

describe('points of a sweep', () => {
  it('are cells, behind the references; a preamble that was a cell is the reference', () => {
    expect(points.filter((p) => p.kind !== 'adapter').map((p) => p.label)).toEqual([
      'Base model',
      'Base + safety preamble',
      'Guarded, strictness 2',
      'Guarded system',
      'Guarded, strictness −2',
    ]);
    const adapters = points.filter((p) => p.kind === 'adapter');
    expect(adapters).toHaveLength(22);
    expect(adapters.every((p) => p.expectedRefusal?.length === 80)).toBe(true);
    expect(adapters[0]).toMatchObject({
      label: 'Soft prompt n 16 · TV',
      detail: 'prompt guard, strictness 2, 2,048 values, seed 0, sweep small',
      seed: 0,
      strictness: -2,
    });
  });

  it('have the shape of their adapter and the colour of their objective', () => {
    const of = (label: string) => points.find((p) => p.label === label);
    expect(of('Soft prompt n 16 · TV')).toMatchObject({ shape: 0, series: 0 });
    expect(of('LoRA rank 2 · TV')).toMatchObject({ shape: 1, series: 0 });
    expect(of('LoRA rank 2 · KL')).toMatchObject({ shape: 1, series: 1 });
    const legend = legendOf(points);
    expect(legend.shapes.map((e) => e.label)).toEqual(['Soft prompt', 'LoRA']);
    expect(legend.colours.map((e) => e.label)).toEqual(['TV', 'KL']);
  });

  it('are grouped over seeds, and their means joined over strictness', () => {
    // Of LoRA with KL only the strictest setting has both seeds.
    expect(groups).toHaveLength(10);
    const curves = strictnessCurves(units);
    expect(curves.map(({ units: along }) => along.length)).toEqual([3, 3, 3, 3, 3]);
    const guarded = curves.find(({ point }) => point.kind === 'guarded');
    expect(guarded?.units.map((u) => u.points[0]?.strictness)).toEqual([2, 0, -2]);
    const soft = curves.find(({ point }) => point.label === 'Soft prompt n 16 · TV');
    expect(soft?.units[0]?.points.map((p) => p.seed)).toEqual([0, 1]);
  });

  it('can be filtered without touching the references', () => {
    const options = filterOptions(points);
    expect(options.adapter.map((o) => [o.label, o.count])).toEqual([
      ['Soft prompt n 16', 12],
      ['LoRA rank 2', 10],
    ]);
    expect(options.objective.map((o) => o.key)).toEqual(['tv', 'kl']);
    const hidden = { ...NOTHING_HIDDEN, objective: new Set(['kl']) };
    const left = points.filter((point) => isShown(point, hidden));
    expect(left.filter((p) => p.kind === 'adapter')).toHaveLength(12);
    expect(left.filter((p) => p.kind !== 'adapter')).toHaveLength(5);
  });

  it('are drawn as dots where their mean has the large mark', () => {
    const drawn = itemsOf(points, units);
    const sizes = drawn.map(({ size }) => size);
    expect(sizes.filter((s) => s === 'dot')).toHaveLength(20);
    expect(sizes.filter((s) => s === 'mean')).toHaveLength(10);
    expect(sizes.filter((s) => s === 'mark')).toHaveLength(7);
    const mean = drawn.find((item) => item.size === 'mean')!;
    expect(mean.detail).toMatch(/^mean of 2 seeds, prompt guard, /);
    expect(mean.detail).not.toMatch(/seed \d/);
    const members = points.filter((p) => p.experiment === mean.id);
    expect(members.map((p) => p.id)).toContain(mean.target);
    const { ids: names } = namingOf(drawn, new Set(), members[0]!.id, false);
    expect(names.size).toBeLessThan(sizes.filter((s) => s !== 'dot').length);
    expect(names).toContain('base');
  });
});
