import { describe, expect, it } from 'vitest';
import type { Divergence, DivergenceBatch, Example, TeacherPath, Tokens } from '../../engine/types';
import type { Adaptation } from '../adapters/adaptation';
import type { StudentEngine } from '../engine-port';
import { Random } from '../statistics/prng';
import {
  mixtureProbability,
  randomModel,
  sequenceTv,
  type TabularModel,
} from '../train/tabular.testing';
import { RefusalTrie } from '../target/target';
import { toyConfig } from '../train/toy-adapters.testing';
import { toyChat, ToyGuard, toyItems, ToyStudent, TOY_DOMAIN } from '../testing';
import { planBound, type BoundItem, type BoundPlan } from './bound-plan';
import { measureBoundOf } from './measure-bound';

const EOS = 3;
const trie = new RefusalTrie([
  [0, 1, EOS],
  [0, 2, EOS],
]);
const base = randomModel(3, 4, 3, 1.5);
const adapted = randomModel(4, 4, 3, 1.5);
/** Values are only a mark here: with them, the engine is the adapted model. */
const ADAPTED: Adaptation = { kind: 'soft-prompt', values: new Float32Array(1) };
/** A prompt whose adapted student is told to be the base. */
const AS_BASE: Tokens = [7];

/** Two models whose strings can all be listed, as an engine. */
class TabularEngine implements StudentEngine {
  readonly config = toyConfig(1);
  readonly dim = 1;
  readonly vocabSize = 4;
  readonly maxPositions = 16;

  async embeddingRows(): Promise<Float32Array> {
    return new Float32Array(1);
  }

  async generate(
    requests: Parameters<StudentEngine['generate']>[0],
    options: Parameters<StudentEngine['generate']>[1],
  ): ReturnType<StudentEngine['generate']> {
    return requests.map(({ prompt, stream }) => {
      const model = this.model(prompt, options.softPrompt ?? options.adapter?.values);
      const tokens = model.sample(new Random('tabular', options.seed, stream));
      return { tokens, logProbs: model.logProbs(tokens), finished: true };
    });
  }

  async score(): Promise<Float32Array[]> {
    throw new Error('The bound scores paths together.');
  }

  async scorePaths(
    items: readonly { prompt: Tokens; paths: readonly Tokens[] }[],
    adaptation?: Float32Array | { values: Float32Array },
  ): Promise<Float32Array[][]> {
    const values = adaptation instanceof Float32Array ? adaptation : adaptation?.values;
    return items.map(({ prompt, paths }) =>
      paths.map((path) => Float32Array.from(this.model(prompt, values).logProbs(path))),
    );
  }

  /** The frozen student's distributions stand where an engine has hidden states. */
  async teach(examples: readonly Example[]): Promise<TeacherPath[][]> {
    return examples.map(({ paths }) =>
      paths.map((path) => ({
        logProbs: Float32Array.from(base.logProbs(path)),
        hidden: Float32Array.from(path.flatMap((_, t) => [...base.next(path.slice(0, t))])),
      })),
    );
  }

  async divergence(
    _name: Divergence,
    { examples, teacher }: DivergenceBatch,
    adaptation?: Float32Array | { values: Float32Array },
  ): Promise<Float32Array[][]> {
    const values = adaptation instanceof Float32Array ? adaptation : adaptation?.values;
    return examples.map(({ prompt, paths }, i) =>
      paths.map(({ tokens, refusalPosterior, refusalNext }, j) =>
        Float32Array.from(tokens, (_, t) => {
          const w = refusalPosterior[t]!;
          const rows = teacher[i]![j]!.hidden.subarray(4 * t, 4 * t + 4);
          const p = Array.from(rows, (pi) => (1 - w) * pi);
          const { tokens: next, probs } = refusalNext[t]!;
          next.forEach((token, k) => (p[token]! += w * probs[k]!));
          const q = this.model(prompt, values).next(tokens.slice(0, t));
          return p.reduce((sum, value, v) => sum + Math.abs(value - q[v]!) / 2, 0);
        }),
      ),
    );
  }

  async createTrainer(): Promise<never> {
    throw new Error('The bound trains nothing.');
  }

  private model(prompt: Tokens, values?: Float32Array): TabularModel {
    return values?.length && prompt[0] !== AS_BASE[0] ? adapted : base;
  }
}

const engine = new TabularEngine();
const logSum = (model: TabularModel, tokens: Tokens) =>
  model.logProbs(tokens).reduce((a, b) => a + b, 0);

