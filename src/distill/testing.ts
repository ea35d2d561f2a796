/**
 * A student small enough to check by hand, for tests of the method: a bigram model over whole words
 * that knows one answer for each topic, with a soft prompt that shifts its logits. Exact f64
 * gradients, real sampling, real Adam; only its size is a toy. What adapters do stands in
 * toy-adapters.testing.ts, how it trains in toy-trainer.testing.ts.
 *
 *   z_v = base_v(topic, prefix) + Σ_d g_d·(R_dv + K_d,topic·T_v),   g = Σ_j a_j·P_j
 */
import type {
  AdapterValues,
  Divergence,
  DivergenceBatch,
  Example,
  Generated,
  GenerateOptions,
  GenerateRequest,
  TeacherPath,
  Tokens,
  TrainerOptions,
} from '../engine/types';
import type { StudentEngine } from './engine-port';
import { positionLoss } from './objectives/position';
import { Random } from './statistics/prng';
import { effect, toyConfig, type ToyAdaptation } from './train/toy-adapters.testing';
import { idOf, TOPICS, TOY_DOMAIN, TOY_WORDS } from './train/toy-domain.testing';
import { mixtureTarget, pathsOf, softmax, ToyTrainer } from './train/toy-trainer.testing';

export {
  TOY_DOMAIN,
  TOY_TOKENIZER,
  TOY_TOKENIZER_CONFIG,
  toyChat,
  ToyGuard,
  toyItems,
} from './train/toy-domain.testing';
export { ToyTrainer };

const V = TOY_WORDS;
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
      const ended = () => options.stopTokens.includes(tokens.at(-1)!);
      while (tokens.length < options.maxNewTokens && !ended()) {
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
      return { tokens, logProbs, finished: ended() };
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
    items: readonly Example[],
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

  async teach(examples: readonly Example[]): Promise<TeacherPath[][]> {
    this.taught += examples.length;
    return pathsOf(this, examples, null);
  }

  async divergence(
    name: Divergence,
    { examples, teacher }: DivergenceBatch,
    adaptation?: Float32Array | AdapterValues,
  ): Promise<Float32Array[][]> {
    return examples.map((example, i) =>
      example.paths.map(({ tokens }, j) =>
        Float32Array.from(tokens, (_, t) => {
          const target = mixtureTarget(example, teacher[i]![j]!, j, t);
          const logits = this.logits(example.prompt, tokens.slice(0, t), adaptation ?? null);
          return positionLoss({ family: 'divergence', name }, logits, target).value;
        }),
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

function matrix(name: string, rows: number, columns: number, scale: number): number[][] {
  const random = new Random('toy', name);
  return Array.from({ length: rows }, () =>
    Array.from({ length: columns }, () => scale * (2 * random.next() - 1)),
  );
}
