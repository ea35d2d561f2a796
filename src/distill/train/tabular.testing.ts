/**
 * A student with free logits at every prefix, small enough that all its strings can be listed: what
 * an objective's minimiser is can then be seen exactly (METHOD.md §11). It trains on the same loss
 * rows as the engine does, through the f64 references of the kernels.
 */
import { logSoftmaxReference } from '../../kernels/loss/divergence.reference';
import type {
  EngineObjective,
  Example,
  MixturePath,
  TeacherPath,
  TokenPath,
} from '../../engine/types';
import { positionLoss, type PositionTarget } from '../objectives/position';
import type { PlannedExample, PlannedPath } from '../target/paths';
import { Random } from '../statistics/prng';
import type { RefusalTrie } from '../target/target';

type Prefix = readonly number[];

export const keyOf = (prefix: Prefix): string => prefix.join(' ');

/** An autoregressive model over `vocabulary` tokens; strings end in `eos` or at `length` tokens. */
export class TabularModel {
  /** Every complete string; their probabilities sum to 1. */
  readonly strings: number[][] = [];
  private readonly table = new Map<string, Float64Array>();

  /** `logits` gives the first values of a prefix's [vocabulary] logits. */
  constructor(
    readonly vocabulary: number,
    readonly length: number,
    readonly eos: number,
    logits: (prefix: Prefix) => ArrayLike<number>,
  ) {
    const grow = (prefix: number[]) => {
      if (prefix.at(-1) === eos || prefix.length === length) return void this.strings.push(prefix);
      this.table.set(keyOf(prefix), Float64Array.from(logits(prefix)));
      for (let v = 0; v < vocabulary; v++) grow([...prefix, v]);
    };
    grow([]);
  }

  logits(prefix: Prefix): Float64Array {
    return this.table.get(keyOf(prefix))!;
  }

  /** Next-token probabilities after `prefix`. */
  next(prefix: Prefix): Float64Array {
    return logSoftmaxReference(this.logits(prefix)).map(Math.exp);
  }

  /** log-probability of each token of `string`. */
  logProbs(string: Prefix): number[] {
    return string.map((token, t) => logSoftmaxReference(this.logits(string.slice(0, t)))[token]!);
  }

  probability(string: Prefix): number {
    return Math.exp(this.logProbs(string).reduce((a, b) => a + b, 0));
  }

  /** Σ over all strings of probability · f. */
  expect(f: (string: number[]) => number): number {
    return this.strings.reduce((sum, string) => sum + this.probability(string) * f(string), 0);
  }

  clone(): TabularModel {
    return new TabularModel(this.vocabulary, this.length, this.eos, (prefix) =>
      this.logits(prefix),
    );
  }

  /** Draws a string as an engine would. */
  sample(random: Random): number[] {
    const string: number[] = [];
    while (string.length < this.length && string.at(-1) !== this.eos) {
      const p = this.next(string);
      let left = random.next();
      let token = 0;
      while (token < p.length - 1 && left >= p[token]!) left -= p[token++]!;
      string.push(token);
    }
    return string;
  }
}

/** Random logits at every prefix; a larger `spread` makes the model more certain. */
export function randomModel(seed: number, vocabulary: number, length: number, spread = 2) {
  return new TabularModel(vocabulary, length, vocabulary - 1, (prefix) => {
    const random = new Random('tabular', seed, keyOf(prefix));
    return Array.from({ length: vocabulary }, () => spread * (2 * random.next() - 1));
  });
}

/** What the engine's teacher pass gives along `tokens`, but for hidden states. */
export function teacherPath(base: TabularModel, tokens: Prefix): TeacherPath {
  return { logProbs: Float32Array.from(base.logProbs(tokens)), hidden: new Float32Array(0) };
}

/** A planned example of case A with one sampled answer and one refusal. */
export function planned(
  safe: number,
  sample: Prefix,
  refusal: Prefix,
  weights: readonly [number, number] = [safe, 1 - safe],
): PlannedExample {
  const paths: PlannedPath[] = [
    { kind: 'sample', tokens: sample, weight: weights[0] },
    { kind: 'refusal', tokens: refusal, weight: weights[1] },
  ];
  return { index: 0, prompt: [0], safe, paths };
}

/** Coefficients are then the paths' weights themselves. */
export const UNIT = { batchSize: 1, maxNewTokens: 1 } as const;

/** Loss rows by prefix; rows of one prefix with one target join. */
export class TabularRows {
  private readonly rows = new Map<
    string,
    { prefix: Prefix; coef: number; target: PositionTarget }
  >();

