/**
 * How far a system's next-token distribution is from the base student's, on the base student's own
 * answers: one mean over tokens a prompt, of KL(π ‖ system), nats, and of TV(π, system).
 *
 * For trained values both are computed over the full vocabulary. For a written preamble and the
 * guarded system of case A they are one-sample estimates from log a = log system(r_t) − log π(r_t),
 * r_t ~ π: −log a for KL and max(0, 1 − a) for TV, which have the same expectations and more noise.
 * Greedy answers are no samples, so there the estimates say less.
 */
import type {
  DivergenceBatch,
  Example,
  MixturePath,
  TeacherPath,
  Tokens,
} from '../../engine/types';
import { type Adaptation, scoreWith } from '../adapters/adaptation';
import type { StudentEngine } from '../engine-port';
import type { RefusalTrie } from '../target/target';

export interface AnsweredPrompt {
  prompt: Tokens;
  /** A sampled answer of the base student; at least one token. */
  answer: Tokens;
}

/** One value a prompt. */
export interface TokenDistances {
  kl: number[];
  /** Null where it is not known. */
  tv: number[] | null;
}

const MAX_ROWS = 1536;
/** Teacher states kept between the two passes; beyond it they are made twice. */
const STATE_BYTES = 128 * 1024 * 1024;

interface WorkOptions {
  signal?: AbortSignal;
  onDone?: (count: number) => void;
}

/** Full-vocabulary KL(π ‖ q) and TV(π, q) of the student with trained values. */
export async function adapterDistances(
  engine: StudentEngine,
  adaptation: NonNullable<Adaptation>,
  answered: readonly AnsweredPrompt[],
  options: WorkOptions = {},
): Promise<TokenDistances> {
  const inputs = answered.map(({ prompt, answer }) => ({ prompt, paths: [answer] }));
  const positions = answered.reduce((sum, { answer }) => sum + answer.length, 0);
  const kept: TeacherPath[][] | undefined =
    positions * engine.dim * 4 <= STATE_BYTES ? [] : undefined;
  const target = (i: number) => [plainPath(answered[i]!)];
  const means = async (name: 'kl' | 'tv') =>
    (await divergenceAlong(engine, adaptation, name, inputs, target, { ...options, kept })).map(
      ([values]) => average(values!),
    );
  return { kl: await means('kl'), tv: await means('tv') };
}

/**
 * D(p_t, q_t) of the adapted student along paths, over the full vocabulary, [prompts][paths][T].
 * @param inputs what the frozen student is asked, and `conditioned` where the adapted student's
 *   prompt is another one
 * @param target the i-th prompt's target, given what the frozen student says along its paths
 * @param options.kept states of the frozen student: filled where empty, used where not
 */
export async function divergenceAlong(
  engine: StudentEngine,
  adaptation: Adaptation,
  name: 'kl' | 'tv',
  inputs: readonly (Example & { conditioned?: Tokens })[],
  target: (i: number, teacher: readonly TeacherPath[]) => MixturePath[],
  options: WorkOptions & { kept?: TeacherPath[][] } = {},
): Promise<Float32Array[][]> {
  const sizes = inputs.map(
    ({ prompt, conditioned = prompt, paths }) =>
      Math.max(prompt.length, conditioned.length) + paths.flat().length,
  );
  const { kept, signal } = options;
  const known = kept && kept.length > 0 ? kept.slice() : null;
  const result: Float32Array[][] = [];
  for (const chunk of chunkByRows(sizes)) {
    signal?.throwIfAborted();
    const teacher = known
      ? chunk.map((i) => known[i]!)
      : await engine.teach(
          chunk.map((i) => inputs[i]!),
          signal,
        );
    if (!known) kept?.push(...teacher);
    const examples = chunk.map((i, k): Example<MixturePath> => {
      const { prompt, conditioned = prompt } = inputs[i]!;
      return { prompt: conditioned, paths: target(i, teacher[k]!) };
    });
    const batch: DivergenceBatch = { family: 'divergence', examples, teacher };
    result.push(...(await engine.divergence(name, batch, scoreWith(adaptation), signal)));
    options.onDone?.(chunk.length);
  }
  return result;
}

