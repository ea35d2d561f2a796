/** Total variation and KL over two outcomes, by the method's own loss: what sliders can show. */
import { positionLoss } from '../../distill/objectives/position';

export interface TwoOutcomes {
  /** The distance; KL in nats. */
  value: number;
  /** ‖∂/∂z‖₁ in the student's two logits: how hard a step pushes. */
  push: number;
}

/**
 * @param p the teacher's probability of the first outcome, in (0, 1)
 * @param q the student's
 */
export function twoOutcomes(name: 'tv' | 'kl', p: number, q: number): TwoOutcomes {
  const { value, gradient } = positionLoss({ family: 'divergence', name }, [logit(q), 0], {
    kind: 'mixture',
    teacherLogits: [logit(p), 0],
    w: 0,
    rho: { token: [], prob: [] },
  });
  return { value, push: Math.abs(gradient[0]!) + Math.abs(gradient[1]!) };
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
