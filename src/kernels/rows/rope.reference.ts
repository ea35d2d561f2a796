/** Plain f64 RoPE, straight from the formula in rope.wgsl. */
import type { RopeShape } from './rope';

/** y [rows, H·hd] of x [rows, H·hd]; `inverse` turns back. cos, sin [maxPos, hd/2]. */
export function ropeReference(
  { heads, headDim }: RopeShape,
  x: ArrayLike<number>,
  cos: ArrayLike<number>,
  sin: ArrayLike<number>,
  positions: ArrayLike<number>,
  inverse = false,
): Float64Array {
  const half = headDim / 2;
  const y = new Float64Array(x.length);
  for (let head = 0; head < positions.length * heads; head++) {
    for (let d = 0; d < half; d++) {
      const turn = positions[Math.floor(head / heads)]! * half + d;
      const low = head * headDim + d;
      const s = inverse ? -sin[turn]! : sin[turn]!;
      y[low] = x[low]! * cos[turn]! - x[low + half]! * s;
      y[low + half] = x[low + half]! * cos[turn]! + x[low]! * s;
    }
  }
  return y;
}