/** One-sample estimates for a student under another prompt (a preamble), `adaptation` or not. */
export async function conditionedDistances(
  engine: StudentEngine,
  conditioned: readonly Tokens[],
  answered: readonly AnsweredPrompt[],
  baseLogProbs: readonly ArrayLike<number>[],
  options: { adaptation?: Parameters<StudentEngine['score']>[1]; signal?: AbortSignal } = {},
): Promise<TokenDistances> {
  const scores = await engine.score(
    answered.map(({ answer }, i) => ({ prompt: conditioned[i]!, path: answer })),
    options.adaptation,
    options.signal,
  );
  const ratios = scores.map((logProbs, i) => logProbs.map((q, t) => q - baseLogProbs[i]![t]!));
  return sampledDistances(ratios);
}

/** One-sample estimates for the guarded system of case A, from its exact conditional (METHOD.md §3.1). */
export function guardedDistances(
  answers: readonly { answer: Tokens; baseLogProbs: ArrayLike<number>; safe: number }[],
  trie: RefusalTrie,
): TokenDistances {
  return sampledDistances(
    answers.map(({ answer, baseLogProbs, safe }) => {
      const { posterior, next } = trie.along(answer, baseLogProbs, safe);
      return answer.map((token, t) => {
        const at = next[t]!.tokens.indexOf(token);
        const rho = at < 0 ? 0 : next[t]!.probs[at]!;
        const w = posterior[t]!;
        return Math.log((1 - w) * Math.exp(baseLogProbs[t]!) + w * rho) - baseLogProbs[t]!;
      });
    }),
  );
}

/**
 * For the guarded system of case B, from p(r) = s(x,r)·π(r) + u·ρ(r) of the whole answer: by the chain
 * rule log π(r) − log p(r), over the answer's length, estimates the same mean KL. No token's own
 * distribution is known, so neither is TV. u, which counts for known refusals only, is taken from
 * this one answer.
 */
export function respondedDistances(
  answers: readonly { answer: Tokens; baseLogProbs: readonly number[]; safe: number }[],
  trie: RefusalTrie,
): TokenDistances {
  const refusals = new Set(trie.strings.map((tokens) => tokens.join(' ')));
  const kl = answers.map(({ answer, baseLogProbs, safe }) => {
    const logPi = baseLogProbs.reduce((sum, value) => sum + value, 0);
    const rho = refusals.has(answer.join(' ')) ? 1 / trie.strings.length : 0;
    return -Math.log(safe + (1 - safe) * rho * Math.exp(-logPi)) / answer.length;
  });
  return { kl, tv: null };
}

function sampledDistances(ratios: readonly ArrayLike<number>[]): TokenDistances {
  const means = (term: (a: number) => number) =>
    ratios.map((row) => average(Float64Array.from(row, term)));
  return { kl: means((a) => -a), tv: means((a) => Math.max(0, -Math.expm1(a))) };
}

/** A path whose target is the base student itself: w = 0 everywhere. */
function plainPath({ answer }: AnsweredPrompt): MixturePath {
  return {
    tokens: answer,
    coef: new Float32Array(answer.length).fill(1),
    refusalPosterior: new Float32Array(answer.length),
    refusalNext: answer.map(() => ({ tokens: [], probs: [] })),
  };
}

/** Indices of items that go through together. */
function chunkByRows(sizes: readonly number[]): number[][] {
  const chunks: number[][] = [];
  let rows = Infinity;
  for (const [i, size] of sizes.entries()) {
    if (rows + size > MAX_ROWS) {
      chunks.push([]);
      rows = 0;
    }
    chunks.at(-1)!.push(i);
    rows += size;
  }
  return chunks;
}

function average(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]!;
  return sum / values.length;
}
