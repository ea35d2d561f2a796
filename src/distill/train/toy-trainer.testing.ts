/** How the toy student of testing.ts trains: exact f64 gradients through `positionLoss`, and Adam. */
import { trainableSize } from '../../engine/trainable/shape';
import type {
  AdapterValues,
  Batch,
  DivergenceBatch,
  Example,
  Gradient,
  MixturePath,
  OptimiserState,
  StepMetrics,
  StepOptions,
  TeacherPath,
  TokenBatch,
  Tokens,
  TrainerOptions,
} from '../../engine/types';
import { adamUpdate, clipScale } from './adam';
import type { StudentTrainer } from '../engine-port';
import { positionLoss, type PositionTarget } from '../objectives/position';
import { effectBackward, toyConfig, type ToyAdaptation } from './toy-adapters.testing';
import { TOY_WORDS } from './toy-domain.testing';

const V = TOY_WORDS;

/** Loss so far, and its gradient in g. */
interface ToySum {
  loss: number;
  dg: number[];
}

/** What the trainer asks of the student of testing.ts. */
export interface ToyModel {
  teach(examples: readonly Example[]): Promise<TeacherPath[][]>;
  logits(prompt: Tokens, prefix: Tokens, adaptation: ToyAdaptation): number[];
  /** ∂z_v/∂g_d at a prefix. */
  features(topic: number, prefix: Tokens): (d: number, v: number) => number;
  topicOf(prompt: Tokens): number;
}

export class ToyTrainer implements StudentTrainer {
  readonly gpuBytes = 0;
  destroyed = false;
  private prompt = new Float32Array(0);
  private optimiser: OptimiserState = emptyState(0);

  constructor(
    private readonly student: ToyModel,
    private readonly options: TrainerOptions,
  ) {}

  get valuesLength(): number {
    return trainableSize(this.options.trainable, toyConfig(V)).length;
  }

  setValues(values: Float32Array): void {
    if (values.length !== this.valuesLength) throw new RangeError('wrong shape');
    this.prompt = values.slice();
    this.optimiser = emptyState(values.length);
  }

  private get present(): Float32Array | AdapterValues {
    const { trainable: shape } = this.options;
    return shape.kind === 'soft-prompt' ? this.prompt : { shape, values: this.prompt };
  }

  async readValues(): Promise<Float32Array> {
    return this.prompt.slice();
  }

  async readState(): Promise<OptimiserState & { values: Float32Array }> {
    return structuredClone({ ...this.optimiser, values: this.prompt });
  }

  writeState(state: OptimiserState): void {
    this.optimiser = structuredClone(state);
  }

  async teach(examples: readonly Example[]): Promise<TeacherPath[][]> {
    return this.student.teach(examples);
  }

  async along(examples: readonly Example[]): Promise<TeacherPath[][]> {
    return pathsOf(this.student, examples, this.present);
  }

  async step(batch: Batch, options: StepOptions): Promise<StepMetrics> {
    const { loss, gradient } = this.lossAndGradient(batch, options.warmUp);
    const norm = Math.hypot(...gradient);
    const scale = clipScale(norm, this.options.clipNorm);
    adamUpdate(
      { values: this.prompt, ...this.optimiser },
      gradient.map((g) => g * scale),
      options.learningRate,
      ++this.optimiser.updates,
    );
    return { loss, gradientNorm: norm };
  }

  async gradient(batch: Batch, { warmUp = false } = {}): Promise<Gradient> {
    const { loss, gradient } = this.lossAndGradient(batch, warmUp);
    return { loss, gradientNorm: Math.hypot(...gradient), gradient: Float32Array.from(gradient) };
  }

  lossAndGradient(batch: Batch, warmUp = false): { loss: number; gradient: number[] } {
    const { family } = this.options.objective;
    if (batch.family !== family) throw new RangeError(`This trainer is for ${family} losses.`);
    const sum = this.zero();
    if (batch.family === 'token') this.addTokens(sum, batch.examples, warmUp);
    else this.addMixtures(sum, batch, warmUp);
    return this.spread(sum);
  }

