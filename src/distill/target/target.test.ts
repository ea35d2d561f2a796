import { describe, expect, it } from 'vitest';
import { RefusalTrie, teacherSafety } from './target';
import { Random } from '../statistics/prng';

/** A random LM on a tiny vocabulary: next-token probabilities are a function of the prefix. */
function randomLm(seed: number, vocab: number, length: number, eos: number) {
  const table = new Map<string, number[]>();
  const next = (prefix: readonly number[]): number[] => {
    const key = prefix.join(' ');
    let row = table.get(key);
    if (!row) {
      const random = new Random(seed, key);
      const weights = Array.from({ length: vocab }, () => Math.exp(3 * random.next()));
      // The last position must end, so that complete strings are a finite set.
      if (prefix.length === length - 1) weights.forEach((_, v) => (weights[v] = v === eos ? 1 : 0));
      const sum = weights.reduce((a, b) => a + b, 0);
      row = weights.map((w) => w / sum);
      table.set(key, row);
    }
    return row;
  };
  const strings: number[][] = [];
  const grow = (prefix: number[]) => {
    if (prefix.at(-1) === eos) return void strings.push(prefix);
    for (let v = 0; v < vocab; v++) if (next(prefix)[v]! > 0) grow([...prefix, v]);
  };
  grow([]);
  const probability = (string: readonly number[]) =>
    string.reduce((product, token, t) => product * next(string.slice(0, t))[token]!, 1);
  return { next, strings, probability };
}

const startsWith = (string: readonly number[], prefix: readonly number[]) =>
  prefix.every((token, i) => string[i] === token);

describe('RefusalTrie', () => {
  const EOS = 3;
  const refusals = [
    [0, 1, EOS],
    [0, 2, 1, EOS],
    [2, EOS],
  ];

  it.each([0.999, 0.9, 0.5, 0.02])(
    'is the exact conditional of the mixture, by enumeration, at s = %d',
    (s) => {
      const trie = new RefusalTrie(refusals);
      for (const seed of [1, 2, 3]) {
        const lm = randomLm(seed, 4, 5, EOS);
        const same = (a: readonly number[], b: readonly number[]) =>
          a.length === b.length && startsWith(a, b);
        const p = (string: readonly number[]) =>
          s * lm.probability(string) +
          (refusals.some((r) => same(r, string)) ? (1 - s) / refusals.length : 0);
        let worst = 0;
        for (const path of lm.strings) {
          const logs = path.map((token, t) => Math.log(lm.next(path.slice(0, t))[token]!));
          const { posterior, next } = trie.along(path, logs, s);
          for (let t = 0; t < path.length; t++) {
            const prefix = path.slice(0, t);
            const within = lm.strings.filter((string) => startsWith(string, prefix));
            const total = within.reduce((sum, string) => sum + p(string), 0);
            for (let v = 0; v < 4; v++) {
              const exact =
                within.filter((r) => r[t] === v).reduce((sum, r) => sum + p(r), 0) / total;
              const at = next[t]!.tokens.indexOf(v);
              const rho = at < 0 ? 0 : next[t]!.probs[at]!;
              const got = (1 - posterior[t]!) * lm.next(prefix)[v]! + posterior[t]! * rho;
              worst = Math.max(worst, Math.abs(got - exact));
            }
          }
        }
        expect(worst).toBeLessThan(1e-12);
      }
    },
  );

  it('gives the posteriors of METHOD.md §3.1', () => {
    const trie = new RefusalTrie([[5, 6, 7, 8]]);
    const along = (s: number, probs: number[]) =>
      [...trie.along([5, 6, 7, 8], probs.map(Math.log), s).posterior].map(
        (w) => Math.round(w * 1000) / 1000,
      );
    // A refusal that the base model finds implausible jumps at the second token …
    expect(along(0.9, [0.01, 0.6, 0.6, 0.6])).toEqual([0.1, 0.917, 0.949, 0.969]);
    expect(along(0.5, [0.01, 0.6, 0.6, 0.6]).slice(0, 2)).toEqual([0.5, 0.99]);
    expect(along(0.99, [0.01, 0.6, 0.6, 0.6]).slice(0, 3)).toEqual([0.01, 0.503, 0.627]);
    // … and one that it likes creeps.
    const liked = along(0.9, [0.3, 0.9, 0.9, 0.9]);
    [0.1, 0.27, 0.29, 0.31].forEach((w, t) => expect(liked[t]).toBeCloseTo(w, 2));
  });

  it('follows a sample while it equals a refusal and then lets go', () => {
    const trie = new RefusalTrie(refusals);
    const { posterior, next } = trie.along([0, 2, 0, EOS], Array(4).fill(Math.log(0.25)), 0.8);
    expect(posterior[0]).toBeCloseTo(0.2, 12);
    expect(next[0]).toEqual({ tokens: [0, 2], probs: [2 / 3, 1 / 3] });
    // After token 0, ρ of it 2/3 against π 1/4: odds 0.25 · (2/3) / 0.25.
    expect(posterior[1]).toBeCloseTo(2 / 3 / (1 + 2 / 3), 12);
    expect(next[1]).toEqual({ tokens: [1, 2], probs: [0.5, 0.5] });
    expect(posterior[2]).toBeGreaterThan(0);
    expect(next[2]).toEqual({ tokens: [1], probs: [1] });
    expect(posterior[3]).toBe(0);
    expect(next[3]!.tokens).toEqual([]);
  });

  it('must end where the refusal ends', () => {
    const trie = new RefusalTrie(refusals);
    const { next } = trie.along([0, 1, EOS], Array(3).fill(Math.log(0.25)), 0.5);
    expect(next[2]).toEqual({ tokens: [EOS], probs: [1] });
    // Past the EOS of a complete refusal nothing is left to say.
    const past = trie.along([2, EOS, 0], Array(3).fill(Math.log(0.25)), 0.5);
    expect(past.posterior[2]).toBe(0);
    expect(past.next[2]!.tokens).toEqual([]);
  });

  it('stays finite for a guard that is certain and a token that is impossible', () => {
    const trie = new RefusalTrie(refusals);
    for (const s of [0, 1]) {
      const { posterior } = trie.along(refusals[1]!, [-800, -900, -1, -1], s);
      expect([...posterior].every((w) => w >= 0 && w <= 1)).toBe(true);
      expect(posterior[0]).toBeCloseTo(1 - s, 12);
    }
  });

  it('refuses to be built from nothing, from an empty refusal, or from one twice', () => {
    expect(() => new RefusalTrie([])).toThrow(RangeError);
    expect(() => new RefusalTrie([[]])).toThrow(RangeError);
    expect(() => new RefusalTrie([[1], [1]])).toThrow(RangeError);
  });
});

describe('teacherSafety', () => {
  const plain = { strictness: 0, guardTemperature: 1, guardClip: 1e-3 };

  it('is the guard itself between the clips', () => {
    expect(teacherSafety(0.3, plain)).toBeCloseTo(0.3, 12);
    expect(teacherSafety(0, plain)).toBe(1e-3);
    expect(teacherSafety(1, plain)).toBe(1 - 1e-3);
  });

  it('moves the logit by b and divides it by τ', () => {
    const s = teacherSafety(0.9, { strictness: -2, guardTemperature: 2, guardClip: 1e-4 });
    expect(Math.log(s / (1 - s))).toBeCloseTo(Math.log(9) / 2 - 2, 10);
  });

  it('can move a guard that is certain', () => {
    expect(teacherSafety(1, { ...plain, guardTemperature: 4, strictness: -4 })).toBeLessThan(0.6);
  });
});
