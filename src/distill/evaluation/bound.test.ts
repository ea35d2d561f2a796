import { describe, expect, it } from 'vitest';
import {
  bracket,
  eventGap,
  hoeffding,
  measureBound,
  pathTerms,
  refusalEventTv,
  studentTokenSum,
  type BoundPrompt,
  type ScoredPath,
} from './bound';
import { Random } from '../statistics/prng';
import {
  keyOf,
  mixtureProbability,
  randomModel,
  type TabularModel,
} from '../train/tabular.testing';
import { RefusalTrie } from '../target/target';

const EOS = 3;
const trie = new RefusalTrie([
  [0, 1, EOS],
  [0, 2, EOS],
]);

/** The mixture's conditionals along a string, as rows of [vocabulary]. */
function conditionals(base: TabularModel, string: readonly number[], safe: number) {
  const { posterior, next } = trie.along(string, base.logProbs(string), safe);
  return string.map((_, t) => {
    const p = base.next(string.slice(0, t)).map((pi) => (1 - posterior[t]!) * pi);
    next[t]!.tokens.forEach((token, i) => (p[token]! += posterior[t]! * next[t]!.probs[i]!));
    return p;
  });
}

function scored(
  base: TabularModel,
  student: TabularModel,
  string: readonly number[],
  safe: number,
) {
  const p = conditionals(base, string, safe);
  const q = string.map((_, t) => student.next(string.slice(0, t)));
  return {
    logP: string.map((token, t) => Math.log(p[t]![token]!)),
    logQ: string.map((token, t) => Math.log(q[t]![token]!)),
    tokenTv: string.map((_, t) =>
      p[t]!.reduce((sum, value, v) => sum + Math.abs(value - q[t]![v]!) / 2, 0),
    ),
  } satisfies ScoredPath;
}

/** Exact TV, C and Σ (under p and under q) by enumeration of strings. */
function exact(base: TabularModel, student: TabularModel, safe: number) {
  const p = mixtureProbability(base, trie, safe);
  let [tv, coupling, sumP, sumQ, kl] = [0, 0, 0, 0, 0];
  for (const string of base.strings) {
    const [pr, qr] = [p(string), student.probability(string)];
    const path = scored(base, student, string, safe);
    const terms = pathTerms(path, Infinity);
    tv += Math.abs(pr - qr) / 2;
    // Σ_r Π min(p_t, q_t) is the mass on which the coupled chains still agree.
    coupling += path.logP.reduce(
      (product, l, t) => product * Math.exp(Math.min(l, path.logQ[t]!)),
      1,
    );
    sumP += pr * terms.tokenSum;
    sumQ += qr * terms.tokenSum;
    if (pr > 0) kl += pr * Math.log(pr / qr);
  }
  return { tv, coupling: 1 - coupling, sumP, sumQ, kl, p };
}

describe('TV ≤ C ≤ Σ', () => {
  it('in 300 random cases, with the other bounds of METHOD.md §5', () => {
    let violations = 0;
    const ratios: number[] = [];
    for (let seed = 0; seed < 300; seed++) {
      const random = new Random('bound', seed);
      const base = randomModel(seed, 4, 3, 1 + 2 * random.next());
      const student = randomModel(seed + 1000, 4, 3, 1 + 2 * random.next());
      const { tv, coupling, sumP, sumQ, kl } = exact(base, student, random.next());
      const slack = 1e-12;
      if (tv > coupling + slack) violations++;
      if (coupling > Math.min(sumP, sumQ) + slack) violations++;
      if (tv > Math.sqrt(kl / 2) + slack || tv > Math.sqrt(1 - Math.exp(-kl)) + slack) violations++;
      ratios.push(coupling / tv);
    }
    expect(violations).toBe(0);
    // The bounds are no equalities here.
    expect(ratios.filter((ratio) => ratio > 1.02).length).toBeGreaterThan(100);
  });
});

