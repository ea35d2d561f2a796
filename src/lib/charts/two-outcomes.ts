/** Total variation and KL over two outcomes (METHOD.md §4): what sliders can show. */

export interface TwoOutcomes {
  /** The distance; KL in nats. */
  value: number;
  /** ‖∂/∂z‖₁ in the student's two logits: how hard a step pushes. */
  push: number;
}

/**
 * In closed form, because pages load nothing of the method's kernels; tests hold it to them.
 * @param p the teacher's probability of the first outcome, in (0, 1)
 * @param q the student's
 */
export function twoOutcomes(name: 'tv' | 'kl', p: number, q: number): TwoOutcomes {
  const apart = Math.abs(p - q);
  if (name === 'tv') return { value: apart, push: apart === 0 ? 0 : 2 * q * (1 - q) };
  const term = (a: number, b: number) => a * Math.log(a / b);
  return { value: term(p, q) + term(1 - p, 1 - q), push: 2 * apart };
}

/** Log-odds: sliders over them reach one in a million as easily as one half. */
export function logit(probability: number): number {
  return Math.log(probability) - Math.log1p(-probability);
}

/** "98 %", "0.0012 %": two digits that say something, however small. */
export function chance(probability: number): string {
  const digits = probability > 0.99 && probability < 1 ? 4 : 2;
  return `${(100 * probability).toLocaleString('en', { maximumSignificantDigits: digits })} %`;
}
