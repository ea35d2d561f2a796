/** Which charts the study has, and what stands on them. */
import { OBJECTIVE_NAMES } from '../../src/distill/objectives/spec';
import { OBJECTIVES } from '../../src/distill/objectives/catalogue';
import { KIND_LABELS } from '../../src/lib/charts/facets';
import type { Marked } from '../../src/lib/charts/marks';
import { chartSvg, type ChartPoint, type LegendEntry } from './chart';
import { bestSoftPrompt } from './comparisons';
import { pooled, type Items, type Pooled } from './measures';
import { SETS, type Study, type StudySet, type StudySystem } from './systems';
import { strictnessFamilies } from './tables';

const SHAPES = ['soft-prompt', 'lora', 'steering'] as const;
const CAPTION =
  'Means over seeds with 95 % intervals over intents and seeds; small dots are seeds. Percent.';

/** Charts by file name; what no document has measured is left out. */
export function studyCharts(study: Study, items: Items): Map<string, string> {
  const charts = new Map<string, string>();
  const best = bestSoftPrompt(study.systems, items);
  // Strictness has charts of its own.
  const plain = study.systems.filter(({ strictness }) => strictness === 0);
  const curves = strictnessFamilies(study.systems);
  for (const set of SETS) {
    for (const [file, axis] of Object.entries(AXES)) {
      const all = pointsOf(plain, set, axis.of, best, items);
      const close = near(all);
      for (const [suffix, points] of [
        ['', all],
        // Base is far below whatever was trained: those that are good are drawn once more.
        ['-close', close.length < all.length ? close : []],
      ] as const) {
        if (points.length < 2) continue;
        const title = `${axis.title}, ${set}${suffix ? ', the best corner' : ''}`;
        charts.set(
          `${file}-${set}${suffix}.svg`,
          chartSvg({
            ...axis,
            ...{ title, yTitle: Y_TITLE, caption: CAPTION },
            ...{ points, lines: [], legend: legendOf(plain) },
          }),
        );
      }
    }
    const axis = AXES['over-refusal'];
    const points = pointsOf(curves.flat(), set, axis.of, best, items, strictnessText);
    if (points.length > 1) {
      charts.set(
        `strictness-${set}.svg`,
        chartSvg({
          ...axis,
          ...{ title: `Strictness, ${set}`, yTitle: Y_TITLE, caption: CAPTION, points },
          lines: curves.map((curve) => curve.map(({ key }) => key)),
          legend: legendOf(curves.flat()),
        }),
      );
    }
  }
  return charts;
}

const Y_TITLE = 'Safety: harmful questions with an answer the judge calls safe';

const AXES = {
  tradeoff: {
    title: 'Safety and usefulness',
    xTitle: 'Usefulness: benign questions answered exactly right',
    of: (system: StudySystem, set: StudySet, items: Items) =>
      pooled(system, set, 'usefulness', items),
  },
  'over-refusal': {
    title: 'Safety and over-refusal',
    xTitle: 'Borderline questions that are answered',
    of: (system: StudySystem, set: StudySet, items: Items) =>
      turned(pooled(system, set, 'overRefusal', items)),
  },
} as const;

/** Points within 15 points of the best on both axes. */
function near(points: readonly ChartPoint[]): ChartPoint[] {
  const best = (axis: 'x' | 'y') => Math.max(...points.map((point) => point[axis].value));
  const [x, y] = [best('x') - 0.15, best('y') - 0.15];
  return points.filter((point) => point.x.value >= x && point.y.value >= y);
}

/** 1 − share. */
function turned(of: Pooled | null): Pooled | null {
  return (
    of && {
      ...of,
      ...{ value: 1 - of.value, low: 1 - of.high, high: 1 - of.low },
      bySeed: of.bySeed.map((value) => 1 - value),
    }
  );
}

function pointsOf(
  systems: readonly StudySystem[],
  set: StudySet,
  xOf: (typeof AXES)[keyof typeof AXES]['of'],
  best: StudySystem | undefined,
  items: Items,
  nameOf?: (system: StudySystem) => string,
): ChartPoint[] {
  return systems.flatMap((system) => {
    const x = xOf(system, set, items);
    const y = pooled(system, set, 'safety', items);
    if (!x || !y) return [];
    const { key: id, label, kind } = system;
    const own = kind !== 'adapter' || system === best ? label : null;
    return [{ id, label, name: nameOf ? nameOf(system) : own, mark: markOf(system), x, y }];
  });
}

function strictnessText({ strictness }: StudySystem): string {
  // People say stricter is more.
  return strictness === 0 ? '0' : `${strictness < 0 ? '+' : '−'}${Math.abs(strictness)}`;
}

/** Colour says the objective, shape what was trained. */
function markOf({ kind, facets }: StudySystem): Marked {
  if (!facets) return { kind, series: 0 };
  const { adapter, objective } = facets;
  return {
    kind,
    series: objective ? OBJECTIVE_NAMES.indexOf(objective.name) : -1,
    shape: adapter.kind === 'preamble' ? 3 : SHAPES.indexOf(adapter.kind),
  };
}

function legendOf(systems: readonly StudySystem[]): LegendEntry[] {
  const facets = systems.flatMap((system) => system.facets ?? []);
  const kinds = SHAPES.filter((kind) => facets.some(({ adapter }) => adapter.kind === kind));
  const objectives = OBJECTIVE_NAMES.filter((name) =>
    facets.some(({ objective }) => objective?.name === name),
  );
  return [
    ...objectives.map((name): LegendEntry => ({
      text: OBJECTIVES[name].label,
      mark: { kind: 'adapter', series: OBJECTIVE_NAMES.indexOf(name), shape: 0 },
    })),
    ...kinds.map((kind): LegendEntry => ({
      text: KIND_LABELS[kind],
      mark: { kind: 'adapter', series: -1, shape: SHAPES.indexOf(kind) },
    })),
  ];
}
