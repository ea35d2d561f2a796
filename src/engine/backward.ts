/**
 * Backward pass from the residual stream after the last layer to the soft-prompt rows. Weights are
 * frozen, so there are only input gradients. In layer 0 nothing but the soft prompt's own rows is
 * needed, so everything after attention's backward works on the prefix alone.
 */
import {
  type AttentionBackwardKernel,
  createAttentionBackward,
} from '../kernels/attention-backward';
import type { Gpu, Op } from '../kernels/gpu';
import type { ForwardKernels, ForwardPass } from './forward';
import type { DecoderWeights, LinearLayer } from './weights';

export interface BackwardKernels extends ForwardKernels {
  attentionBackward: AttentionBackwardKernel;
}

export async function createBackwardKernels(
  gpu: Gpu,
  weights: DecoderWeights,
  forward: ForwardKernels,
): Promise<BackwardKernels> {
  const { heads, kvHeads, headDim } = weights.config;
  const overwriting = (layers: LinearLayer[]) => layers.map((l) => l.prepare(['backward']));
  const adding = (layers: LinearLayer[]) => layers.map((l) => l.prepare(['backward-accumulate']));
  const [attentionBackward] = await Promise.all([
    createAttentionBackward(gpu, { heads, kvHeads, headDim, scale: 1 / Math.sqrt(headDim) }),
    weights.head.prepare(['backward']),
    ...weights.layers.flatMap((layer) => [
      ...overwriting([layer.q, layer.o, layer.down, layer.gate]),
      ...adding([layer.k, layer.v, layer.up]),
    ]),
  ]);
  return { ...forward, attentionBackward };
}

export class BackwardPass {
  /** Gradient of the residual stream, [capacity, dim]: in, of the output; out, of the input rows. */
  readonly gradient: GPUBuffer;
  readonly ops: Op[] = [];

  private readonly owned: GPUBuffer[] = [];

  /** `forward` must keep its activations; its gate and up are overwritten by their gradients. */
  constructor(
    private readonly gpu: Gpu,
    weights: DecoderWeights,
    kernels: BackwardKernels,
    forward: ForwardPass,
    options: { capacity: number; maxPrefix: number },
  ) {
    const { dim, heads, kvHeads, headDim, ffnDim } = weights.config;
    const floats = (name: string, width: number, rows = options.capacity) => {
      const buffer = gpu.storage(`backward ${name}`, rows * width * 4);
      this.owned.push(buffer);
      return buffer;
    };
    this.gradient = floats('residual gradient', dim);
    const dNormed = floats('normed gradient', dim);
    const dHidden = floats('mlp gradient', ffnDim);
    const dAttended = floats('attended gradient', heads * headDim);
    const dQ = floats('q gradient', heads * headDim);
    const dK = floats('k gradient', kvHeads * headDim);
    const dV = floats('v gradient', kvHeads * headDim);
    const stats = floats('attention stats', heads * 2);
    const { attentionBackward } = kernels;
    const partial = gpu.storage(
      'backward prefix partials',
      attentionBackward.partialBytes(Math.max(1, options.maxPrefix)),
    );
    this.owned.push(partial);

    const dx = this.gradient;
    const { rows, all, prefix, text } = forward;
    for (let index = weights.layers.length - 1; index >= 0; index--) {
      const layer = weights.layers[index]!;
      const act = forward.layers[index]!;
      const k = forward.pool.keys[index]!;
      const v = forward.pool.values[index]!;
      const { gate, up } = act;
      const inputs = { q: act.q, k, v, dO: dAttended, stats };
      // Layer 0 owes a gradient to the soft prompt only.
      const span = index === 0 ? prefix : all;
      const rope = { cos: weights.cos, sin: weights.sin, positions: rows.positions, span };
      this.ops.push(
        layer.down.bindBackward({ dy: dx, dx: dHidden, accumulate: false, span: all }),
        kernels.swiglu.bindBackward({ dh: dHidden, gate, up, span: all }),
        layer.gate.bindBackward({ dy: gate, dx: dNormed, accumulate: false, span: all }),
        layer.up.bindBackward({ dy: up, dx: dNormed, accumulate: true, span: all }),
        kernels.norm.bindBackward({
          x: act.middle,
          weight: layer.postNorm,
          dy: dNormed,
          dx,
          accumulate: true,
          span: all,
        }),
        layer.o.bindBackward({ dy: dx, dx: dAttended, accumulate: false, span: all }),
        attentionBackward.bindStats({
          o: act.attended,
          dO: dAttended,
          lse: act.lse,
          stats,
          span: all,
        }),
        attentionBackward.bindQuery({ ...inputs, keys: rows.keys, self: rows.self, dQ, span }),
        ...attentionBackward.bindPrefix({
          ...inputs,
          keys: rows.keys,
          self: rows.self,
          partial,
          dK,
          dV,
          span: prefix,
          queries: all,
        }),
      );
      if (index > 0) {
        this.ops.push(
          attentionBackward.bindText({ ...inputs, queryEnd: rows.queryEnd, dK, dV, span: text }),
        );
      }
      this.ops.push(
        kernels.ropeQ.bindInverse({ x: dQ, y: dQ, ...rope }),
        kernels.ropeK.bindInverse({ x: dK, y: dK, ...rope }),
        layer.q.bindBackward({ dy: dQ, dx: dNormed, accumulate: false, span }),
        layer.k.bindBackward({ dy: dK, dx: dNormed, accumulate: true, span }),
        layer.v.bindBackward({ dy: dV, dx: dNormed, accumulate: true, span }),
        kernels.norm.bindBackward({
          x: act.input,
          weight: layer.inputNorm,
          dy: dNormed,
          dx,
          accumulate: true,
          span,
        }),
      );
    }
  }

  release(): void {
    this.gpu.release(...this.owned);
  }
}
