/** Soft cap of logits, forward and backward. Formula in soft-cap.wgsl. */
import { bind, spread, type Gpu, type Op, type Span } from '../gpu/gpu';
import { positive } from './reduce-lanes';
import source from './soft-cap.wgsl?raw';
import { specialise } from '../gpu/wgsl';

export interface SoftCapShape {
  /** Width of a row. */
  dim: number;
  /** Bound on the absolute value. */
  cap: number;
}

export interface SoftCapKernel {
  /** In place on y [rows, dim]; `kept` gets a copy, which the backward pass needs. */
  bind(args: { y: GPUBuffer; kept?: GPUBuffer; span: Span }): Op;
  /** In place: the gradient of the output becomes that of the input. */
  bindBackward(args: { dy: GPUBuffer; kept: GPUBuffer; span: Span }): Op;
}

const GROUP = 64;

/** @throws RangeError on a width below 1 or a cap that is not positive. */
export async function createSoftCap(gpu: Gpu, { dim, cap }: SoftCapShape): Promise<SoftCapKernel> {
  positive('dim', dim);
  if (!(cap > 0)) throw new RangeError(`A soft cap of ${cap} is not positive.`);
  const make = (label: string, BACKWARD: boolean, KEEP: boolean) =>
    gpu.pipeline(label, specialise(source, { DIM: dim, CAP_F: cap, GROUP }, { BACKWARD, KEEP }));
  const [plain, keeping, backward] = await Promise.all([
    make('soft cap', false, false),
    make('soft cap, keeping', false, true),
    make('soft cap backward', true, false),
  ]);
  const grid = (span: Span) => () => spread(Math.ceil((span.rows * dim) / GROUP));
  return {
    bind: ({ y, kept, span }) =>
      kept
        ? bind(gpu, 'soft cap', keeping, [span.buffer, y, kept], grid(span))
        : bind(gpu, 'soft cap', plain, [span.buffer, y], grid(span)),
    bindBackward: ({ dy, kept, span }) =>
      bind(gpu, 'soft cap backward', backward, [span.buffer, dy, kept], grid(span)),
  };
}
