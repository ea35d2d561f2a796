/** The chart as a file: CSV of its numbers, SVG and PNG of its picture. */
import type { Measure } from '../../distill/types';
import { type CsvValue, writeCsv } from '../../formats/datasets/write';
import { filterKey, FILTERS } from './facets';
import type { RatedPoint } from './items';
import type { TradeoffPoint } from './tradeoff';

/** One row a system and metric: value, 95 % interval and n, with what it takes to repeat it. */
export function toCsv(
  points: readonly TradeoffPoint[],
  set: string,
  humans: readonly RatedPoint[] = [],
): string {
  const rows: CsvValue[][] = [
    [
      ...['system', 'label', 'detail', 'set', 'metric', 'value', 'low', 'high', 'n', 'seed'],
      ...['commit', 'adapter', 'objective', 'guard_case', 'strictness'],
    ],
  ];
  for (const point of points) {
    const { facets } = point;
    const human = humans.find((rated) => rated.point.id === point.id)?.score;
    const said = human ? { human } : {};
    for (const [metric, { value, low, high, n }] of measuresIn({ ...point.scores, ...said })) {
      rows.push([
        point.id,
        point.label,
        point.detail,
        set,
        metric,
        value,
        low,
        high,
        n,
        point.seed,
        point.commit,
        ...(facets ? FILTERS.map((filter) => filterKey(facets, filter)) : ['', '', '']),
        point.strictness,
      ]);
    }
  }
  return writeCsv(rows);
}

/** Every measure with its path: `safety.judge`, `attackSuccess.wrapper.pirate`. */
function* measuresIn(value: object, path = ''): Iterable<[string, Measure]> {
  for (const [name, entry] of Object.entries(value) as [string, unknown][]) {
    if (typeof entry !== 'object' || entry === null || Array.isArray(entry)) continue;
    if ('value' in entry && 'n' in entry) yield [path + name, entry as Measure];
    else yield* measuresIn(entry, `${path}${name}.`);
  }
}

/** What CSS decides on the page and an exported picture must carry itself. */
const STYLES = [
  'fill',
  'stroke',
  'stroke-width',
  'stroke-dasharray',
  'stroke-linejoin',
  'stroke-opacity',
  'opacity',
  'visibility',
  'font-family',
  'font-size',
  'font-weight',
  'paint-order',
] as const;

/** A stand-alone SVG text of the drawn chart, colours as they are on screen. */
export function toSvgText(svg: SVGSVGElement): string {
  const copy = svg.cloneNode(true) as SVGSVGElement;
  const originals = [svg, ...svg.querySelectorAll<SVGElement>('*')];
  const copies = [copy, ...copy.querySelectorAll<SVGElement>('*')];
  for (const [i, original] of originals.entries()) {
    const target = copies[i];
    if (!target) continue;
    const computed = getComputedStyle(original);
    for (const name of STYLES) target.setAttribute(name, computed.getPropertyValue(name));
    for (const name of ['class', 'tabindex', 'role', 'aria-pressed', 'style'])
      target.removeAttribute(name);
  }
  const { width, height } = svg.viewBox.baseVal;
  const background = document.createElementNS('http://www.w3.org/2000/svg', 'rect');
  background.setAttribute('width', String(width));
  background.setAttribute('height', String(height));
  background.setAttribute('fill', getComputedStyle(document.body).backgroundColor);
  copy.prepend(background);
  copy.setAttribute('xmlns', 'http://www.w3.org/2000/svg');
  copy.setAttribute('width', String(width));
  copy.setAttribute('height', String(height));
  return new XMLSerializer().serializeToString(copy);
}

/** The same picture as PNG, at twice its size. Throws where the browser cannot draw it. */
export async function toPng(svg: SVGSVGElement, scale = 2): Promise<Blob> {
  const url = URL.createObjectURL(new Blob([toSvgText(svg)], { type: 'image/svg+xml' }));
  try {
    const image = new Image();
    image.src = url;
    await image.decode();
    const canvas = document.createElement('canvas');
    canvas.width = svg.viewBox.baseVal.width * scale;
    canvas.height = svg.viewBox.baseVal.height * scale;
    canvas.getContext('2d')?.drawImage(image, 0, 0, canvas.width, canvas.height);
    const blob = await new Promise<Blob | null>((done) => canvas.toBlob(done, 'image/png'));
    if (!blob)
      throw new Error('This browser could not turn the chart into a PNG. Use SVG instead.');
    return blob;
  } finally {
    URL.revokeObjectURL(url);
  }
}

export function download(name: string, content: Blob): void {
  const url = URL.createObjectURL(content);
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  // Some browsers read the address only after the click has returned.
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