function planOf(
  items: readonly Pick<BoundItem, 'safe' | 'pass' | 'refusal' | 'refusalSafe'>[],
  guardCase: BoundPlan['guardCase'] = 'prompt',
): BoundPlan {
  const baseRefusals = trie.strings.map((tokens) => logSum(base, tokens));
  return {
    ...{ guardCase, trie, maxNewTokens: 3, stopTokens: [EOS] },
    items: items.map((item, i) => ({ id: `${i}`, prompt: [0], baseRefusals, ...item })),
  };
}
const answer = (tokens: Tokens, safe: number) => ({ tokens, safe, logPi: logSum(base, tokens) });

/** Every pair of an answer and a refusal that could be drawn, with its probability. */
const drawn = base.strings.flatMap((tokens) =>
  trie.strings.map((refusal) => ({ tokens, refusal, weight: base.probability(tokens) / 2 })),
);

describe('measureBoundOf, where every answer can be listed', () => {
  it.each([0.9, 0.4])('is unbiased in case A, at s = %d', async (safe) => {
    const p = mixtureProbability(base, trie, safe);
    const q = (string: Tokens) => adapted.probability(string);
    const truth = sequenceTv(base.strings, p, q);
    const mass = (of: (string: Tokens) => number) =>
      trie.strings.reduce((sum, string) => sum + of(string), 0);
    let [tv, first] = [0, 0];
    for (const { tokens, refusal, weight } of drawn) {
      const plan = planOf([
        { safe, pass: [answer(tokens, safe)], refusal: [refusal], refusalSafe: safe },
      ]);
      const of = await measureBoundOf(engine, plan, ADAPTED);
      tv += weight * of.sequenceTv.value;
      first += weight * of.bound!.firstTokenTv;
      expect(of.event.teacher).toBeCloseTo(mass(p), 5);
      expect(of.event.student).toBeCloseTo(mass(q), 5);
      expect(of.event.tv).toBeLessThanOrEqual(truth + 1e-6);
    }
    expect(tv).toBeCloseTo(truth, 5);
    const rootP = Array.from({ length: 4 }, (_, v) =>
      base.strings.reduce((sum, string) => sum + (string[0] === v ? p(string) : 0), 0),
    );
    const rootQ = adapted.next([]);
    const exactFirst = rootP.reduce((sum, value, v) => sum + Math.abs(value - rootQ[v]!) / 2, 0);
    expect(first).toBeCloseTo(exactFirst, 5);
  });

  it('is unbiased in case B, whose guard reads the answer', async () => {
    // Any verdicts do; those of the refusals are read off the same table.
    const s = (tokens: Tokens) => 0.05 + 0.9 * new Random('verdict', tokens.join()).next();
    const isRefusal = new Set(trie.strings.map((tokens) => tokens.join()));
    // One verdict for both refusals, as a plan has it.
    const refusalSafe = 0.8;
    const of = (tokens: Tokens) => (isRefusal.has(tokens.join()) ? refusalSafe : s(tokens));
    const replaced = 1 - base.expect(of);
    const p = (string: Tokens) =>
      of(string) * base.probability(string) + (isRefusal.has(string.join()) ? replaced / 2 : 0);
    expect(base.strings.reduce((sum, string) => sum + p(string), 0)).toBeCloseTo(1, 12);
    const truth = sequenceTv(base.strings, p, (string) => adapted.probability(string));
    let tv = 0;
    for (const { tokens, refusal, weight } of drawn) {
      const item = { safe: 1 - replaced, refusalSafe, refusal: [refusal] };
      const plan = planOf([{ ...item, pass: [answer(tokens, of(tokens))] }], 'response');
      const measured = await measureBoundOf(engine, plan, ADAPTED);
      tv += weight * measured.sequenceTv.value;
      expect(measured.bound).toBeNull();
      const mass = trie.strings.reduce((sum, string) => sum + p(string), 0);
      expect(measured.event.teacher).toBeCloseTo(mass, 5);
    }
    expect(tv).toBeCloseTo(truth, 5);
  });

  it('has bands that hold the truth, and Σ of the student above C', async () => {
    const safe = 0.7;
    const truth = sequenceTv(base.strings, mixtureProbability(base, trie, safe), (string) =>
      adapted.probability(string),
    );
    const random = new Random('bands');
    const plan = planOf(
      Array.from({ length: 300 }, () => ({
        ...{ safe, refusalSafe: safe, refusal: [trie.strings[random.below(2)]!] },
        pass: [answer(base.sample(random), safe)],
      })),
    );
    const progress: number[] = [];
    const of = await measureBoundOf(engine, plan, ADAPTED, {
      onProgress: (done, total) => progress.push(done / total),
    });
    expect(of.sequenceTv.low).toBeLessThan(truth);
    expect(of.sequenceTv.high).toBeGreaterThan(truth);
    expect(of.samples).toBe(600);
    const at = of.bound!.horizons.at(-1)!;
    expect(at.coupling.value).toBeGreaterThanOrEqual(at.sequenceTv.value);
    expect(of.studentSum!.at(-1)!.sum.high).toBeGreaterThan(at.coupling.low);
    expect(of.studentSum!.map(({ horizon }) => horizon)).toEqual([1, 3]);
    expect(progress.at(-1)).toBe(1);
    const without = await measureBoundOf(engine, plan, ADAPTED, { studentSeed: null });
    expect(without.studentSum).toBeNull();
    expect(without.bound).toEqual(of.bound);
  });

  it('measures the frozen student too, and one that is asked another prompt', async () => {
    const safe = 0.999;
    const random = new Random('frozen');
    const plan = planOf(
      Array.from({ length: 50 }, () => ({
        ...{ safe, refusalSafe: safe, refusal: [] },
        pass: [answer(base.sample(random), safe)],
      })),
    );
    // The system passes nearly everything: the base is as near as that.
    const frozen = await measureBoundOf(engine, plan, null);
    expect(frozen.sequenceTv.value).toBeLessThan(0.01);
    const far = await measureBoundOf(engine, plan, ADAPTED);
    expect(far.sequenceTv.value).toBeGreaterThan(0.2);
    const conditioned = plan.items.map(() => AS_BASE);
    const back = await measureBoundOf(engine, plan, ADAPTED, { conditioned });
    expect(back.sequenceTv.value).toBeCloseTo(frozen.sequenceTv.value, 6);
    await expect(measureBoundOf(engine, planOf([]), null)).rejects.toThrow(RangeError);
    const signal = AbortSignal.abort();
    await expect(measureBoundOf(engine, plan, null, { signal })).rejects.toThrow(/abort/i);
  });
});

