/** What the tests of losses on rows of logits share: accuracy, and rows that stay untouched. */
import { expect, it } from 'vitest';
import { type Gpu, type Op, Span } from '../gpu/gpu';
import { relativeError, testGpu } from '../gpu/testing';

/** Rows of logits and what a loss reads of them. */
export interface RowLossProblem {
  vocabulary: number;
  /** [rows, vocabulary] */
  student: Float32Array;
  /** [rows] */
  coef: Float32Array;
}

/** Of all rows: losses, not weighted, and coef · gradient in the logits. */
export interface RowLossResult {
  loss: ArrayLike<number>;
  slope: ArrayLike<number>;
}

export interface RowLossSuite<P extends RowLossProblem> {
  problem(rows: number, vocabulary: number, scale: number): P;
  reference(at: P): RowLossResult;
  onGpu(
    at: P,
    span: [start: number, rows: number],
    lanes?: number,
  ): Promise<Record<'loss' | 'slope', Float32Array>>;
}

const UNTOUCHED = -9;

/** Runs a loss over rows [start, start + rows); `inputs` are its buffers beside logits and losses. */
export async function runRowLoss<K extends string>(
  subgroups: boolean,
  { student, coef }: RowLossProblem,
  [start, rows]: readonly [number, number],
  inputs: Record<K, Float32Array | Uint32Array>,
  bind: (
    gpu: Gpu,
    buffers: Record<K | 'studentLogits' | 'coef' | 'rowLoss', GPUBuffer>,
    span: Span,
  ) => Promise<Op>,
): Promise<Record<'loss' | 'slope', Float32Array>> {
  const gpu = await testGpu(subgroups);
  const span = new Span(gpu, 'test');
  span.set(start, rows);
  const rowLoss = new Float32Array(coef.length).fill(UNTOUCHED);
  const all = { ...inputs, studentLogits: student, coef, rowLoss };
  const buffers = Object.fromEntries(
    Object.entries<Float32Array | Uint32Array>(all).map(([name, data]) => [
      name,
      gpu.upload(name, data),
    ]),
  ) as Record<keyof typeof all, GPUBuffer>;
  gpu.run([await bind(gpu, buffers, span)]);
  const result = {
    loss: await gpu.readFloats(buffers.rowLoss, coef.length),
    slope: await gpu.readFloats(buffers.studentLogits, student.length),
  };
  gpu.release(...Object.values<GPUBuffer>(buffers));
  span.release();
  return result;
}

/** `extreme`: relative error of the gradient that logits up to ±80 may have. */
export function itIsAccurate<P extends RowLossProblem>(
  { problem, reference, onGpu }: RowLossSuite<P>,
  extreme = 1e-5,
): void {
  it.each([
    [1, 1, 4],
    [5, 63, 4],
    [63, 64, 4],
    [64, 65, 64],
    [65, 517, 4],
    [10, 517, 64],
    [10, 2048, 4],
    [5, 2048, 256],
    [5, 32001, undefined],
  ])('agrees with f64 on %i rows of %i tokens', async (rows, vocabulary, lanes) => {
    const at = problem(rows, vocabulary, 3);
    const wanted = reference(at);
    const got = await onGpu(at, [0, rows], lanes);
    expect(relativeError(got.loss, wanted.loss)).toBeLessThan(1e-5);
    expect(relativeError(got.slope, wanted.slope)).toBeLessThan(1e-5);
  });

  it('stays accurate for logits up to ±80', async () => {
    const at = problem(20, 517, 40);
    const wanted = reference(at);
    const got = await onGpu(at, [0, 20]);
    expect(relativeError(got.loss, wanted.loss)).toBeLessThan(1e-5);
    expect(relativeError(got.slope, wanted.slope)).toBeLessThan(extreme);
  });
}

export function itStaysInItsSpan<P extends RowLossProblem>({
  problem,
  reference,
  onGpu,
}: RowLossSuite<P>): void {
  it('touches no row outside its span', async () => {
    const at = problem(9, 65, 3);
    const got = await onGpu(at, [3, 4]);
    const inside = [3 * 65, 7 * 65] as const;
    const wanted = Array.from(reference(at).slope).slice(...inside);
    expect(relativeError(got.slope.slice(...inside), wanted)).toBeLessThan(1e-5);
    expect(got.slope.slice(0, inside[0])).toEqual(at.student.slice(0, inside[0]));
    expect(got.slope.slice(inside[1])).toEqual(at.student.slice(inside[1]));
    expect([...got.loss].map((value) => value === UNTOUCHED)).toEqual(
      [...Array(9).keys()].map((r) => r < 3 || r >= 7),
    );
  });
}
