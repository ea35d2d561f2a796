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
import { type ForwardKernels, type ForwardPass, perWindow } from './forward';
import type { DecoderWeights, LinearLayer } from './weights';

export interface BackwardKernels extends ForwardKernels {
  /** One for each layer. */
  attentionBackward: AttentionBackwardKernel[];
}

export async function createBackwardKernels(
  gpu: Gpu,
  weights: DecoderWeights,
  forward: ForwardKernels,
): Promise<BackwardKernels> {
  const overwriting = (layers: LinearLayer[]) => layers.map((l) => l.prepare(['backward']));
  const adding = (layers: LinearLayer[]) => layers.map((l) => l.prepare(['backward-accumulate']));
  const [attentionBackward] = await Promise.all([
    perWindow(weights.config, (shape) => createAttentionBackward(gpu, shape)),
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
    const { dim, heads, kvHeads, headDim, ffnDim, qkNorm, outputNorms } = weights.config;
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
    const partialBytes = kernels.attentionBackward.map((kernel) =>
      kernel.partialBytes(Math.max(1, options.maxPrefix)),
    );
    const partial = gpu.storage('backward prefix partials', Math.max(...partialBytes));
    this.owned.push(partial);
    const dBranch = outputNorms ? floats('branch gradient', dim) : null;
    const unnormed = qkNorm
      ? {
          q: floats('unnormed q gradient', heads * headDim),
          k: floats('unnormed k gradient', kvHeads * headDim),
        }
      : null;

    const dx = this.gradient;
    const { rows, all, prefix, text } = forward;
    for (let index = weights.layers.length - 1; index >= 0; index--) {
      const layer = weights.layers[index]!;
      const act = forward.layers[index]!;
      const k = forward.pool.keys[index]!;
      const v = forward.pool.values[index]!;
      const { gate, up } = act;
      const attentionBackward = kernels.attentionBackward[index]!;
      /** The gradient of a sublayer's output: through its norm where it has one. */
      const throughNorm = (branch: 'attention' | 'mlp') => {
        if (!dBranch || !act.branches || !layer.outputNorms) return { dy: dx, ops: [] };
        const x = act.branches[branch];
        const weight = layer.outputNorms[branch];
        const args = { x, weight, dy: dx, dx: dBranch, accumulate: false, span: all };
        return { dy: dBranch, ops: [kernels.norm.bindBackward(args)] };
      };
      const mlp = throughNorm('mlp');
      const attention = throughNorm('attention');
      const inputs = { q: act.q, k, v, dO: dAttended, stats };
      // Layer 0 owes a gradient to the soft prompt only.
      const span = index === 0 ? prefix : all;
      const rope = { cos: weights.cos, sin: weights.sin, positions: rows.positions, span };
      this.ops.push(
        ...mlp.ops,
        layer.down.bindBackward({ dy: mlp.dy, dx: dHidden, accumulate: false, span: all }),
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
        ...attention.ops,
        layer.o.bindBackward({ dy: attention.dy, dx: dAttended, accumulate: false, span: all }),
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
          attentionBackward.bindText({
            ...inputs,
            queryEnd: rows.queryEnd,
            positions: rows.positions,
            dK,
            dV,
            span: text,
          }),
        );
      }
      this.ops.push(
        kernels.ropeQ.bindInverse({ x: dQ, y: dQ, ...rope }),
        kernels.ropeK.bindInverse({ x: dK, y: dK, ...rope }),
      );
      if (kernels.headNorm && unnormed && act.unnormed && layer.qkNorms) {
        const { allQ, allK, prefixQ, prefixK } = forward.heads;
        const [spanQ, spanK] = index === 0 ? [prefixQ, prefixK] : [allQ, allK];
        const { q: qNorm, k: kNorm } = layer.qkNorms;
        const q = { x: act.unnormed.q, weight: qNorm, dy: dQ, dx: unnormed.q, span: spanQ };
        const k = { x: act.unnormed.k, weight: kNorm, dy: dK, dx: unnormed.k, span: spanK };
        this.ops.push(
          kernels.headNorm.bindBackward({ ...q, accumulate: false }),
          kernels.headNorm.bindBackward({ ...k, accumulate: false }),
        );
      }
      this.ops.push(
        layer.q.bindBackward({ dy: unnormed?.q ?? dQ, dx: dNormed, accumulate: false, span }),
        layer.k.bindBackward({ dy: unnormed?.k ?? dK, dx: dNormed, accumulate: true, span }),
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
