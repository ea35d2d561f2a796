/** SwiGLU and GeGLU in f64, elementwise. */

const sigmoid = (g: number): number => 1 / (1 + Math.exp(-g));

type Activation = 'silu' | 'gelu-tanh';

/** The activation of the gate and its slope. */
function activate(g: number, activation: Activation): [number, number] {
  if (activation === 'silu') {
    const s = sigmoid(g);
    return [g * s, s + g * s * (1 - s)];
  }
  const root = Math.sqrt(2 / Math.PI);
  const t = Math.tanh(root * (g + 0.044715 * g ** 3));
  return [
    0.5 * g * (1 + t),
    0.5 * (1 + t) + 0.5 * g * (1 - t * t) * root * (1 + 3 * 0.044715 * g * g),
  ];
}

export function swigluReference(
  gate: ArrayLike<number>,
  up: ArrayLike<number>,
  activation: Activation = 'silu',
): Float64Array {
  return Float64Array.from(
    { length: gate.length },
    (_, i) => activate(gate[i]!, activation)[0] * up[i]!,
  );
}

export function swigluGradientReference(
  dh: ArrayLike<number>,
  gate: ArrayLike<number>,
  up: ArrayLike<number>,
  activation: Activation = 'silu',
): { dgate: Float64Array; dup: Float64Array } {
  const dgate = new Float64Array(gate.length);
  const dup = new Float64Array(gate.length);
  for (let i = 0; i < gate.length; i++) {
    const [value, slope] = activate(gate[i]!, activation);
    dgate[i] = dh[i]! * up[i]! * slope;
    dup[i] = dh[i]! * value;
  }
  return { dgate, dup };
}