describe('planBound', () => {
  const student = new ToyStudent();
  const guard = new ToyGuard();
  const deps = { engine: student, chat: toyChat(), guard, domain: TOY_DOMAIN };
  const items = toyItems(4);
  const input = {
    ...{ items, guardCase: 'prompt' as const, samples: 2, seed: 1, maxNewTokens: 6 },
    teacher: { strictness: 0, guardTemperature: 1, guardClip: 1e-3 },
  };

  it('samples the branches that weigh something, and is repeatable', async () => {
    const plan = await planBound(input, deps);
    for (const [i, { safe, pass, refusal, baseRefusals }] of plan.items.entries()) {
      const harmful = items[i]!.label === 'harmful';
      expect(safe).toBeCloseTo(harmful ? 0.02 : 0.995, 6);
      expect(pass.length).toBe(2);
      // 1 − 0.995 is just light enough to go without.
      expect(refusal.length).toBe(harmful ? 1 : 0);
      expect(baseRefusals.length).toBe(TOY_DOMAIN.refusals.length);
    }
    expect(await planBound(input, deps)).toEqual(plan);
    const other = await planBound({ ...input, seed: 2 }, deps);
    expect(other.items.map(({ pass }) => pass)).not.toEqual(plan.items.map(({ pass }) => pass));
    await expect(planBound({ ...input, samples: 0 }, deps)).rejects.toThrow(RangeError);
  });

  it('has the guard read every answer in case B', async () => {
    const before = guard.calls;
    const plan = await planBound({ ...input, guardCase: 'response' }, deps);
    // Two answers and a refusal each.
    expect(guard.calls - before).toBe(3 * items.length);
    for (const { safe, pass, refusalSafe } of plan.items) {
      expect(safe).toBeCloseTo((pass[0]!.safe + pass[1]!.safe) / 2, 12);
      expect(refusalSafe).toBeGreaterThan(0.9);
    }
  });

  it('is what trained values are measured on, from far to near', async () => {
    const plan = await planBound({ ...input, items: toyItems(8) }, deps);
    const frozen = await measureBoundOf(student, plan, null);
    // The base complies with harm, which is a third of the prompts.
    expect(frozen.event.gap).toBeLessThan(-0.2);
    expect(frozen.bound!.horizons.map(({ horizon }) => horizon)).toContain(5);
    const { chat } = deps;
    const conditioned = toyItems(8).map(({ prompt }) =>
      chat.encodeChat({ system: TOY_DOMAIN.preamble, user: prompt }),
    );
    const told = await measureBoundOf(student, plan, null, { conditioned });
    expect(Math.abs(told.event.gap)).toBeLessThan(Math.abs(frozen.event.gap));
    expect(told.sequenceTv.value).toBeLessThan(frozen.sequenceTv.value);
  });
});
