import { describe, expect, test } from 'vitest';
import { relativeError } from '../../formats/relative-error';
import { checkParity, PARITY_TOLERANCE, ParityError } from './parity';

const logits = Float32Array.of(3, 4);
const runtime = (device: 'wasm' | 'webgpu', f16 = false) => ({
  tokens: [1],
  logits,
  device,
  f16,
});

describe('checkParity', () => {
  test('reports the relative error in the whole vector', () => {
    expect(relativeError(Float32Array.of(3, 4.5), logits)).toBeCloseTo(0.1, 6);
    const report = checkParity(Float32Array.of(3, 4.0001), runtime('wasm'));
    expect(report.relativeError).toBeCloseTo(2e-5, 6);
    expect(report.tolerance).toBe(1e-4);
  });

  test('refuses beyond the tolerance of the device and names the numbers', () => {
    const off = Float32Array.of(3, 4.005);
    expect(() => checkParity(off, runtime('wasm'))).toThrow(ParityError);
    expect(() => checkParity(off, runtime('wasm'))).toThrow(/relative error 1\.0e-3.*1e-4/);
    expect(checkParity(off, runtime('webgpu')).tolerance).toBe(PARITY_TOLERANCE.webgpu);
    // Half precision on either device.
    expect(checkParity(off, runtime('wasm', true)).tolerance).toBe(5e-3);
    expect(() => checkParity(Float32Array.of(3, 4.1), runtime('wasm', true))).toThrow(/5e-3/);
  });

  test('refuses numbers that are none and logits of another shape', () => {
    expect(() => checkParity(Float32Array.of(3, NaN), runtime('webgpu'))).toThrow(ParityError);
    expect(() => checkParity(Float32Array.of(3), runtime('webgpu'))).toThrow(ParityError);
  });
});