describe('measureBound', () => {
  const base = randomModel(3, 4, 3, 1.5);
  const student = randomModel(4, 4, 3, 1.5);

  it.each([0.9, 0.4])('is unbiased, by enumeration of what could be sampled, at s = %d', (safe) => {
    const truth = exact(base, student, safe);
    const mean = { sequenceTv: 0, coupling: 0, tokenSum: 0, kl: 0 };
    for (const sample of base.strings) {
      for (const refusal of trie.strings) {
        const prompt: BoundPrompt = {
          safe,
          pass: [scored(base, student, sample, safe)],
          refusal: [scored(base, student, refusal, safe)],
        };
        const at = measureBound([prompt]).horizons.at(-1)!;
        const weight = base.probability(sample) / 2;
        mean.sequenceTv += weight * at.sequenceTv.value;
        mean.coupling += weight * at.coupling.value;
        mean.tokenSum += weight * at.tokenSum.value;
        mean.kl += weight * at.kl;
      }
    }
    expect(mean.sequenceTv).toBeCloseTo(truth.tv, 12);
    expect(mean.coupling).toBeCloseTo(truth.coupling, 12);
    expect(mean.tokenSum).toBeCloseTo(truth.sumP, 12);
    expect(mean.kl).toBeCloseTo(truth.kl, 12);
  });

  it('estimates TV of prefixes at a horizon, growing with it, from the first token on', () => {
    const safe = 0.6;
    const p = mixtureProbability(base, trie, safe);
    // Exact TV of the first two tokens.
    const mass = (of: (r: readonly number[]) => number) => {
      const sums = new Map<string, number>();
      for (const r of base.strings) {
        const key = keyOf(r.slice(0, 2));
        sums.set(key, (sums.get(key) ?? 0) + of(r));
      }
      return sums;
    };
    const [left, right] = [mass(p), mass((r) => student.probability(r))];
    const tv2 = [...left].reduce((sum, [key, m]) => sum + Math.abs(m - right.get(key)!) / 2, 0);
    const mean = [0, 0, 0];
    for (const sample of base.strings) {
      for (const refusal of trie.strings) {
        const prompt: BoundPrompt = {
          safe,
          pass: [scored(base, student, sample, safe)],
          refusal: [scored(base, student, refusal, safe)],
        };
        const { horizons, firstTokenTv } = measureBound([prompt], { horizons: [1, 2] });
        expect(firstTokenTv).toBeCloseTo(prompt.pass[0]!.tokenTv[0]!, 12);
        horizons.forEach((at, i) => {
          mean[i]! += (base.probability(sample) / 2) * at.sequenceTv.value;
        });
        expect(horizons.map(({ horizon }) => horizon)).toEqual([1, 2, 3]);
      }
    }
    expect(mean[1]).toBeCloseTo(tv2, 12);
    expect(mean[0]).toBeLessThanOrEqual(mean[1]!);
    expect(mean[1]).toBeLessThanOrEqual(mean[2]!);
    expect(mean[0]).toBeCloseTo(scored(base, student, base.strings[0]!, safe).tokenTv[0]!, 12);
  });

  it('has bands that hold the truth, and leaves out horizons that no answer reaches', () => {
    const random = new Random('bands');
    const safe = 0.7;
    const truth = exact(base, student, safe);
    let held = 0;
    for (let run = 0; run < 20; run++) {
      const prompts = Array.from({ length: 200 }, (): BoundPrompt => ({
        safe,
        pass: [scored(base, student, base.sample(random), safe)],
        refusal: [scored(base, student, trie.strings[random.below(2)]!, safe)],
      }));
      const { horizons, level } = measureBound(prompts);
      expect(level).toBe(0.95);
      expect(horizons.map(({ horizon }) => horizon)).toEqual([1, 3]);
      const { sequenceTv, coupling, tokenSum, reached, branches } = horizons[1]!;
      expect(sequenceTv.value).toBeLessThanOrEqual(coupling.value);
      expect(reached).toBeGreaterThan(200);
      expect(branches.pass.weight + branches.refusal.weight).toBeCloseTo(1, 12);
      const inside = (e: { low: number; high: number }, x: number) => e.low <= x && x <= e.high;
      if (
        inside(sequenceTv, truth.tv) &&
        inside(coupling, truth.coupling) &&
        inside(tokenSum, truth.sumP)
      )
        held++;
    }
    expect(held).toBe(20);
  });

  it('has the student’s own answers bound C from above too, without bias', () => {
    const { coupling, sumQ } = exact(base, student, 0.6);
    const mean = student.expect(
      (r) => studentTokenSum([scored(base, student, r, 0.6).tokenTv], 128).value,
    );
    expect(mean).toBeCloseTo(sumQ, 12);
    expect(coupling).toBeLessThanOrEqual(mean);
    const two = studentTokenSum([[0.5, 0.25], [0.125]], 1);
    expect(two.value).toBeCloseTo(0.3125, 12);
    expect(two.high).toBeLessThanOrEqual(1);
    expect(() => studentTokenSum([], 1)).toThrow(RangeError);
  });

  it('asks for samples of every branch that counts', () => {
    const path = scored(base, student, base.strings[0]!, 0.5);
    expect(() => measureBound([])).toThrow(RangeError);
    expect(() => measureBound([{ safe: 0.5, pass: [path], refusal: [] }])).toThrow(/refusal/);
    const short = { ...path, logQ: path.logQ.slice(1) };
    expect(() => measureBound([{ safe: 1, pass: [short], refusal: [] }])).toThrow(RangeError);
    // What a light branch could have added is in the band.
    const light = measureBound([{ safe: 0.99, pass: [path], refusal: [] }]);
    const full = measureBound([{ safe: 1, pass: [path], refusal: [] }]);
    expect(full.horizons[0]!.sequenceTv.high).toBeLessThanOrEqual(1);
    expect(light.firstTokenTv).toBeLessThan(full.firstTokenTv);
  });
});

