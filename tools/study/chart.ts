/**
 * Charts of the study as SVG texts that need nothing else: colours of both themes in a style of
 * their own, the reader's fonts. Marks, axis ranges and label places are the trade-off page's.
 */
import { scaleLinear } from 'd3-scale';
import { placeLabels, type Box } from '../../src/lib/charts/labels';
import { isHollow, markColour, markPath, type Marked } from '../../src/lib/charts/marks';
import { domains } from '../../src/lib/charts/tradeoff';
import type { Measure } from '../../src/distill/types';
import type { Pooled } from './measures';
import { points as percent } from './words';

export interface ChartPoint {
  id: string;
  /** Written beside the mark where it is given, in the legend elsewhere. */
  name: string | null;
  /** In full, for whoever points at it or has it read. */
  label: string;
  mark: Marked;
  x: Pooled;
  y: Pooled;
}

export interface LegendEntry {
  text: string;
  mark: Marked;
}

export interface ChartSpec {
  title: string;
  xTitle: string;
  yTitle: string;
  caption: string;
  points: readonly ChartPoint[];
  /** Ids of points in the order in which a line joins them. */
  lines: readonly (readonly string[])[];
  legend: readonly LegendEntry[];
}

const WIDTH = 860;
const HEIGHT = 600;
const FRAME: Box = { x: 58, y: 56, width: 560, height: 456 };
const FONT = 13;

/** The page's colours by name, [light, dark]; an SVG in a document cannot read the page's. */
export const COLOURS: Readonly<Record<string, readonly [string, string]>> = {
  sheet: ['#fffefb', '#161e1c'],
  line: ['#d8d5c9', '#2b3634'],
  ink: ['#16211f', '#e9eeea'],
  'ink-soft': ['#4a5653', '#a9b6b1'],
  'data-base': ['#000000', '#f2f2f2'],
  'data-preamble': ['#0072b2', '#56b4e9'],
  'data-guarded': ['#009e73', '#009e73'],
  'data-adapter': ['#d55e00', '#e8762d'],
  'data-run-2': ['#cc79a7', '#cc79a7'],
  'data-run-3': ['#e69f00', '#e69f00'],
  'data-run-4': ['#56b4e9', '#f0e442'],
  'data-run-5': ['#0072b2', '#56b4e9'],
};

export function chartSvg(spec: ChartSpec): string {
  const { points, lines, legend } = spec;
  const ranges = domains(
    points.map(({ x, y }) => ({ usefulness: asMeasure(x), safety: asMeasure(y) })),
    'fit',
  );
  const x = scaleLinear(ranges.x, [FRAME.x, FRAME.x + FRAME.width]);
  const y = scaleLinear(ranges.y, [FRAME.y + FRAME.height, FRAME.y]);
  const at = new Map(points.map((point) => [point.id, [x(point.x.value), y(point.y.value)]]));
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" role="img" font-size="${FONT}" font-family="system-ui, sans-serif">`,
    `<title>${escaped(spec.title)}</title>`,
    `<style>${styles()}</style>`,
    `<rect class="f-sheet" width="${WIDTH}" height="${HEIGHT}"/>`,
    ...x.ticks(6).map((tick) => {
      const px = round(x(tick));
      const line = `<path class="s-line" d="M${px} ${FRAME.y}v${FRAME.height}"/>`;
      return `${line}<text class="f-ink-soft" x="${px}" y="${FRAME.y + FRAME.height + 18}" text-anchor="middle">${percentTick(tick)}</text>`;
    }),
    ...y.ticks(6).map((tick) => {
      const py = round(y(tick));
      const line = `<path class="s-line" d="M${FRAME.x} ${py}h${FRAME.width}"/>`;
      return `${line}<text class="f-ink-soft" x="${FRAME.x - 8}" y="${round(y(tick) + 4)}" text-anchor="end">${percentTick(tick)}</text>`;
    }),
    `<text class="f-ink" x="12" y="24" font-weight="600">${escaped(spec.title)}</text>`,
    `<text class="f-ink-soft" x="12" y="44">↑ ${escaped(spec.yTitle)}</text>`,
    `<text class="f-ink-soft" x="${FRAME.x + FRAME.width}" y="${FRAME.y + FRAME.height + 40}" text-anchor="end">${escaped(spec.xTitle)} →</text>`,
    `<text class="f-ink-soft" x="12" y="${HEIGHT - 12}" font-size="11">${escaped(spec.caption)}</text>`,
    ...lines.map((ids) => {
      const corners = ids.flatMap((id) => at.get(id) ?? []).map(round);
      const [first] = points.filter(({ id }) => id === ids[0]);
      return `<polyline class="s-${colour(first!.mark)}" fill="none" stroke-width="1.5" opacity="0.7" points="${corners.join(' ')}"/>`;
    }),
    ...points.map((point) => drawn(point, x, y)),
    ...labels(points, at),
    ...legend.map(({ text, mark }, i) => {
      const top = FRAME.y + 10 + i * 22;
      const left = FRAME.x + FRAME.width + 26;
      return `${symbol(mark, left, top)}<text class="f-ink" x="${left + 14}" y="${top + 4}">${escaped(text)}</text>`;
    }),
    '</svg>',
  ];
  return `${parts.join('\n')}\n`;
}

