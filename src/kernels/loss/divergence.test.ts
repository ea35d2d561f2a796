import { describe, expect, it } from 'vitest';
import { createDivergence, type Divergence } from './divergence';
import { rowReference } from './divergence.reference';
import {
  itIsAccurate,
  itStaysInItsSpan,
  type RowLossProblem,
  type RowLossSuite,
  runRowLoss,
} from './row-loss.testing';
import { centralDifferences, GPU_VARIANTS, normals, random, relativeError } from '../gpu/testing';

const OBJECTIVES: Divergence[] = ['tv', 'naive-tv', 'kl', 'reverse-kl', 'js'];

interface Problem extends RowLossProblem {
  rows: number;
  teacher: Float32Array;
  w: Float32Array;
  rhoStart: Uint32Array;
  rhoToken: Uint32Array;
  rhoProb: Float32Array;
}

/** Random rows; every w of 0, 1 and between, zero to three refusal tokens a row (some repeated). */
function problem(rows: number, vocabulary: number, scale: number): Problem {
  const next = random(rows * 1000 + vocabulary);
  const pick = (): number => Math.floor(next() * vocabulary);
  const w = Float32Array.from({ length: rows }, (_, r) => [0, 1, 0.3, 0.999, next()][r % 5]!);
  const rhoStart = new Uint32Array(rows + 1);
  const rhoToken: number[] = [];
  const rhoProb: number[] = [];
  for (let r = 0; r < rows; r++) {
    const count = w[r] === 0 ? r % 2 : 1 + (r % 3);
    for (let k = 0; k < count; k++) {
      rhoToken.push(pick());
      rhoProb.push(1 / count);
    }
    rhoStart[r + 1] = rhoToken.length;
  }
  const clamp = (values: Float32Array): Float32Array =>
    values.map((value) => Math.max(-80, Math.min(80, value)));
  return {
    vocabulary,
    rows,
    student: clamp(normals(vocabulary, rows * vocabulary, scale)),
    teacher: clamp(normals(vocabulary + 1, rows * vocabulary, scale)),
    coef: normals(vocabulary + 2, rows),
    w,
    rhoStart,
    rhoToken: Uint32Array.from(rhoToken.length ? rhoToken : [0]),
    rhoProb: Float32Array.from(rhoProb.length ? rhoProb : [0]),
  };
}

function expected(objective: Divergence, at: Problem): { loss: Float64Array; slope: Float64Array } {
  const { vocabulary } = at;
  const loss = new Float64Array(at.rows);
  const slope = new Float64Array(at.rows * vocabulary);
  for (let r = 0; r < at.rows; r++) {
    const row = [r * vocabulary, (r + 1) * vocabulary] as const;
    const entries = [at.rhoStart[r]!, at.rhoStart[r + 1]!] as const;
    const rho = {
      token: at.rhoToken.subarray(...entries),
      prob: at.rhoProb.subarray(...entries),
    };
    const logits = [at.student.subarray(...row), at.teacher.subarray(...row)] as const;
    const { value, gradient } = rowReference(objective, ...logits, at.w[r]!, rho);
    loss[r] = value;
    slope.set(
      gradient.map((d) => d * at.coef[r]!),
      row[0],
    );
  }
  return { loss, slope };
}

function onGpu(
  subgroups: boolean,
  objective: Divergence,
  at: Problem,
  rows: [number, number],
  lanes?: number,
) {
  const { vocabulary, teacher: teacherLogits, w, rhoStart, rhoToken, rhoProb } = at;
  const inputs = { teacherLogits, w, rhoStart, rhoToken, rhoProb };
  return runRowLoss(subgroups, at, rows, inputs, async (gpu, buffers, span) => {
    const kernel = await createDivergence(gpu, { vocabulary, objective, lanes });
    return kernel.bind({ ...buffers, span });
  });
}

describe.each(GPU_VARIANTS)('divergence with $name', ({ subgroups }) => {
  describe.each(OBJECTIVES)('%s', (objective) => {
    const suite: RowLossSuite<Problem> = {
      problem,
      reference: (at) => expected(objective, at),
      onGpu: (...args) => onGpu(subgroups, objective, ...args),
    };
    itIsAccurate(suite);
    itStaysInItsSpan(suite);

    it('is zero, with a zero gradient, where student and target agree', async () => {
      const at = problem(4, 64, 3);
      at.teacher.set(at.student);
      at.w.fill(0);
      const got = await onGpu(subgroups, objective, at, [0, at.rows]);
      for (const value of [...got.loss, ...got.slope]) expect(Math.abs(value)).toBeLessThan(1e-6);
    });
  });

  it('takes refusal distributions over the whole vocabulary, each token twice', async () => {
    const vocabulary = 130;
    const at = problem(3, vocabulary, 3);
    at.w.set([0.5, 1, 0.01]);
    const rho = normals(5, 3 * 2 * vocabulary).map(Math.abs);
    for (let r = 0; r < 3; r++) {
      const row = rho.subarray(r * 2 * vocabulary, (r + 1) * 2 * vocabulary);
      const total = row.reduce((sum, value) => sum + value, 0);
      row.forEach((value, k) => (row[k] = value / total));
    }
    at.rhoStart = Uint32Array.from([0, 1, 2, 3], (r) => r * 2 * vocabulary);
    at.rhoToken = Uint32Array.from(rho, (_, k) => (k * 7) % vocabulary);
    at.rhoProb = rho;
    for (const objective of OBJECTIVES) {
      const wanted = expected(objective, at);
      const got = await onGpu(subgroups, objective, at, [0, 3]);
      expect(relativeError(got.loss, wanted.loss)).toBeLessThan(1e-5);
      expect(relativeError(got.slope, wanted.slope)).toBeLessThan(1e-5);
    }
  });

  it('keeps the gradient of a student that is nearly certain', async () => {
    const at = problem(1, 64, 1);
    at.student[7] = 20;
    at.teacher[9] = 5;
    for (const objective of OBJECTIVES) {
      const got = await onGpu(subgroups, objective, at, [0, 1]);
      expect(relativeError(got.slope, expected(objective, at).slope)).toBeLessThan(1e-5);
    }
  });
});

describe.each(OBJECTIVES)('divergence reference of %s', (objective) => {
  it('has the gradient of central differences, away from ties', () => {
    const at = problem(6, 23, 1.5);
    for (let r = 0; r < at.rows; r++) {
      const entries = [at.rhoStart[r]!, at.rhoStart[r + 1]!] as const;
      const student = at.student.slice(r * 23, (r + 1) * 23);
      const teacher = at.teacher.slice(r * 23, (r + 1) * 23);
      // Reverse KL at w = 1 sits on its floor, which has no derivative to speak of.
      const w = objective === 'reverse-kl' ? Math.min(at.w[r]!, 0.9) : at.w[r]!;
      const rho = { token: at.rhoToken.slice(...entries), prob: at.rhoProb.slice(...entries) };
      const of = (z: ArrayLike<number>) => rowReference(objective, z, teacher, w, rho);
      const { gradient } = of(student);
      const differences = centralDifferences(
        (z) => of(z).value,
        student,
        [...student.keys()],
        1e-6,
      );
      expect(relativeError(gradient, differences)).toBeLessThan(1e-3);
    }
  });
});
