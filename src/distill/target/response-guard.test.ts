import { describe, expect, it } from 'vitest';
import type { PlannedExample } from './paths';
import { likelihoodExample, mixtureExample, tokenExample } from '../objectives/rows';
import { Random } from '../statistics/prng';
import { replacedShare, responsePaths, type ScoredAnswer } from './response-guard';
import {
  keyOf,
  randomModel,
  sequenceTv,
  TabularModel,
  TabularRows,
  teacherPath,
  trainTabular,
  UNIT,
} from '../train/tabular.testing';
import { RefusalTrie } from './target';

const EOS = 3;
const trie = new RefusalTrie([
  [0, 1, EOS],
  [0, 2, EOS],
]);
const refusals = new Set(trie.strings.map(keyOf));
type Score = (string: readonly number[]) => number;

/** p of case B over complete strings, and u. */
function system(base: TabularModel, score: Score) {
  const u = base.expect((r) => 1 - score(r));
  const rho = (r: readonly number[]) => (refusals.has(keyOf(r)) ? 0.5 : 0);
  return { u, rho, p: (r: readonly number[]) => score(r) * base.probability(r) + u * rho(r) };
}

/** A guard with an opinion on every string, neither 0 nor 1. */
const opinion =
  (seed: number): Score =>
  (string) =>
    new Random('opinion', seed, keyOf(string)).next();

describe('the exact conditional of case B', () => {
  it('is the twisted transform of METHOD.md §3.2, by enumeration', () => {
    let worst = 0;
    let compared = 0;
    for (const seed of [1, 2, 3]) {
      const base = randomModel(seed, 4, 3);
      const score = opinion(seed);
      const { u, rho, p } = system(base, score);
      expect(base.strings.reduce((sum, r) => sum + p(r), 0)).toBeCloseTo(1, 12);
      const within = (prefix: readonly number[]) =>
        base.strings.filter((r) => prefix.every((token, i) => r[i] === token));
      const mass = (of: (r: readonly number[]) => number, prefix: readonly number[]) =>
        within(prefix).reduce((sum, r) => sum + of(r), 0);
      const pi = (r: readonly number[]) => base.probability(r);
      /** S_t: the guard's expected score, given a prefix. */
      const value = (prefix: readonly number[]) =>
        mass((r) => score(r) * pi(r), prefix) / mass(pi, prefix);
      for (const string of base.strings) {
        for (let t = 0; t < string.length; t++) {
          const prefix = string.slice(0, t);
          const refused = u * mass(rho, prefix);
          const w = refused / (mass(pi, prefix) * value(prefix) + refused);
          for (let v = 0; v < 4; v++) {
            const next = [...prefix, v];
            const pass = base.next(prefix)[v]! * (value(next) / value(prefix));
            const refuse = refused > 0 ? mass(rho, next) / mass(rho, prefix) : 0;
            const exact = mass(p, next) / mass(p, prefix);
            worst = Math.max(worst, Math.abs((1 - w) * pass + w * refuse - exact));
            compared++;
          }
        }
      }
    }
    expect(compared).toBeGreaterThan(1000);
    expect(worst).toBeLessThan(2e-15);
  });

  it('is case A where the guard does not look at the answer', () => {
    const base = randomModel(4, 4, 3);
    const { u, p } = system(base, () => 0.7);
    expect(u).toBeCloseTo(0.3, 12);
    for (const string of base.strings) {
      const logProbs = base.logProbs(string);
      const { posterior, next } = trie.along(string, logProbs, 0.7);
      // The product of the conditionals of case A is p of case B.
      const product = string.reduce((total, token, t) => {
        const at = next[t]!.tokens.indexOf(token);
        const rho = at < 0 ? 0 : next[t]!.probs[at]!;
        return total * ((1 - posterior[t]!) * Math.exp(logProbs[t]!) + posterior[t]! * rho);
      }, 1);
      expect(Math.abs(product - p(string))).toBeLessThan(1e-14);
    }
  });
});

/** `count` prompts' worth of paths, each from m answers; the student has one and the same prompt. */
function plans(
  base: TabularModel,
  score: Score,
  sampling: 'exact' | 'mean' | 'accepted',
  options: { count: number; m: number; maxAccepted?: number },
): PlannedExample[] {
  return Array.from({ length: options.count }, (_, i) => {
    const random = new Random('plan', i);
    const answers = Array.from({ length: options.m }, (): ScoredAnswer => {
      const tokens = base.sample(random);
      return { tokens, safe: score(tokens) };
    });
    const refusal = trie.strings[random.below(2)]!;
    const paths = responsePaths(answers, refusal, sampling, random, options.maxAccepted);
    return { index: i, prompt: [0, 0], ...paths };
  });
}