  /** Adds an example's rows of a divergence, `weight` times. */
  mixture(example: Example<MixturePath>, base: TabularModel, weight = 1): void {
    for (const { tokens, coef, refusalPosterior, refusalNext } of example.paths) {
      tokens.forEach((_, t) => {
        const prefix = tokens.slice(0, t);
        const { tokens: token, probs: prob } = refusalNext[t]!;
        const w = refusalPosterior[t]!;
        const row = this.row(
          `${keyOf(prefix)}|${w}|${keyOf(token)}|${keyOf(prob)}`,
          prefix,
          () => ({
            kind: 'mixture',
            teacherLogits: base.logits(prefix),
            w,
            rho: { token, prob },
          }),
        );
        row.coef += weight * coef[t]!;
      });
    }
  }

  /** Adds an example's rows of a loss on tokens. */
  tokens(example: Example<TokenPath>, weight = 1): void {
    for (const { tokens, coef, advantage, oldLogProb } of example.paths) {
      tokens.forEach((token, t) => {
        const prefix = tokens.slice(0, t);
        const terms = [advantage[t]!, oldLogProb[t]!] as const;
        const row = this.row(`${keyOf(prefix)}|${token}|${terms.join(' ')}`, prefix, () => ({
          kind: 'token',
          token,
          advantage: terms[0],
          oldLogProb: terms[1],
        }));
        row.coef += weight * coef[t]!;
      });
    }
  }

  /** Loss and its gradient in the student's logits, by prefix. */
  evaluate(student: TabularModel, kernel: EngineObjective): { loss: number; at: LogitGradients } {
    let loss = 0;
    const at: LogitGradients = new Map();
    for (const { prefix, coef, target } of this.rows.values()) {
      const { value, gradient } = positionLoss(kernel, student.logits(prefix), target);
      loss += coef * value;
      const sum = at.get(keyOf(prefix)) ?? new Float64Array(gradient.length);
      at.set(keyOf(prefix), sum);
      gradient.forEach((g, k) => (sum[k]! += coef * g));
    }
    return { loss, at };
  }

  private row(key: string, prefix: Prefix, target: () => PositionTarget) {
    const row = this.rows.get(key) ?? { prefix, coef: 0, target: target() };
    this.rows.set(key, row);
    return row;
  }
}

export type LogitGradients = Map<string, Float64Array>;

/** Adam over all logits of a student. */
export class TabularAdam {
  private readonly moments = new Map<string, [Float64Array, Float64Array]>();
  private updates = 0;

  step(student: TabularModel, gradients: LogitGradients, learningRate: number): void {
    this.updates++;
    const [b1, b2] = [0.9, 0.999];
    for (const [key, g] of gradients) {
      const z = student.logits(key === '' ? [] : key.split(' ').map(Number));
      const [m, v] = this.moments.get(key) ?? [g.map(() => 0), g.map(() => 0)];
      this.moments.set(key, [m, v]);
      for (let k = 0; k < g.length; k++) {
        m[k] = b1 * m[k]! + (1 - b1) * g[k]!;
        v[k] = b2 * v[k]! + (1 - b2) * g[k]! ** 2;
        const up = m[k]! / (1 - b1 ** this.updates);
        z[k]! -= (learningRate * up) / (Math.sqrt(v[k]! / (1 - b2 ** this.updates)) + 1e-12);
      }
    }
  }
}

/** Trains until the cosine of the learning rate has fallen to 0, on rows that do not change. */
export function trainTabular(
  student: TabularModel,
  kernel: EngineObjective,
  options: { steps: number; learningRate: number },
  rows: TabularRows,
): TabularModel {
  const adam = new TabularAdam();
  for (let step = 0; step < options.steps; step++) {
    const decay = 0.5 * (1 + Math.cos((Math.PI * step) / options.steps));
    adam.step(student, rows.evaluate(student, kernel).at, options.learningRate * decay);
  }
  return student;
}

/** Every pair of a base answer and a refusal, with the probability that both are drawn. */
export function* drawnPairs(
  base: TabularModel,
  trie: RefusalTrie,
): Generator<{ sample: number[]; refusal: readonly number[]; weight: number }> {
  for (const sample of base.strings) {
    for (const refusal of trie.strings) {
      yield { sample, refusal, weight: base.probability(sample) / trie.strings.length };
    }
  }
}

/** ½ Σ over all strings of |p − q|. */
export function sequenceTv(
  strings: readonly (readonly number[])[],
  p: (string: readonly number[]) => number,
  q: (string: readonly number[]) => number,
): number {
  return 0.5 * strings.reduce((sum, string) => sum + Math.abs(p(string) - q(string)), 0);
}

/** The mixture s·π + (1 − s)·ρ of case A, over complete strings. */
export function mixtureProbability(base: TabularModel, trie: RefusalTrie, safe: number) {
  const refusals = new Set(trie.strings.map(keyOf));
  return (string: readonly number[]) =>
    safe * base.probability(string) +
    (refusals.has(keyOf(string)) ? (1 - safe) / trie.strings.length : 0);
}
