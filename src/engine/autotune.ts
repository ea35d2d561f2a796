/**
 * Small choices that no table knows, measured once per adapter and question: the candidates run on
 * what they will run on, the fastest is taken and remembered. Every candidate computes the same within
 * rounding, so a choice never changes what a model says; given the cache, choices are the same again.
 */
import { crc32 } from '../formats/share/crc32';
import type { Gpu, Op } from '../kernels/gpu/gpu';

/** Remembers choices between sessions; may forget. */
export interface AutotuneCache {
  get(key: string): Promise<string | undefined>;
  put(key: string, choice: string): Promise<void>;
}

export interface AutotuneOptions {
  cache?: AutotuneCache;
  /** Milliseconds; tests choose by it. Default: performance.now. */
  clock?: () => number;
  /** Measure on software adapters too, whose best choices are known. Default false. */
  software?: boolean;
  /** Milliseconds that all measuring of one tuner may take, compiling included. Default 1000. */
  budget?: number;
}

/** Something that can be run to see how long it takes. */
export interface Trial {
  op: Op;
  release(): void;
}

/** A way to do one thing. */
export interface Candidate {
  /** The WGSL that it compiles: a choice among other texts says nothing about these. */
  code(): string;
  make(): Promise<Trial>;
}

/** Ways to do one thing, by name. The first is taken where nothing is measured. */
export type Candidates = Readonly<Record<string, Candidate>>;

/** Rounds of each candidate, of which the fastest counts; what one takes and how often it runs. */
const ROUNDS = 3;
const ROUND_MS = 4;
const MOST_REPEATS = 64;

export class Autotuner {
  private readonly clock: () => number;
  private readonly measures: boolean;
  private left: number;
  private readonly made = new Map<string, Promise<string>>();
  /** Measurements wait for each other. */
  private last: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly gpu: Gpu,
    private readonly options: AutotuneOptions = {},
  ) {
    this.clock = options.clock ?? (() => performance.now());
    this.left = options.budget ?? 1000;
    this.measures = options.software === true || !gpu.description.isFallbackAdapter;
  }

  /** The name of the candidate to use for `question`, which names shapes and all that matters. */
  choose(question: string, candidates: Candidates): Promise<string> {
    const names = Object.keys(candidates);
    const first = names[0];
    if (first === undefined) throw new RangeError(`There is nothing to choose for ${question}.`);
    if (!this.measures || names.length === 1) return Promise.resolve(first);
    let choice = this.made.get(question);
    if (!choice) {
      choice = this.last.then(() => this.recallOrMeasure(question, candidates, first));
      this.last = choice.catch(() => undefined);
      this.made.set(question, choice);
    }
    return choice;
  }

  private async recallOrMeasure(
    question: string,
    candidates: Candidates,
    first: string,
  ): Promise<string> {
    const { cache } = this.options;
    const key = `${this.adapter()} | ${question} | ${versionOf(candidates)}`;
    const known = await cache?.get(key).catch(() => undefined);
    // A cache may hold anything.
    if (known !== undefined && known in candidates) return known;
    if (this.left <= 0) return first;
    const begin = this.clock();
    const best = await this.fastest(candidates, begin + this.left);
    this.left -= this.clock() - begin;
    // What was cut short is not worth remembering, only worth having now.
    if (this.left > 0) await cache?.put(key, best).catch(() => undefined);
    return best;
  }

  /**
   * In rounds, in which every candidate runs once: a card that wakes up would otherwise hold it against
   * the first ones.
   */
  private async fastest(candidates: Candidates, deadline: number): Promise<string> {
    const entries = Object.entries(candidates);
    const made = await Promise.all(entries.map(([, candidate]) => candidate.make()));
    try {
      const runs: { name: string; op: Op; repeats: number; least: number }[] = [];
      for (const [i, [name]] of entries.entries()) {
        const { op } = made[i]!;
        await this.time(op, 1);
        const once = await this.time(op, 1);
        // Short operations are repeated, so that waiting for the device counts little.
        const wanted = Math.round(ROUND_MS / Math.max(0.01, once));
        const repeats = Math.max(1, Math.min(MOST_REPEATS, wanted));
        runs.push({ name, op, repeats, least: once });
        if (this.clock() >= deadline) break;
      }
      for (let round = 0; round < ROUNDS && this.clock() < deadline; round++) {
        for (const run of runs) {
          run.least = Math.min(run.least, (await this.time(run.op, run.repeats)) / run.repeats);
        }
      }
      return runs.reduce((best, run) => (run.least < best.least ? run : best)).name;
    } finally {
      for (const { release } of made) release();
    }
  }

  /** Milliseconds that so many runs of `op` take, one after the other. */
  private async time(op: Op, repeats: number): Promise<number> {
    const start = this.clock();
    this.gpu.run(new Array<Op>(repeats).fill(op), 'autotune');
    await this.gpu.device.queue.onSubmittedWorkDone();
    return this.clock() - start;
  }

  /** What a choice depends on besides its question. */
  private adapter(): string {
    const { vendor, architecture, device, description, subgroups } = this.gpu.description;
    return [vendor, architecture, device, description, subgroups ? 'subgroups' : ''].join(' / ');
  }
}

/** Changes with the kernels that are compared, by name and text. */
function versionOf(candidates: Candidates): string {
  const texts = Object.entries(candidates).map(([name, candidate]) => [name, candidate.code()]);
  return crc32(new TextEncoder().encode(JSON.stringify(texts))).toString(36);
}
