/** IEEE 754 half precision, bit patterns to values; exact. */
export function float16ToFloat32(bits: Uint16Array): Float32Array {
  const values = new Float32Array(bits.length);
  const words = new Uint32Array(values.buffer);
  for (let i = 0; i < bits.length; i++) {
    const half = bits[i]!;
    const sign = (half & 0x8000) << 16;
    const exponent = (half >> 10) & 0x1f;
    const mantissa = half & 0x3ff;
    if (exponent === 0) {
      // Subnormal halves are normal floats: mantissa · 2⁻²⁴.
      values[i] = mantissa * 2 ** -24;
      words[i] = (words[i]! | sign) >>> 0;
    } else {
      const wide = exponent === 31 ? 0xff : exponent + 112;
      words[i] = (sign | (wide << 23) | (mantissa << 13)) >>> 0;
    }
  }
  return values;
}

/** Nearest half, ties to even; beyond 65504 infinity, as IEEE 754 says. */
export function float32ToFloat16(values: Float32Array): Uint16Array {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  return Uint16Array.from(words, (word) => {
    const sign = (word >>> 16) & 0x8000;
    const magnitude = word & 0x7fffffff;
    if (magnitude > 0x7f800000) return sign | 0x7e00;
    // From 65520 on, the nearest half is infinity.
    if (magnitude >= 0x477ff000) return sign | 0x7c00;
    if (magnitude < 0x38800000) {
      // Subnormal: count steps of 2⁻²⁴. The product is exact in a double.
      const exponent = magnitude >>> 23;
      const value =
        exponent === 0 ? 0 : (1 + (magnitude & 0x7fffff) / 2 ** 23) * 2 ** (exponent - 127);
      return sign | roundHalfEven(value * 2 ** 24);
    }
    const odd = (magnitude >>> 13) & 1;
    return sign | ((magnitude - 0x38000000 + 0xfff + odd) >>> 13);
  });
}

/** The nearest whole number, ties to even, as WGSL's `round`. */
export function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return rest < 0.5 ? floor : floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
}
