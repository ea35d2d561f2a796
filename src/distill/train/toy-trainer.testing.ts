/** How the toy student of testing.ts trains: exact f64 gradients through `positionLoss`, and Adam. */
import { adapterLayout } from '../../engine/adapter-shape';
import type {
  AdapterValues,
  StepMetrics,
  StepOptions,
  Teacher,
  TeacherPath,
  TokenExample,
  Tokens,
  TrainExample,
} from '../../engine/types';
import { adamUpdate, clipScale } from './adam';
import type { OptimiserState, PathsOfPrompt, PromptTrainer, TrainerOptions } from '../engine-port';
import { positionLoss, type PositionTarget } from '../objectives/position';
import type { ToyStudent } from '../testing';
import { effectBackward, toyConfig, type ToyAdaptation } from './toy-adapters.testing';
import { TOY_WORDS } from './toy-domain.testing';

const V = TOY_WORDS;

export class ToyTrainer implements PromptTrainer {
  readonly gpuBytes = 0;
  destroyed = false;
  private prompt = new Float32Array(0);
  private optimiser: OptimiserState = emptyState(0);

  constructor(
    private readonly student: ToyStudent,
    private readonly options: TrainerOptions,
  ) {}

  get valuesLength(): number {
    const { adapter, virtualTokens } = this.options;
    return adapter ? adapterLayout(adapter, toyConfig(V)).length : virtualTokens * V;
  }

  setValues(values: Float32Array): void {
    if (values.length !== this.valuesLength) throw new RangeError('wrong shape');
    this.prompt = values.slice();
    this.optimiser = emptyState(values.length);
  }

  private get present(): Float32Array | AdapterValues {
    const { adapter } = this.options;
    return adapter ? { shape: adapter, values: this.prompt } : this.prompt;
  }

  async readValues(): Promise<Float32Array> {
    return this.prompt.slice();
  }

  async readState(): Promise<OptimiserState> {
    return structuredClone(this.optimiser);
  }

  writeState(state: OptimiserState): void {
    this.optimiser = structuredClone(state);
  }

  async teach(examples: readonly PathsOfPrompt[]): Promise<TeacherPath[][]> {
    this.student.taught += examples.length;
    return this.pathsOf(examples, null);
  }

  async along(examples: readonly PathsOfPrompt[]): Promise<TeacherPath[][]> {
    return this.pathsOf(examples, this.present);
  }

  async step(
    examples: readonly TrainExample[],
    teacher: Teacher,
    options: StepOptions,
  ): Promise<StepMetrics> {
    return this.update(this.lossAndGradient(examples, teacher, options.warmUp), options);
  }

  async stepTokens(examples: readonly TokenExample[], options: StepOptions): Promise<StepMetrics> {
    return this.update(this.tokenLossAndGradient(examples, options.warmUp), options);
  }

  async divergence(examples: readonly TrainExample[], teacher: Teacher): Promise<Float32Array[][]> {
    return examples.map((example, i) =>
      example.paths.map(({ tokens }, j) =>
        Float32Array.from(tokens, (_, t) => {
          const target = mixtureTarget(example, teacher[i]![j]!, j, t);
          return this.at(example.prompt, tokens.slice(0, t), target).value;
        }),
      ),
    );
  }

  lossAndGradient(
    examples: readonly TrainExample[],
    teacher: Teacher,
    warmUp = false,
  ): { loss: number; gradient: number[] } {
    const sum = this.zero();
    for (const [i, example] of examples.entries()) {
      for (const [j, { tokens, coef }] of example.paths.entries()) {
        for (let t = 0; t < tokens.length; t++) {
          const target = mixtureTarget(example, teacher[i]![j]!, j, t);
          this.add(sum, example.prompt, tokens.slice(0, t), coef[t]!, target, warmUp);
        }
      }
    }
    return this.spread(sum);
  }

  tokenLossAndGradient(
    examples: readonly TokenExample[],
    warmUp = false,
  ): { loss: number; gradient: number[] } {
    const sum = this.zero();
    for (const { prompt, paths } of examples) {
      for (const { tokens, coef, advantage, oldLogProb } of paths) {
        for (let t = 0; t < tokens.length; t++) {
          const terms = { advantage: advantage[t]!, oldLogProb: oldLogProb[t]! };
          const target: PositionTarget = { kind: 'token', token: tokens[t]!, ...terms };
          this.add(sum, prompt, tokens.slice(0, t), coef[t]!, target, warmUp);
        }
      }
    }
    return this.spread(sum);
  }

  destroy(): void {
    this.destroyed = true;
  }

  private pathsOf(examples: readonly PathsOfPrompt[], adaptation: ToyAdaptation): TeacherPath[][] {
    return examples.map(({ prompt, paths }) =>
      paths.map((path) => {
        const rows = path.map((_, t) => this.student.logits(prompt, path.slice(0, t), adaptation));
        return {
          logProbs: Float32Array.from(path, (token, t) => Math.log(softmax(rows[t]!)[token]!)),
          hidden: Float32Array.from(rows.flat()),
        };
      }),
    );
  }

  private update(
    { loss, gradient }: { loss: number; gradient: number[] },
    { learningRate }: StepOptions,
  ): StepMetrics {
    const norm = Math.hypot(...gradient);
    const scale = clipScale(norm, this.options.clipNorm);
    adamUpdate(
      { values: this.prompt, ...this.optimiser },
      gradient.map((g) => g * scale),
      learningRate,
      ++this.optimiser.updates,
    );
    return { loss, gradientNorm: norm };
  }

  private zero() {
    return { loss: 0, dg: new Array<number>(V).fill(0) };
  }

  private at(prompt: Tokens, prefix: Tokens, target: PositionTarget, warmUp = false) {
    const { objective, warmUp: warming } = this.options;
    const used = warmUp ? warming : objective;
    if (!used) throw new RangeError('This trainer was made without a warm-up.');
    return positionLoss(used, this.student.logits(prompt, prefix, this.present), target);
  }

  private add(
    sum: { loss: number; dg: number[] },
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
  private spread({ loss, dg }: { loss: number; dg: number[] }) {
    return { loss, gradient: effectBackward(this.options.adapter, this.prompt, dg) };
  }
}

/** Without a teacher, where the posterior is 1 and what it says does not count. */
function mixtureTarget(
  { paths }: TrainExample,
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