  private addMixtures(sum: ToySum, { examples, teacher }: DivergenceBatch, warmUp: boolean): void {
    for (const [i, example] of examples.entries()) {
      for (const [j, { tokens, coef }] of example.paths.entries()) {
        for (let t = 0; t < tokens.length; t++) {
          const target = mixtureTarget(example, teacher[i]![j]!, j, t);
          this.add(sum, example.prompt, tokens.slice(0, t), coef[t]!, target, warmUp);
        }
      }
    }
  }

  private addTokens(sum: ToySum, examples: TokenBatch['examples'], warmUp: boolean): void {
    for (const { prompt, paths } of examples) {
      for (const { tokens, coef, advantage, oldLogProb } of paths) {
        for (let t = 0; t < tokens.length; t++) {
          const terms = { advantage: advantage[t]!, oldLogProb: oldLogProb[t]! };
          const target: PositionTarget = { kind: 'token', token: tokens[t]!, ...terms };
          this.add(sum, prompt, tokens.slice(0, t), coef[t]!, target, warmUp);
        }
      }
    }
  }

  destroy(): void {
    this.destroyed = true;
  }

  private zero(): ToySum {
    return { loss: 0, dg: new Array<number>(V).fill(0) };
  }

  private at(prompt: Tokens, prefix: Tokens, target: PositionTarget, warmUp = false) {
    const { objective, warmUp: warming } = this.options;
    const used = warmUp ? warming : objective;
    if (!used) throw new RangeError('This trainer was made without a warm-up.');
    return positionLoss(used, this.student.logits(prompt, prefix, this.present), target);
  }

  private add(
    sum: ToySum,
    prompt: Tokens,
    prefix: Tokens,
    coef: number,
    target: PositionTarget,
    warmUp: boolean,
  ): void {
    const { value, gradient } = this.at(prompt, prefix, target, warmUp);
    sum.loss += coef * value;
    const features = this.student.features(this.student.topicOf(prompt), prefix);
    for (let d = 0; d < V; d++) {
      for (let v = 0; v < V; v++) sum.dg[d]! += coef * gradient[v]! * features(d, v);
    }
  }

  /** From the gradient of g to that of the values. */
  private spread({ loss, dg }: ToySum) {
    return { loss, gradient: effectBackward(this.options.trainable, this.prompt, dg) };
  }
}

/** What the student says along paths; hidden states of a toy are its logits. */
export function pathsOf(
  student: Pick<ToyModel, 'logits'>,
  examples: readonly Example[],
  adaptation: ToyAdaptation,
): TeacherPath[][] {
  return examples.map(({ prompt, paths }) =>
    paths.map((path) => {
      const rows = path.map((_, t) => student.logits(prompt, path.slice(0, t), adaptation));
      return {
        logProbs: Float32Array.from(path, (token, t) => Math.log(softmax(rows[t]!)[token]!)),
        hidden: Float32Array.from(rows.flat()),
      };
    }),
  );
}

/** Without a teacher, where the posterior is 1 and what it says does not count. */
export function mixtureTarget(
  { paths }: Example<MixturePath>,
  teacher: TeacherPath | null,
  j: number,
  t: number,
): PositionTarget {
  const { refusalPosterior, refusalNext } = paths[j]!;
  const w = refusalPosterior[t]!;
  if (!teacher && w < 1) throw new RangeError('This target needs its teacher.');
  return {
    kind: 'mixture',
    teacherLogits: teacher ? teacher.hidden.subarray(t * V, (t + 1) * V) : new Float32Array(V),
    w,
    rho: { token: refusalNext[t]!.tokens, prob: refusalNext[t]!.probs },
  };
}

function emptyState(length: number): OptimiserState {
  return { first: new Float32Array(length), second: new Float32Array(length), updates: 0 };
}

export function softmax(z: readonly number[]): number[] {
  const top = Math.max(...z);
  const e = z.map((value) => Math.exp(value - top));
  const sum = e.reduce((a, b) => a + b, 0);
  return e.map((value) => value / sum);
}
