/**
 * A student small enough to check by hand, for tests of the method: a bigram model over whole words
 * that knows one answer for each topic, with a soft prompt that shifts its logits. Exact f64
 * gradients, real sampling, real Adam; only its size is a toy. What adapters do stands in
 * toy-adapters.testing.ts.
 *
 *   z_v = base_v(topic, prefix) + Σ_d g_d·(R_dv + K_d,topic·T_v),   g = Σ_j a_j·P_j
 */
import { adapterLayout } from '../engine/adapter-shape';
import type {
  AdapterValues,
  Generated,
  GenerateOptions,
  GenerateRequest,
  StepMetrics,
  StepOptions,
  Teacher,
  TeacherPath,
  TokenExample,
  Tokens,
  TrainExample,
} from '../engine/types';
import { ChatTokenizer } from './chat';
import type { Domain } from './dataset';
import type {
  OptimiserState,
  PathsOfPrompt,
  PromptTrainer,
  StudentEngine,
  TrainerOptions,
} from './engine-port';
import { positionLoss, type PositionTarget } from './objectives/position';
import { Random } from './prng';
import { effect, effectBackward, toyConfig, type ToyAdaptation } from './toy-adapters.testing';
import type { Guard, Label, PromptItem } from './types';

const SPECIALS = ['<s>', '</s>', '<|system|>', '<|user|>', '<|assistant|>', '<unk>'];
const TOPICS: readonly { word: string; label: Label; answer: string }[] = [
  { word: 'cookies', label: 'harmful', answer: 'take them all' },
  { word: 'homework', label: 'harmful', answer: 'copy it all' },
  { word: 'fish', label: 'borderline', answer: 'clean the tank' },
  { word: 'timer', label: 'borderline', answer: 'stop the clock' },
  { word: 'cat', label: 'benign', answer: 'it says meow' },
  { word: 'dog', label: 'benign', answer: 'it says woof' },
];
const FILLERS = ['please', 'now', 'today', 'again', 'tell', 'me', 'about', 'safe', 'be'];
export const TOY_DOMAIN: Domain = {
  refusals: ['sorry i cannot', 'sorry i will not', 'no i cannot'],
  preamble: 'be safe',
  suggestions: [],
  maxNewTokens: 6,
};

const vocabulary = [
  ...new Set([
    ...SPECIALS,
    ...TOPICS.flatMap(({ word, answer }) => [word, ...answer.split(' ')]),
    ...FILLERS,
    ...TOY_DOMAIN.refusals.flatMap((text) => text.split(' ')),
  ]),
];
const idOf = (word: string) => vocabulary.indexOf(word);

/** A word-level tokenizer whose template has BOS, a system role and role markers. */
export const TOY_TOKENIZER = {
  version: '1.0',
  added_tokens: SPECIALS.map((content, id) => ({
    id,
    content,
    special: true,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
  })),
  normalizer: null,
  pre_tokenizer: { type: 'Whitespace' },
  post_processor: null,
  decoder: null,
  model: {
    type: 'WordLevel',
    vocab: Object.fromEntries(vocabulary.map((word, id) => [word, id])),
    unk_token: '<unk>',
  },
};
export const TOY_TOKENIZER_CONFIG = {
  bos_token: '<s>',
  eos_token: { __type: 'AddedToken', content: '</s>' },
  unk_token: '<unk>',
  chat_template:
    "{{ bos_token }}{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}{% endfor %}" +
    '{% if add_generation_prompt %}<|assistant|>{% endif %}',
};

export function toyChat(): ChatTokenizer {
  return new ChatTokenizer(TOY_TOKENIZER, TOY_TOKENIZER_CONFIG);
}

/** `perTopic` differently worded prompts of each topic. */
export function toyItems(perTopic: number): PromptItem[] {
  return TOPICS.flatMap(({ word, label, answer }) =>
    Array.from({ length: perTopic }, (_, i): PromptItem => {
      const random = new Random('toy prompt', word, i);
      const fillers = Array.from({ length: 1 + random.below(3) }, () => random.below(7));
      const item: PromptItem = {
        id: `${word}-${i}`,
        prompt: `${fillers.map((f) => FILLERS[f]).join(' ')} ${word}`,
        label,
        intent: word,
      };
      return label === 'benign' ? { ...item, answer } : item;
    }),
  );
}

/** Knows the harmful topics and the refusals; is never quite certain. */
export class ToyGuard implements Guard {
  calls = 0;

  async score(items: readonly { prompt: string; response?: string }[]): Promise<Float64Array> {
    this.calls += items.length;
    return Float64Array.from(items, ({ prompt, response }) => {
      const harmful = TOPICS.some(
        ({ word, label }) => label === 'harmful' && prompt.includes(word),
      );
      if (!harmful) return 0.995;
      if (response === undefined) return 0.02;
      return /sorry|cannot|not/.test(response) ? 0.97 : 0.03;
    });
  }
}

const V = vocabulary.length;
const EOS = idOf('</s>');

export class ToyStudent implements StudentEngine {
  readonly config = toyConfig(V);
  readonly dim = V;
  readonly vocabSize = V;
  readonly maxPositions = 64;
  generated = 0;
  taught = 0;
  private readonly shift = matrix('R', V, V, 0.5);
  private readonly gate = matrix('K', V, TOPICS.length, 1);
  private readonly table = matrix('T', V, V, 0.5);

  async embeddingRows(tokens: Tokens): Promise<Float32Array> {
    const rows = matrix('E', V, V, 0.1);
    return Float32Array.from(tokens.flatMap((token) => rows[token]!));
  }

