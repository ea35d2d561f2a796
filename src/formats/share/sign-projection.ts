/**
 * Small forms of a soft prompt, for links (METHOD.md §10, derived): P = E + s·A·R with E the start
 * that the seed gives, A [rows, inner] trained, and R ∈ {±1} [inner, columns] from an integer hash of
 * the seed, so that only A, s and the seed travel.
 *
 * - `rows`: A [n, r], columns = dim. Each vector moves in one random r-dimensional subspace.
 * - `global`: A = θ [1, m], columns = n·dim, so vec(P) = vec(E) + s·Rᵀθ.
 *
 * Signs are 32-bit integer arithmetic, which is the same everywhere. Sums run over `inner` in order,
 * in float64, and are rounded to float32 once: the same bits in every JavaScript engine.
 */

export interface SignProjection {
  /** 32 bits. */
  seed: number;
  rows: number;
  inner: number;
  columns: number;
  /** s. */
  scale: number;
}

/** Largest R that is worth walking through: a second or two. */
export const MAX_SIGNS = 2 ** 30;

/**
 * The projection of an n×dim prompt with `size` values a row, or in all. Its s makes a unit of A a
 * unit of P in the mean square.
 * @throws RangeError for sizes that are not whole and positive, or too large together
 */
export function promptProjection(
  form: 'rows' | 'global',
  { n, dim, size, seed }: { n: number; dim: number; size: number; seed: number },
): SignProjection {
  for (const [name, value] of Object.entries({ n, dim, size })) {
    if (!Number.isInteger(value) || value < 1) throw new RangeError(`${name} is ${value}.`);
  }
  const [rows, columns] = form === 'rows' ? [n, dim] : [1, n * dim];
  if (size * columns > MAX_SIGNS) {
    throw new RangeError(`${size} × ${columns} signs are more than ${MAX_SIGNS}.`);
  }
  return { seed, rows, inner: size, columns, scale: Math.fround(1 / Math.sqrt(size)) };
}

/** The finaliser of MurmurHash3. */
function mix(word: number): number {
  let h = word | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

/**
 * Signs of 32 neighbouring columns of one line of R: bit b is column 32·block + b, 1 is −1.
 * All arithmetic is modulo 2³², as in WGSL's u32.
 */
export function signWord(seed: number, line: number, block: number): number {
  return mix(mix(mix(seed + 0x9e3779b9) ^ line) ^ block) >>> 0;
}

/** P = E + s·A·R, [rows, columns], from `start` E [rows, columns] and `values` A [rows, inner]. */
export function project(
  projection: SignProjection,
  start: Float32Array,
  values: ArrayLike<number>,
): Float32Array {
  const { rows, inner, columns, scale } = projection;
  check(start.length, rows * columns, 'start');
  check(values.length, rows * inner, 'trained');
  const sums = new Float64Array(rows * columns);
  walk(projection, (line, column, sign) => {
    for (let row = 0; row < rows; row++) {
      sums[row * columns + column]! += sign * values[row * inner + line]!;
    }
  });
  return start.map((value, i) => value + scale * sums[i]!);
}

/** dA = s·dP·Rᵀ, [rows, inner], from dP [rows, columns]. */
export function projectBackward(
  projection: SignProjection,
  gradient: ArrayLike<number>,
): Float64Array {
  const { rows, inner, columns, scale } = projection;
  check(gradient.length, rows * columns, 'gradient');
  const result = new Float64Array(rows * inner);
  walk(projection, (line, column, sign) => {
    for (let row = 0; row < rows; row++) {
      result[row * inner + line]! += sign * gradient[row * columns + column]!;
    }
  });
  return result.map((value) => scale * value);
}

function walk(
  { seed, inner, columns }: SignProjection,
  visit: (line: number, column: number, sign: 1 | -1) => void,
): void {
  for (let line = 0; line < inner; line++) {
    for (let first = 0; first < columns; first += 32) {
      const word = signWord(seed, line, first / 32);
      const end = Math.min(columns, first + 32);
      for (let column = first; column < end; column++) {
        visit(line, column, ((word >>> (column - first)) & 1) === 0 ? 1 : -1);
      }
    }
  }
}

function check(length: number, expected: number, what: string): void {
  if (length !== expected) {
    throw new RangeError(`A projection needs ${expected} ${what} values, not ${length}.`);
  }
}
