import { expect, it } from 'vitest';
import { ADAM_DEFAULTS } from '../../kernels/adam/adam';
import { adamReference } from '../../kernels/adam/adam.reference';
import { normals } from '../../kernels/gpu/testing';
import { adamUpdate, clipScale } from './adam';

const COUNT = 17;
const STEPS = 25;

/** Gradients that grow, so that some are clipped. */
const gradientAt = (step: number) =>
  Float64Array.from(normals(step, COUNT), (value) => (value * step) / 20);

function states() {
  const start = Float64Array.from(normals(0, COUNT));
  const zeros = () => new Float64Array(COUNT);
  return {
    arrays: { values: start.slice(), first: zeros(), second: zeros() },
    reference: { parameter: start.slice(), m: zeros(), v: zeros() },
  };
}

it("is the kernel's reference, step for step", () => {
  const { arrays, reference } = states();
  const settings = { ...ADAM_DEFAULTS, lr: 0.03, maxNorm: Infinity };
  for (let step = 1; step <= STEPS; step++) {
    adamUpdate(arrays, gradientAt(step), settings.lr, step);
    adamReference(reference, gradientAt(step), settings, step);
    arrays.values.forEach((value, i) => expect(value).toBeCloseTo(reference.parameter[i]!, 12));
  }
  expect(arrays.values[0]).not.toBeCloseTo(normals(0, 1)[0]!, 2);
});

it("clips as the kernel's reference does", () => {
  const { arrays, reference } = states();
  const settings = { ...ADAM_DEFAULTS, lr: 0.03, maxNorm: 1 };
  let clipped = 0;
  for (let step = 1; step <= STEPS; step++) {
    const gradient = gradientAt(step);
    const scale = clipScale(Math.hypot(...gradient), settings.maxNorm);
    if (scale < 1) clipped++;
    adamUpdate(
      arrays,
      gradient.map((g) => g * scale),
      settings.lr,
      step,
    );
    adamReference(reference, gradient, settings, step);
    // The kernel adds 1e-6 to the norm.
    arrays.values.forEach((value, i) => expect(value).toBeCloseTo(reference.parameter[i]!, 5));
  }
  expect(clipped).toBeGreaterThan(0);
  expect(clipped).toBeLessThan(STEPS);
});

it('keeps moments in the precision of its arrays', () => {
  const arrays = {
    values: Float32Array.of(1),
    first: new Float32Array(1),
    second: new Float32Array(1),
  };
  adamUpdate(arrays, [0.3], 0.01, 1);
  expect(arrays.first[0]).toBe(Math.fround((1 - 0.9) * 0.3));
  expect(arrays.values[0]).toBeCloseTo(0.99, 6);
});
