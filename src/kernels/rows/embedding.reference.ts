/** table [vocabulary, dim], token [rows] → scale · table[token] [rows, dim] in f64. */
export function embeddingReference(
  table: ArrayLike<number>,
  token: ArrayLike<number>,
  dim: number,
  scale = 1,
): Float64Array {
  return Float64Array.from(
    { length: token.length * dim },
    (_, i) => scale * table[token[Math.floor(i / dim)]! * dim + (i % dim)]!,
  );
}
