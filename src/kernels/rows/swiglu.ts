/** SwiGLU and GeGLU activations, forward and backward. Formula in swiglu.wgsl. */
import { bind, spread, type Gpu, type Op, type Span } from '../gpu/gpu';
import { positive } from './reduce-lanes';
import source from './swiglu.wgsl?raw';
import { specialise } from '../gpu/wgsl';

export interface SwigluShape {
  /** Width of a row (the MLP's hidden size). */
  dim: number;
  /** Default 'silu'; 'gelu-tanh' makes it GeGLU. */
  activation?: 'silu' | 'gelu-tanh';
}

export interface SwigluForward {
  /** [rows, dim] */
  gate: GPUBuffer;
  /** [rows, dim] */
  up: GPUBuffer;
  /** [rows, dim], written. */
  h: GPUBuffer;
  span: Span;
}

export interface SwigluBackward {
  /** Gradient of h [rows, dim]. */
  dh: GPUBuffer;
  /** Forward's gate [rows, dim]; overwritten by its gradient. */
  gate: GPUBuffer;
  /** Forward's up [rows, dim]; overwritten by its gradient. */
  up: GPUBuffer;
  span: Span;
}

export interface SwigluKernel {
  bind(args: SwigluForward): Op;
  /** In place: gate and up hold dgate and dup afterwards. */
  bindBackward(args: SwigluBackward): Op;
}

const GROUP = 64;

/** @throws RangeError on a width below 1. */
export async function createSwiglu(gpu: Gpu, shape: SwigluShape): Promise<SwigluKernel> {
  const { dim, activation = 'silu' } = shape;
  positive('dim', dim);
  const vec4 = dim % 4 === 0;
  const code = (backward: boolean): string =>
    specialise(
      source,
      { DIM: dim, GROUP },
      { VEC4: vec4, BACKWARD: backward, GELU: activation === 'gelu-tanh' },
    );
  const [forward, backward] = await Promise.all([
    gpu.pipeline('swiglu', code(false)),
    gpu.pipeline('swiglu backward', code(true)),
  ]);
  const perRow = vec4 ? dim / 4 : dim;
  const grid = (span: Span) => () => spread(Math.ceil((span.rows * perRow) / GROUP));
  return {
    bind: ({ gate, up, h, span }) =>
      bind(gpu, 'swiglu', forward, [gate, up, h, span.buffer], grid(span)),
    bindBackward: ({ dh, gate, up, span }) =>
      bind(gpu, 'swiglu backward', backward, [dh, gate, up, span.buffer], grid(span)),
  };
}
