/** Places the labels of chart points so that they cover neither each other nor the points. */

export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface Anchor {
  id: string;
  /** Centre of the mark in pixels. */
  x: number;
  y: number;
  /** Size of the label in pixels. */
  width: number;
  height: number;
}

export interface PlacedLabel extends Box {
  id: string;
  /** The label stands far enough away to need a line to its mark. */
  leader: boolean;
}

function overlap(a: Box, b: Box): number {
  const w = Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x);
  const h = Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y);
  return w > 0 && h > 0 ? w * h : 0;
}

function outside(box: Box, frame: Box): number {
  return box.width * box.height - overlap(box, frame);
}

/** Eight directions, at growing distances from the mark. */
const DIRECTIONS: readonly (readonly [number, number])[] = [
  [-1, 0],
  [1, 0],
  [-1, 1],
  [1, 1],
  [-1, -1],
  [1, -1],
  [0, 1],
  [0, -1],
];
const DISTANCES = [14, 26, 44, 66, 90, 120];

const FARTHEST = Math.max(...DISTANCES);
/** More names than that cover a chart of any size; each costs as many trials as there are places. */
export const MOST_LABELS = 60;

/**
 * Greedy: anchors in order, each takes the cheapest of its candidate places. Cost is the area
 * that covers marks, labels placed before, other obstacles or the outside, then distance. Only the
 * first {@link MOST_LABELS} anchors get a label.
 */
export function placeLabels(
  anchors: readonly Anchor[],
  frame: Box,
  obstacles: readonly Box[] = [],
): PlacedLabel[] {
  const named = anchors.slice(0, MOST_LABELS);
  const marks: Box[] = named.map(({ x, y }) => ({ x: x - 9, y: y - 9, width: 18, height: 18 }));
  const placed: PlacedLabel[] = [];
  for (const anchor of named) {
    const near = reach(anchor);
    const [covering, besides] = [[...marks, ...placed], obstacles].map((boxes) =>
      boxes.filter((box) => overlap(box, near) > 0),
    );
    const area = (boxes: readonly Box[], box: Box) =>
      boxes.reduce((sum, other) => sum + overlap(box, other), 0);
    let best: PlacedLabel | null = null;
    let bestCost = Infinity;
    for (const distance of DISTANCES) {
      for (const direction of DIRECTIONS) {
        const box = boxAt(anchor, distance, direction);
        const aside = outside(box, frame) * 40 + distance * 2;
        if (aside >= bestCost) continue;
        const cost = (area(covering!, box) + area(besides!, box) * 0.5) * 10 + aside;
        if (cost < bestCost) {
          bestCost = cost;
          best = { ...box, id: anchor.id, leader: distance > 26 };
        }
      }
    }
    if (best) placed.push(best);
  }
  return placed;
}

function boxAt(anchor: Anchor, distance: number, [dx, dy]: readonly [number, number]): Box {
  const scale = dx !== 0 && dy !== 0 ? Math.SQRT1_2 : 1;
  const cx = anchor.x + dx * distance * scale;
  const cy = anchor.y + dy * distance * scale;
  return {
    x: dx < 0 ? cx - anchor.width : dx > 0 ? cx : cx - anchor.width / 2,
    y: dy < 0 ? cy - anchor.height : dy > 0 ? cy : cy - anchor.height / 2,
    width: anchor.width,
    height: anchor.height,
  };
}

/** What holds every place of a label. */
function reach({ x, y, width, height }: Anchor): Box {
  return {
    x: x - FARTHEST - width,
    y: y - FARTHEST - height,
    width: 2 * (FARTHEST + width),
    height: 2 * (FARTHEST + height),
  };
}