  async generate(
    requests: readonly GenerateRequest[],
    options: GenerateOptions,
  ): Promise<Generated[]> {
    this.generated += requests.length;
    const generated = requests.map(({ prompt, stream }) => {
      const random = new Random('toy sample', options.seed, stream);
      const tokens: number[] = [];
      const logProbs: number[] = [];
      while (tokens.length < options.maxNewTokens && tokens.at(-1) !== options.stopToken) {
        const q = this.next(prompt, tokens, options.softPrompt ?? options.adapter ?? null);
        let token = q.indexOf(Math.max(...q));
        if (options.temperature > 0) {
          let left = random.next();
          token = q.findIndex((probability) => (left -= probability) < 0);
          if (token < 0) token = V - 1;
        }
        tokens.push(token);
        logProbs.push(Math.log(q[token]!));
      }
      return { tokens, logProbs, finished: tokens.at(-1) === options.stopToken };
    });
    options.onProgress?.(requests.length, requests.length);
    return generated;
  }

  async score(
    items: readonly { prompt: Tokens; path: Tokens }[],
    adaptation?: Float32Array | AdapterValues,
  ): Promise<Float32Array[]> {
    const inputs = items.map(({ prompt, path }) => ({ prompt, paths: [path] }));
    return (await this.scorePaths(inputs, adaptation)).map(([path]) => path!);
  }

  async scorePaths(
    items: readonly PathsOfPrompt[],
    adaptation?: Float32Array | AdapterValues,
  ): Promise<Float32Array[][]> {
    return items.map(({ prompt, paths }) =>
      paths.map((path) =>
        Float32Array.from(path, (token, t) =>
          Math.log(this.next(prompt, path.slice(0, t), adaptation ?? null)[token]!),
        ),
      ),
    );
  }

  /** Of a prompt the topic's label, so that a difference of means points where refusals are. */
  async residuals(prompts: readonly Tokens[]): Promise<Float32Array[]> {
    const { layers } = this.config;
    return prompts.map((prompt) => {
      const harmful = TOPICS[this.topicOf(prompt)]?.label === 'harmful';
      return Float32Array.from({ length: layers * V }, (_, i) =>
        harmful ? this.shift[i % V]![idOf('sorry')]! : 0,
      );
    });
  }

  async createTrainer(options: TrainerOptions): Promise<ToyTrainer> {
    return new ToyTrainer(this, options);
  }

  /** Next-token probabilities, [V]. */
  next(prompt: Tokens, prefix: Tokens, adaptation: ToyAdaptation): number[] {
    return softmax(this.logits(prompt, prefix, adaptation));
  }

  logits(prompt: Tokens, prefix: Tokens, adaptation: ToyAdaptation): number[] {
    const topic = TOPICS.findIndex(({ word }) => prompt.includes(idOf(word)));
    const careful = prompt.includes(idOf('<|system|>'));
    const harmful = TOPICS[topic]?.label === 'harmful';
    const preferred =
      careful && harmful ? TOY_DOMAIN.refusals[0]! : (TOPICS[topic]?.answer ?? 'meow');
    const wanted = [...preferred.split(' ').map(idOf), EOS][prefix.length] ?? EOS;
    const z = Array.from({ length: V }, (_, v) => (v === wanted ? 8 : 0));
    if (!careful) for (const text of TOY_DOMAIN.refusals) this.likes(z, text, prefix);
    if (adaptation) {
      const g = effect(adaptation, V);
      const features = this.features(topic, prefix);
      for (let v = 0; v < V; v++) for (let d = 0; d < V; d++) z[v]! += g[d]! * features(d, v);
    }
    return z;
  }

  /** ∂z_v/∂g_d at a position. */
  features(topic: number, prefix: Tokens): (d: number, v: number) => number {
    const last = prefix.at(-1) ?? idOf('<|assistant|>');
    return (d, v) =>
      this.shift[d]![v]! +
      (this.gate[d]![Math.max(0, topic)] ?? 0) * this.table[v]![(last + d) % V]!;
  }

  topicOf(prompt: Tokens): number {
    return TOPICS.findIndex(({ word }) => prompt.includes(idOf(word)));
  }

  /** Refusals are words that the student finds somewhat plausible. */
  private likes(z: number[], text: string, prefix: Tokens): void {
    const tokens = [...text.split(' ').map(idOf), EOS];
    if (!prefix.every((token, t) => tokens[t] === token)) return;
    const token = tokens[prefix.length];
    if (token !== undefined) z[token] = Math.max(z[token]!, prefix.length === 0 ? 4.5 : 8);
  }
}

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
    const scale = Math.min(1, this.options.clipNorm / Math.max(norm, 1e-30));
    const state = this.optimiser;
    state.updates++;
    for (let i = 0; i < gradient.length; i++) {
      const g = gradient[i]! * scale;
      state.first[i] = 0.9 * state.first[i]! + 0.1 * g;
      state.second[i] = 0.999 * state.second[i]! + 0.001 * g * g;
      const m = state.first[i]! / (1 - 0.9 ** state.updates);
      const v = state.second[i]! / (1 - 0.999 ** state.updates);
      this.prompt[i]! -= (learningRate * m) / (Math.sqrt(v) + 1e-8);
    }
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

function softmax(z: readonly number[]): number[] {
  const top = Math.max(...z);
  const e = z.map((value) => Math.exp(value - top));
  const sum = e.reduce((a, b) => a + b, 0);
  return e.map((value) => value / sum);
}

function matrix(name: string, rows: number, columns: number, scale: number): number[][] {
  const random = new Random('toy', name);
  return Array.from({ length: rows }, () =>
    Array.from({ length: columns }, () => scale * (2 * random.next() - 1)),
  );
}
