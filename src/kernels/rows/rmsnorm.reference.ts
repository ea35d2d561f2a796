/** RMSNorm in f64. */

/** x [rows, dim], weight [dim] → y [rows, dim]. */
export function rmsNormReference(
  x: ArrayLike<number>,
  weight: ArrayLike<number>,
  dim: number,
  eps: number,
): Float64Array {
  const y = new Float64Array(x.length);
  for (let base = 0; base < x.length; base += dim) {
    let squares = 0;
    for (let i = 0; i < dim; i++) squares += x[base + i]! ** 2;
    const scale = 1 / Math.sqrt(squares / dim + eps);
    for (let i = 0; i < dim; i++) y[base + i] = x[base + i]! * scale * weight[i]!;
  }
  return y;
}

/** x, dy [rows, dim] → dx [rows, dim]. */
export function rmsNormGradientReference(
  x: ArrayLike<number>,
  weight: ArrayLike<number>,
  dy: ArrayLike<number>,
  dim: number,
  eps: number,
): Float64Array {
  const dx = new Float64Array(x.length);
  for (let base = 0; base < x.length; base += dim) {
    let squares = 0;
    let products = 0;
    for (let i = 0; i < dim; i++) {
      squares += x[base + i]! ** 2;
      products += x[base + i]! * weight[i]! * dy[base + i]!;
    }
    const scale = 1 / Math.sqrt(squares / dim + eps);
    for (let i = 0; i < dim; i++) {
      dx[base + i] =
        scale * weight[i]! * dy[base + i]! - (x[base + i]! * scale ** 3 * products) / dim;
    }
  }
  return dx;
}
