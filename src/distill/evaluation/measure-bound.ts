/**
 * How far an adapted student is from the safe system, measured on the system's own answers to held
 * out prompts (METHOD.md §5). A plan holds those answers, so that one sample serves many students and
 * a student while it trains.
 *
 * Case A has whole distributions along every answer: TV, C and Σ at each horizon. Case B knows p(r)
 * of whole answers only, s(x,r)·π(r) + u(x)·ρ(r), so it has TV of whole answers and the events; u is
 * estimated from the sampled answers and counts where an answer is one of the refusals.
 */
import { scoreWith, type Adaptation } from '../adapters/adaptation';
import {
  hoeffding,
  HORIZONS,
  measureBound,
  refusalEventTv,
  studentTokenSum,
  type BoundEstimate,
  type BoundPrompt,
  type ScoredPath,
} from './bound';
import type { StudentEngine } from '../engine-port';
import { divergenceAlong } from './token-distance';
import { answersOfStudent, sum, type BoundPlan } from './bound-plan';
import type { RefusalTarget } from '../target/target';
import type { MixturePath, TeacherPath, Tokens } from '../../engine/types';
import type { BoundMeasurement } from '../types';

export interface BoundOptions {
  /** What the adapted student is asked, where that is not the plan's prompt; one an item. */
  conditioned?: readonly Tokens[];
  horizons?: readonly number[];
  delta?: number;
  /** Seed of the student's own answers, for Σ under q; null leaves it out. */
  studentSeed?: number | null;
  signal?: AbortSignal;
  onProgress?: (done: number, total: number) => void;
}

/**
 * Measures one student; `adaptation` null is the frozen one, itself or under `conditioned`.
 * @throws RangeError for a plan without prompts; the signal's reason when aborted
 */
export async function measureBoundOf(
  engine: StudentEngine,
  plan: BoundPlan,
  adaptation: Adaptation,
  options: BoundOptions = {},
): Promise<BoundMeasurement> {
  const { items } = plan;
  if (items.length === 0) throw new RangeError('The bound needs at least one prompt.');
  const run = new BoundRun(engine, plan, adaptation, options);
  const delta = options.delta ?? 0.05;
  const event = await run.event();
  const common = {
    guardCase: plan.guardCase,
    prompts: items.length,
    samples: items.reduce((sum, { pass, refusal }) => sum + pass.length + refusal.length, 0),
    level: 1 - delta,
    event,
  };
  if (plan.guardCase === 'response') {
    const sequenceTv = await run.wholeAnswers(delta);
    return { ...common, sequenceTv, bound: null, studentSum: null };
  }
  const { horizons = HORIZONS } = options;
  const bound = measureBound(await run.scored(), { horizons, delta });
  const studentSum = await run.studentSum(
    bound.horizons.map(({ horizon }) => horizon),
    delta,
  );
  return { ...common, sequenceTv: bound.horizons.at(-1)!.sequenceTv, bound, studentSum };
}

class BoundRun {
  private done = 0;
  private readonly total: number;

  constructor(
    private readonly engine: StudentEngine,
    private readonly plan: BoundPlan,
    private readonly adaptation: Adaptation,
    private readonly options: BoundOptions,
  ) {
    const passes = plan.guardCase === 'response' ? 2 : this.studentSeed === null ? 3 : 5;
    this.total = passes * plan.items.length;
  }

  /** What the student says of the known refusals, beside the teacher. */
  async event(): Promise<BoundMeasurement['event']> {
    const { items, trie } = this.plan;
    const student = await this.studentScores(items.map(() => trie.strings));
    const wholes = student.map((paths) => paths.map(sum));
    return refusalEventTv(
      items.map(({ safe, refusalSafe, baseRefusals }, i) => {
        return { safe, refusalSafe, base: baseRefusals, student: wholes[i]! };
      }),
    );
  }

  /** Case A: every sampled answer with log p, log q and its tokens' TV. */
  async scored(): Promise<BoundPrompt[]> {
    const { items } = this.plan;
    const paths = items.map(({ pass, refusal }) => [
      ...pass.map(({ tokens }) => tokens),
      ...refusal,
    ]);
    const { tv, logP } = await this.along(paths);
    const logQ = await this.studentScores(paths);
    return items.map(({ safe, pass }, i): BoundPrompt => {
      const scored = paths[i]!.map((_, j): ScoredPath => {
        return { logP: logP[i]![j]!, logQ: logQ[i]![j]!, tokenTv: tv[i]![j]! };
      });
      return { safe, pass: scored.slice(0, pass.length), refusal: scored.slice(pass.length) };
    });
  }

  async studentSum(
    horizons: readonly number[],
    delta: number,
  ): Promise<BoundMeasurement['studentSum']> {
    const seed = this.studentSeed;
    if (seed === null) return null;
    const { plan, engine, adaptation } = this;
    const answers = await answersOfStudent(
      engine,
      plan,
      this.prompts,
      adaptation,
      seed,
      this.signal,
    );
    this.advance(plan.items.length);
    const { tv } = await this.along(answers.map((answer) => [answer]));
    const rows = tv.map(([row]) => row!);
    return horizons.map((horizon) => ({ horizon, sum: studentTokenSum(rows, horizon, delta) }));
  }

