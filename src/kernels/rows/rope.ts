/**
 * Rotary position embedding from the model file's cos/sin caches, forward and inverse, in place,
 * out of place, or from projection rows into rows of the KV pool. Formula: rope.wgsl.
 */
import source from './rope.wgsl?raw';
import { bind, spread, type Gpu, type Op, type Span } from '../gpu/gpu';
import { specialise } from '../gpu/wgsl';

export interface RopeShape {
  /** Heads a row. */
  heads: number;
  /** A multiple of 8. */
  headDim: number;
}

export interface RopeBuffers {
  /** [rows, H·hd] */
  x: GPUBuffer;
  /** [maxPos, hd/2] */
  cos: GPUBuffer;
  /** [maxPos, hd/2] */
  sin: GPUBuffer;
  /** u32 [rows], each below maxPos. */
  positions: GPUBuffer;
  /** Out: [rows, H·hd]; the same buffer as `x` to work in place. */
  y: GPUBuffer;
  /** u32 [rows]: row i goes to row destination[i] of y, which is then another buffer than x. */
  destination?: GPUBuffer;
  /** Rows of x, positions and destination. */
  span: Span;
}

export interface RopeKernel {
  bind(buffers: RopeBuffers): Op;
  /** The inverse rotation: the transpose, as gradients need it. */
  bindInverse(buffers: RopeBuffers): Op;
  /** Frees the two small uniforms that the kernel owns. */
  release(): void;
}

const WORKGROUP = 64;

/** @throws RangeError where headDim is no multiple of 8. */
export async function createRope(gpu: Gpu, { heads, headDim }: RopeShape): Promise<RopeKernel> {
  if (headDim <= 0 || headDim % 8 || !Number.isInteger(heads) || heads <= 0)
    throw new RangeError(`RoPE cannot turn ${heads} heads of ${headDim}.`);
  // The number of heads and the direction stand in a uniform: three pipelines serve q, k and all
  // gradients.
  const make = (IN_PLACE: boolean, SCATTER: boolean) => {
    const constants = { WORKGROUP, HALF4: headDim / 8 };
    return gpu.pipeline('rope', specialise(source, constants, { IN_PLACE, SCATTER }));
  };
  const [inPlace, copy, scatter] = await Promise.all([
    make(true, false),
    make(false, false),
    make(false, true),
  ]);
  const forms = [0, 1].map((inverse) => {
    const form = gpu.uniform('rope form', 16);
    gpu.write(form, new Uint32Array([heads, inverse, 0, 0]));
    return form;
  });

  const bindForm = (form: GPUBuffer, buffers: RopeBuffers): Op => {
    const { x, cos, sin, positions, y, destination, span } = buffers;
    const grid = () => spread(Math.ceil((span.rows * heads * headDim) / 8 / WORKGROUP));
    const common = [span.buffer, form, cos, sin, positions, y];
    if (destination) {
      if (x === y) throw new RangeError('RoPE cannot scatter rows in place.');
      return bind(gpu, 'rope to pool', scatter, [...common, x, destination], grid);
    }
    if (x === y) return bind(gpu, 'rope in place', inPlace, common, grid);
    return bind(gpu, 'rope', copy, [...common, x], grid);
  };
  return {
    bind: (buffers) => bindForm(forms[0]!, buffers),
    bindInverse: (buffers) => bindForm(forms[1]!, buffers),
    release: () => gpu.release(...forms),
  };
}
