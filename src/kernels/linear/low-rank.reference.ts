/** Products with a thin matrix, and the LoRA layer made of them, in f64. Formulas in low-rank.wgsl. */

type Values = ArrayLike<number>;

/** scale · x · Mᵀ, [rows, rank], for x [rows, width] and m [rank, width]. */
export function downReference(x: Values, m: Values, rank: number, scale: number): Float64Array {
  const width = m.length / rank;
  const rows = x.length / width;
  const h = new Float64Array(rows * rank);
  for (let row = 0; row < rows; row++) {
    for (let r = 0; r < rank; r++) {
      let sum = 0;
      for (let c = 0; c < width; c++) sum += x[row * width + c]! * m[r * width + c]!;
      h[row * rank + r] = scale * sum;
    }
  }
  return h;
}

/** y + h · M, [rows, width], for h [rows, rank] and m [rank, width]. */
export function upReference(y: Values, h: Values, m: Values, rank: number): Float64Array {
  const width = m.length / rank;
  return Float64Array.from(y, (value, i) => {
    const row = Math.floor(i / width);
    let sum = value;
    for (let r = 0; r < rank; r++) sum += h[row * rank + r]! * m[r * width + (i % width)]!;
    return sum;
  });
}

/** hᵀ · x, [rank, width], for h [rows, rank] and x [rows, width]. */
export function outerReference(h: Values, x: Values, rank: number): Float64Array {
  const rows = h.length / rank;
  const width = x.length / rows;
  const g = new Float64Array(rank * width);
  for (let row = 0; row < rows; row++) {
    for (let r = 0; r < rank; r++) {
      for (let c = 0; c < width; c++) g[r * width + c]! += h[row * rank + r]! * x[row * width + c]!;
    }
  }
  return g;
}

export interface LoraReference {
  /** [rank, K] and, transposed, [rank, N]. */
  a: Values;
  b: Values;
  rank: number;
  scale: number;
}

/** What LoRA adds to a layer's output: scale · B A x, [rows, N]. */
export function loraReference(x: Values, { a, b, rank, scale }: LoraReference): Float64Array {
  const rows = x.length / (a.length / rank);
  const zero = new Float64Array((rows * b.length) / rank);
  return upReference(zero, downReference(x, a, rank, scale), b, rank);
}

/** Gradients of Σ dy · (scale · B A x) in A, B and x. */
export function loraGradientReference(
  x: Values,
  dy: Values,
  { a, b, rank, scale }: LoraReference,
): { da: Float64Array; db: Float64Array; dx: Float64Array } {
  const h = downReference(x, a, rank, scale);
  const g = downReference(dy, b, rank, scale);
  return {
    da: outerReference(g, x, rank),
    db: outerReference(h, dy, rank),
    dx: upReference(new Float64Array(x.length), g, a, rank),
  };
}