  /** Case B: E_p[1 − min(1, q/p)], sampled answers weighted with s(x, r) and refusals with û. */
  async wholeAnswers(delta: number): Promise<BoundEstimate> {
    const { items, trie } = this.plan;
    const paths = items.map(({ pass, refusal }) => [
      ...pass.map(({ tokens }) => tokens),
      ...refusal,
    ]);
    const logQ = (await this.studentScores(paths)).map((of) => of.map(sum));
    const known = new Map(trie.strings.map((tokens, k) => [tokens.join(' '), k]));
    const weights: number[] = [];
    let value = 0;
    const add = (weight: number, miss: number) => {
      weights.push(weight);
      value += weight * miss;
    };
    let missing = 0;
    for (const [i, item] of items.entries()) {
      const replaced = 1 - item.safe;
      const logRefusal = Math.log(replaced / trie.strings.length);
      const miss = (logP: number, j: number) => -Math.expm1(Math.min(0, logQ[i]![j]! - logP));
      item.pass.forEach(({ tokens, safe, logPi }, j) => {
        const isRefusal = known.has(tokens.join(' '));
        const logPass = Math.log(safe) + logPi;
        const logP = isRefusal ? logAddExp(logPass, logRefusal) : logPass;
        add(1 / (items.length * item.pass.length), safe * miss(logP, j));
      });
      item.refusal.forEach((tokens, j) => {
        const logPi = item.baseRefusals[known.get(tokens.join(' '))!]!;
        const logP = logAddExp(Math.log(item.refusalSafe) + logPi, logRefusal);
        const weight = replaced / (items.length * item.refusal.length);
        add(weight, miss(logP, item.pass.length + j));
      });
      if (item.refusal.length === 0) missing += replaced / items.length;
    }
    const half = hoeffding(weights, delta);
    return {
      value,
      low: Math.max(0, value - half),
      high: Math.min(1, value + half + missing),
    };
  }

  /** TV(p_t, q_t) and log p along paths, [items][paths][T]. */
  private async along(
    paths: readonly (readonly Tokens[])[],
  ): Promise<{ tv: Float32Array[][]; logP: Float64Array[][] }> {
    const { items, trie } = this.plan;
    const logP: Float64Array[][] = [];
    const tv = await divergenceAlong(
      this.engine,
      this.adaptation,
      'tv',
      items.map(({ prompt }, i) => ({
        prompt,
        paths: paths[i]!,
        conditioned: this.prompts[i]!,
      })),
      (i, teacher) => {
        const targets = paths[i]!.map((tokens, j) =>
          trie.along(tokens, teacher[j]!.logProbs, items[i]!.safe),
        );
        logP[i] = targets.map((target, j) => mixtureLogProbs(paths[i]![j]!, target, teacher[j]!));
        return targets.map((target, j) => pathOf(paths[i]![j]!, target));
      },
      { signal: this.signal, onDone: (count) => this.advance(count) },
    );
    return { tv, logP };
  }

  private async studentScores(paths: readonly (readonly Tokens[])[]): Promise<Float32Array[][]> {
    this.signal?.throwIfAborted();
    const scores = await this.engine.scorePaths(
      this.prompts.map((prompt, i) => ({ prompt, paths: paths[i]! })),
      scoreWith(this.adaptation),
      this.signal,
    );
    this.advance(paths.length);
    return scores;
  }

  private get prompts(): readonly Tokens[] {
    return this.options.conditioned ?? this.plan.items.map(({ prompt }) => prompt);
  }

  private get studentSeed(): number | null {
    return this.options.studentSeed === undefined ? 0 : this.options.studentSeed;
  }

  private get signal(): AbortSignal | undefined {
    return this.options.signal;
  }

  private advance(count: number): void {
    this.done += count;
    this.options.onProgress?.(this.done, this.total);
  }
}

function pathOf(tokens: Tokens, { posterior, next }: RefusalTarget): MixturePath {
  return {
    tokens,
    coef: new Float32Array(tokens.length).fill(1),
    refusalPosterior: Float32Array.from(posterior),
    refusalNext: next,
  };
}

/** log p(r_t | r_<t) = log((1 − w_t)·π(r_t) + w_t·ρ(r_t)), [T]. */
function mixtureLogProbs(
  tokens: Tokens,
  { posterior, next }: RefusalTarget,
  { logProbs }: TeacherPath,
): Float64Array {
  return Float64Array.from(tokens, (token, t) => {
    const w = posterior[t]!;
    const at = next[t]!.tokens.indexOf(token);
    const rho = at < 0 ? 0 : next[t]!.probs[at]!;
    return logAddExp(Math.log1p(-w) + logProbs[t]!, Math.log(w * rho));
  });
}

function logAddExp(a: number, b: number): number {
  const top = Math.max(a, b);
  return top === -Infinity ? top : top + Math.log(Math.exp(a - top) + Math.exp(b - top));
}