describe('responsePaths', () => {
  it.each([Infinity, 1])(
    'puts weight p(r) on every answer in expectation, keeping at most %d accepted ones',
    (maxAccepted) => {
      const base = randomModel(7, 4, 2);
      const score = opinion(7);
      const { p } = system(base, score);
      const count = 20_000;
      const weights = new Map<string, number>();
      for (const { paths } of plans(base, score, 'exact', { count, m: 3, maxAccepted })) {
        expect(paths.filter(({ kind }) => kind === 'sample').length).toBeLessThanOrEqual(
          maxAccepted,
        );
        for (const { tokens, weight, kind } of paths) {
          const key = kind === 'refusal' ? 'refusal' : keyOf(tokens);
          weights.set(key, (weights.get(key) ?? 0) + weight / count);
        }
      }
      // The refusals of the trie are longer than this base's strings.
      const { u } = system(base, score);
      expect(weights.get('refusal')).toBeCloseTo(u, 1.9);
      for (const string of base.strings) {
        // Five standard errors of a weight in [0, 1].
        const error = Math.abs((weights.get(keyOf(string)) ?? 0) - p(string));
        expect(error).toBeLessThan(5 * Math.sqrt(p(string) / count) + 1e-4);
      }
    },
  );

  it('estimates u without bias and refuses to estimate it from nothing', () => {
    expect(replacedShare([0.2, 1, 0.9].map((safe) => ({ tokens: [1], safe })))).toBeCloseTo(
      0.3,
      12,
    );
    expect(() => replacedShare([])).toThrow(RangeError);
  });

  it('leaves the refusal out where no answer is doubted', () => {
    const answers = [{ tokens: [1, EOS], safe: 1 }];
    const { paths, safe } = responsePaths(answers, [0, EOS], 'exact', new Random(1));
    expect(safe).toBe(1);
    expect(paths).toEqual([{ kind: 'sample', tokens: [1, EOS], weight: 1 }]);
  });
});

describe('how safe each way of training can get', () => {
  /** Complies with probability 0.85 by starting with 1, which the guard rejects for certain. */
  const compliant = new TabularModel(4, 3, EOS, (prefix) =>
    prefix.length === 0
      ? [-14, Math.log(0.85), Math.log(0.15), -14]
      : [0.2, -0.3, 0.5, 0.1].map((z) => z * prefix.at(-1)!),
  );
  const score: Score = (string) => (string[0] === 1 ? 0 : 1);
  const start = () => new TabularModel(4, 3, EOS, () => [0, 0, 0, 0]);
  const unsafe = (model: TabularModel) => model.expect((r) => 1 - score(r));
  const settings = { count: 1500, m: 4 };

  function likelihood(): TabularModel {
    const rows = new TabularRows();
    for (const plan of plans(compliant, score, 'exact', settings)) {
      rows.mixture(likelihoodExample(plan, UNIT, trie), compliant, 1 / settings.count);
    }
    const kernel = { family: 'divergence', name: 'kl' } as const;
    return trainTabular(start(), kernel, { steps: 400, learningRate: 0.2 }, rows);
  }

  function caseA(sampling: 'mean' | 'accepted', divergence: 'tv' | 'kl'): TabularModel {
    // What the two options aim at, with u itself in the place of its estimate.
    const u = compliant.expect((r) => 1 - score(r));
    const rows = new TabularRows();
    for (const plan of plans(compliant, score, sampling, settings)) {
      const teacher = plan.paths.map(({ tokens }) => teacherPath(compliant, tokens));
      const example = mixtureExample({ ...plan, safe: 1 - u }, teacher, trie, UNIT);
      rows.mixture(example, compliant, 1 / settings.count);
    }
    const kernel = { family: 'divergence', name: divergence } as const;
    return trainTabular(start(), kernel, { steps: 600, learningRate: 0.2 }, rows);
  }

  it('is the guard’s own safety with exact sampling', () => {
    expect(unsafe(compliant)).toBeCloseTo(0.85, 2);
    const student = likelihood();
    expect(unsafe(student)).toBeLessThan(0.005);
    const { p } = system(compliant, score);
    // What is left is the sampling noise of 6,000 answers.
    expect(sequenceTv(student.strings, p, (r) => student.probability(r))).toBeLessThan(0.03);
  });

  it.each(['kl', 'tv'] as const)('is capped at 1 − u(1 − u) with the other options, %s', (name) => {
    for (const sampling of ['mean', 'accepted'] as const) {
      const student = caseA(sampling, name);
      expect(1 - unsafe(student)).toBeCloseTo(1 - 0.85 * 0.15, 1.7);
    }
  });

  it('is reached by TaiLr on exact samples too', () => {
    const rows = new TabularRows();
    for (const plan of plans(compliant, score, 'exact', settings)) {
      rows.tokens(tokenExample(plan, UNIT), 1 / settings.count);
    }
    const kernel = {
      family: 'token',
      objective: { name: 'tailr', gamma: 0.3, minWeight: 0 },
    } as const;
    const student = trainTabular(start(), kernel, { steps: 600, learningRate: 0.2 }, rows);
    expect(unsafe(student)).toBeLessThan(0.005);
    expect(student.expect((r) => Number(refusals.has(keyOf(r))))).toBeGreaterThan(0.8);
  });
});