describe('hoeffding', () => {
  it('is ±0.061 for 500 samples at 95 %', () => {
    expect(hoeffding(new Array<number>(500).fill(1 / 500))).toBeCloseTo(0.061, 3);
  });

  it('is narrower for two halves of a prompt than for a whole one', () => {
    expect(hoeffding([0.5, 0.5])).toBeLessThan(hoeffding([1]));
  });
});

describe('the coarse event', () => {
  it('of the known refusals is exact and at most TV', () => {
    for (let seed = 0; seed < 20; seed++) {
      const base = randomModel(seed, 4, 3);
      const student = randomModel(seed + 50, 4, 3);
      const logs = (model: TabularModel) => trie.strings.map((r) => Math.log(model.probability(r)));
      const event = refusalEventTv([{ safe: 0.8, base: logs(base), student: logs(student) }]);
      const { tv, p } = exact(base, student, 0.8);
      const mass = trie.strings.reduce((sum, r) => sum + p(r), 0);
      expect(event.teacher).toBeCloseTo(mass, 12);
      expect(event.tv).toBeCloseTo(Math.abs(event.gap), 12);
      expect(event.tv).toBeLessThanOrEqual(tv + 1e-12);
    }
    expect(() => refusalEventTv([])).toThrow(RangeError);
  });

  it('seen in samples has a band, and brackets TV from below', () => {
    const yes = (count: number, n: number) => Array.from({ length: n }, (_, i) => i < count);
    const gap = eventGap(yes(900, 1000), yes(600, 1000));
    expect(gap.value).toBeCloseTo(0.3, 12);
    expect(gap.low).toBeCloseTo(0.3 - hoeffding(new Array<number>(2000).fill(1 / 1000)), 12);
    expect(() => eventGap([], [true])).toThrow(RangeError);
    const path = (a: number): ScoredPath => ({ logP: [-1], logQ: [-1 + a], tokenTv: [0.9] });
    const bound = (a: number) =>
      measureBound(Array.from({ length: 2000 }, () => ({ safe: 1, pass: [path(a)], refusal: [] })))
        .horizons[0]!;
    expect(bracket(bound(-1), [gap])).toMatchObject({ holds: true });
    // A student that never differs cannot have a gap of 0.2.
    expect(bracket(bound(0), [gap])).toMatchObject({ holds: false });
  });
});
