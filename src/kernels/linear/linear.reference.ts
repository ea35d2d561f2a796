/** Plain f64 references of the linear kernels. */
export interface LinearReferenceShape {
  rows: number;
  inFeatures: number;
  outFeatures: number;
}

/** y[m, n] = Σ_k x[m, k] · w[n, k] + bias[n]; `w` is [N, K] whatever the layout on the GPU. */
export function linearReference(
  { rows, inFeatures, outFeatures }: LinearReferenceShape,
  x: ArrayLike<number>,
  w: ArrayLike<number>,
  bias?: ArrayLike<number>,
): Float64Array {
  const y = new Float64Array(rows * outFeatures);
  for (let m = 0; m < rows; m++) {
    for (let n = 0; n < outFeatures; n++) {
      let sum = bias ? bias[n]! : 0;
      for (let k = 0; k < inFeatures; k++) sum += x[m * inFeatures + k]! * w[n * inFeatures + k]!;
      y[m * outFeatures + n] = sum;
    }
  }
  return y;
}

/** dx[m, k] = Σ_n dy[m, n] · w[n, k]. */
export function linearGradientReference(
  { rows, inFeatures, outFeatures }: LinearReferenceShape,
  dy: ArrayLike<number>,
  w: ArrayLike<number>,
): Float64Array {
  const dx = new Float64Array(rows * inFeatures);
  for (let m = 0; m < rows; m++) {
    for (let n = 0; n < outFeatures; n++) {
      const d = dy[m * outFeatures + n]!;
      for (let k = 0; k < inFeatures; k++) dx[m * inFeatures + k]! += d * w[n * inFeatures + k]!;
    }
  }
  return dx;
}

/** w[n, k] = (nibble − zero point) · scale of an int4 weight [N, K] (layout: Int4Weight). */
export function dequantise(
  { inFeatures, outFeatures }: Pick<LinearReferenceShape, 'inFeatures' | 'outFeatures'>,
  data: Uint32Array,
  scales: ArrayLike<number>,
  zeroPoints?: Uint8Array,
): Float64Array {
  const blocks = inFeatures / 32;
  const bytesPerRow = Math.ceil(blocks / 2);
  return Float64Array.from({ length: outFeatures * inFeatures }, (_, i) => {
    const n = Math.floor(i / inFeatures);
    const block = Math.floor((i % inFeatures) / 32);
    const nibble = (data[i >> 3]! >>> (4 * (i & 7))) & 15;
    const byte = zeroPoints?.[n * bytesPerRow + (block >> 1)];
    const zero = byte === undefined ? 8 : (byte >> (4 * (block & 1))) & 15;
    return (nibble - zero) * scales[n * blocks + block]!;
  });
}