type Scale = (value: number) => number;

function drawn({ label, mark, x: px, y: py }: ChartPoint, x: Scale, y: Scale): string {
  const [cx, cy] = [x(px.value), y(py.value)];
  const title = `${label}: ${percent(py.value)} up, ${percent(px.value)} to the right`;
  const cross = [
    `M${round(x(px.low))} ${round(cy)}H${round(x(px.high))}`,
    `M${round(cx)} ${round(y(py.low))}V${round(y(py.high))}`,
  ].join('');
  const seeds =
    px.bySeed.length > 1 && px.bySeed.length === py.bySeed.length
      ? px.bySeed.map((value, s) => {
          const [sx, sy] = [round(x(value)), round(y(py.bySeed[s]!))];
          return `<circle class="f-${colour(mark)}" cx="${sx}" cy="${sy}" r="1.8" opacity="0.6"/>`;
        })
      : [];
  return [
    `<g><title>${escaped(title)}</title>`,
    `<path class="s-${colour(mark)}" d="${cross}" opacity="0.45"/>`,
    ...seeds,
    symbol(mark, cx, cy),
    '</g>',
  ].join('');
}

function symbol(mark: Marked, cx: number, cy: number): string {
  const kind = isHollow(mark) ? `f-sheet s-${colour(mark)}` : `f-${colour(mark)} s-sheet`;
  const path = markPath(mark, 110).replace(/-?\d+\.\d+(e-?\d+)?/g, (text) => round(Number(text)));
  return `<path class="${kind}" transform="translate(${round(cx)} ${round(cy)})" d="${path}"/>`;
}

function labels(
  points: readonly ChartPoint[],
  at: ReadonlyMap<string, readonly number[]>,
): string[] {
  const names = new Map(points.flatMap(({ id, name }) => (name ? [[id, name] as const] : [])));
  const anchors = [...names].map(([id, name]) => {
    const [cx, cy] = at.get(id)!;
    return { id, x: cx!, y: cy!, width: name.length * FONT * 0.55 + 6, height: FONT + 4 };
  });
  const marks = [...at.values()].map(([cx, cy]): Box => {
    return { x: cx! - 7, y: cy! - 7, width: 14, height: 14 };
  });
  return placeLabels(anchors, FRAME, marks).map(({ id, x, y, width, leader }) => {
    const [cx, cy] = at.get(id)!;
    const line = leader
      ? `<path class="s-ink-soft" opacity="0.5" d="M${round(cx!)} ${round(cy!)}L${round(x + width / 2)} ${round(y + FONT / 2)}"/>`
      : '';
    return `${line}<text class="f-ink halo" x="${round(x + 3)}" y="${round(y + FONT)}">${escaped(names.get(id)!)}</text>`;
  });
}

function colour(mark: Marked): string {
  return markColour(mark).replace(/^var\(--(.*)\)$/, '$1');
}

function styles(): string {
  const theme = (of: 0 | 1) => {
    const classes = Object.entries(COLOURS).map(
      ([name, { [of]: value }]) => `.f-${name}{fill:${value}}.s-${name}{stroke:${value}}`,
    );
    return `${classes.join('')}.halo{stroke:${COLOURS.sheet![of]};stroke-width:3;paint-order:stroke}`;
  };
  return `${theme(0)}@media (prefers-color-scheme:dark){${theme(1)}}`;
}

function asMeasure({ value, low, high, prompts }: Pooled): Measure {
  return { value, low, high, n: prompts };
}

function percentTick(tick: number): string {
  return `${Math.round(100 * tick)} %`;
}

/** One decimal is a tenth of a pixel; "-0" is 0. */
function round(value: number): string {
  return String(Math.round(value * 10) / 10 + 0);
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
