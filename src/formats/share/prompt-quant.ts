/**
 * The quantisation that a share link carries: each row of a soft prompt as levels −7 to 7 times a
 * half-precision scale. Quantising what it gave changes nothing, so a prompt that was trained and
 * scored through it is shared exactly. The kernel `fake-quant` gives the same bits on the GPU.
 */
import { float16ToFloat32, float32ToFloat16, roundHalfEven } from '../float16';

export interface QuantisedRows {
  /** Half-precision bits of each row's scale, [n]: the nearest half to max |v| / 7. */
  scales: Uint16Array;
  /** −7 to 7, [n, d]. */
  levels: Int8Array;
}

export const MAX_LEVEL = 7;
/** A product rounds alike on every device; WGSL's division need not. */
const SEVENTH = Math.fround(1 / MAX_LEVEL);

/**
 * Quantises `values` [n, d]. Throws RangeError where a value is not finite or a row's largest is
 * beyond 7 · 65504.
 */
export function quantiseRows(values: Float32Array, n: number, d: number): QuantisedRows {
  if (values.length !== n * d) {
    throw new RangeError(`${values.length} values are no ${n} rows of ${d}.`);
  }
  const targets = new Float32Array(n);
  for (let row = 0; row < n; row++) {
    let largest = 0;
    for (const value of values.subarray(row * d, row * d + d)) {
      if (!Number.isFinite(value)) throw new RangeError(`Row ${row} holds ${value}.`);
      largest = Math.max(largest, Math.abs(value));
    }
    targets[row] = largest * SEVENTH;
  }
  const scales = float32ToFloat16(targets);
  const steps = float16ToFloat32(scales);
  const levels = new Int8Array(n * d);
  for (let row = 0; row < n; row++) {
    const step = steps[row]!;
    if (!Number.isFinite(step)) throw new RangeError(`Row ${row} is too large to quantise.`);
    // A row of zeros, or one too small for a half, is all zeros.
    if (step === 0) continue;
    for (let i = row * d; i < row * d + d; i++) {
      const level = roundHalfEven(values[i]! / step);
      levels[i] = Math.max(-MAX_LEVEL, Math.min(MAX_LEVEL, level));
    }
  }
  return { scales, levels };
}

/** level · scale, [n, d] with n = scales.length; exact in float32. */
export function dequantiseRows({ scales, levels }: QuantisedRows): Float32Array {
  const steps = float16ToFloat32(scales);
  const d = levels.length / Math.max(1, scales.length);
  // Adding 0 turns −0 into 0: a link has one zero.
  return Float32Array.from(levels, (level, i) => level * steps[Math.floor(i / d)]! + 0);
}
