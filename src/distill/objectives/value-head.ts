/**
 * PPO's value head (METHOD.md §4.7): V = w·h + b on the student's final hidden states, which are
 * detached, so that it trains without a pass through the student. Closed forms in f64, with Adam;
 * at most a few thousand numbers, so it stays on the CPU.
 */
import { adamUpdate } from '../train/adam';

/** Weights, [dim], and bias. */
export interface ValueHead {
  weight: Float64Array;
  bias: number;
}

export interface ValueSample {
  /** Final hidden state of a position, [dim]. */
  hidden: ArrayLike<number>;
  /** A + V at sampling, see `generalisedAdvantages`. */
  return: number;
  /** V at sampling. */
  oldValue: number;
}

/** A head that says 0 everywhere: the first advantages are then plain returns. */
export function zeroValueHead(dim: number): ValueHead {
  return { weight: new Float64Array(dim), bias: 0 };
}

export function valueOf({ weight, bias }: ValueHead, hidden: ArrayLike<number>): number {
  let value = bias;
  for (let i = 0; i < weight.length; i++) value += weight[i]! * hidden[i]!;
  return value;
}

/**
 * Mean over samples of ½·max((V − R)², (clip(V, V_old ± ε) − R)²), and its gradient. Where the
 * clipped value is the worse one, moving V changes nothing: no gradient.
 */
export function valueLoss(
  head: ValueHead,
  samples: readonly ValueSample[],
  clip: number,
): { loss: number; gradient: ValueHead } {
  const gradient = zeroValueHead(head.weight.length);
  let loss = 0;
  for (const { hidden, return: target, oldValue } of samples) {
    const value = valueOf(head, hidden);
    const held = Math.min(Math.max(value, oldValue - clip), oldValue + clip);
    const free = (value - target) ** 2;
    const clipped = (held - target) ** 2;
    loss += Math.max(free, clipped) / (2 * samples.length);
    if (clipped > free) continue;
    const slope = (value - target) / samples.length;
    for (let i = 0; i < gradient.weight.length; i++) gradient.weight[i]! += slope * hidden[i]!;
    gradient.bias += slope;
  }
  return { loss, gradient };
}

/** Adam on a value head; plain data, so that a checkpoint can carry it. */
export interface ValueState {
  head: ValueHead;
  first: ValueHead;
  second: ValueHead;
  updates: number;
}

export function startValue(dim: number): ValueState {
  return {
    head: zeroValueHead(dim),
    first: zeroValueHead(dim),
    second: zeroValueHead(dim),
    updates: 0,
  };
}

/** One update in place. */
export function updateValue(state: ValueState, gradient: ValueHead, learningRate: number): void {
  state.updates++;
  const { head, first, second, updates } = state;
  const weights = { values: head.weight, first: first.weight, second: second.weight };
  adamUpdate(weights, gradient.weight, learningRate, updates);
  const bias = {
    values: Float64Array.of(head.bias),
    first: Float64Array.of(first.bias),
    second: Float64Array.of(second.bias),
  };
  adamUpdate(bias, [gradient.bias], learningRate, updates);
  head.bias = bias.values[0]!;
  first.bias = bias.first[0]!;
  second.bias = bias.second[0]!;
}
