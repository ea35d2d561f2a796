/** SwiGLU in f64, elementwise. */

const sigmoid = (g: number): number => 1 / (1 + Math.exp(-g));

export function swigluReference(gate: ArrayLike<number>, up: ArrayLike<number>): Float64Array {
  return Float64Array.from({ length: gate.length }, (_, i) => {
    const g = gate[i]!;
    return g * sigmoid(g) * up[i]!;
  });
}

export function swigluGradientReference(
  dh: ArrayLike<number>,
  gate: ArrayLike<number>,
  up: ArrayLike<number>,
): { dgate: Float64Array; dup: Float64Array } {
  const dgate = new Float64Array(gate.length);
  const dup = new Float64Array(gate.length);
  for (let i = 0; i < gate.length; i++) {
    const g = gate[i]!;
    const s = sigmoid(g);
    dgate[i] = dh[i]! * up[i]! * (s + g * s * (1 - s));
    dup[i] = dh[i]! * g * s;
  }
  return { dgate, dup };
}
