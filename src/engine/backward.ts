/**
 * Backward pass from the residual stream after the last layer to what is trained. Weights are frozen,
 * so of them there are only input gradients. In the last layer only the chosen rows have gradients,
 * but for keys and values. In layer 0 nothing but a soft prompt's own rows is needed, so
 * everything after attention's backward works on the prefix alone.
 */
import {
  type AttentionBackwardKernel,
  type AttentionGradientInputs,
  createAttentionBackward,
} from '../kernels/attention/attention-backward';
import type { Gpu, Op, Span } from '../kernels/gpu/gpu';
import type { QueryRows } from './query-rows';
import type { ForwardPass } from './forward';
import { type ForwardKernels, perWindow } from './forward-kernels';
import { partialBytes, scratchWidths } from './layout';
import type { GradientReach } from './trainable/shape';
import type { DecoderWeights, LinearLayer } from './weights';
import { withWork } from './work';

export interface BackwardKernels extends ForwardKernels {
  /** One for each layer. */
  attentionBackward: AttentionBackwardKernel[];
}

/** `partitions`: how many parts the queries of prefix keys are split into (layout.ts). */
export async function createBackwardKernels(
  gpu: Gpu,
  weights: DecoderWeights,
  forward: ForwardKernels,
  partitions: number,
): Promise<BackwardKernels> {
  const overwriting = (layers: LinearLayer[]) => layers.map((l) => l.prepare(['backward']));
  const adding = (layers: LinearLayer[]) => layers.map((l) => l.prepare(['backward-accumulate']));
  const [attentionBackward] = await Promise.all([
    perWindow(weights.config, (shape) => createAttentionBackward(gpu, { ...shape, partitions })),
    weights.head.prepare(['backward']),
    ...weights.layers.flatMap((layer) => [
      ...overwriting([layer.q, layer.o, layer.down, layer.gate]),
      ...adding([layer.k, layer.v, layer.up]),
    ]),
  ]);
  return { ...forward, attentionBackward };
}

export interface BackwardOptions {
  capacity: number;
  maxPrefix: number;
  /** How far down gradients are wanted. */
  reach: GradientReach;
}

export class BackwardPass {
  /**
   * Gradient of the residual stream, [capacity, dim]: in, of the output's rows; out, of all rows of
   * the input.
   */
  readonly gradient: GPUBuffer;
  readonly ops: Op[] = [];

  private readonly owned: GPUBuffer[] = [];
  private readonly stats: GPUBuffer;
  private readonly partial: { k: GPUBuffer; v: GPUBuffer } | null;
  /** Inputs of adapted layers, computed again, [capacity, widest of them]; null where none is. */
  private readonly input: GPUBuffer | null;
  private readonly reach: GradientReach;

  /**
   * Uses up the activations of `forward`, whose buffers take gradients as soon as their own contents
   * are done with: `hidden` dHidden and dO, `normed` every gradient of a sublayer's input or output and
   * partial sums of dV, `attended` dQ, `gate` and `up` their own gradients and then dK and dV, `middle`
   * partial sums of dK and the gradient of the chosen rows' part in the input, q and k the gradients
   * before their norms.
   */
  constructor(
    private readonly gpu: Gpu,
    private readonly weights: DecoderWeights,
    private readonly kernels: BackwardKernels,
    private readonly forward: ForwardPass,
    options: BackwardOptions,
  ) {
    const { config } = weights;
    const storage = (name: string, bytes: number) => {
      const buffer = gpu.storage(`backward ${name}`, bytes);
      this.owned.push(buffer);
      return buffer;
    };
    const widths = scratchWidths(config, 'layers');
    this.gradient = storage('residual gradient', options.capacity * widths.gradient * 4);
    this.stats = storage('attention stats', options.capacity * widths.stats * 4);
    const bytes = partialBytes(config, options.capacity, options.maxPrefix);
    const half = (name: string) => storage(`prefix partials of ${name}`, bytes / 2);
    this.partial = bytes > 0 ? { k: half('keys'), v: half('values') } : null;
    const width = inputWidth(weights);
    this.input = width > 0 ? storage('adapted inputs', options.capacity * width * 4) : null;
    this.reach = options.reach;
    const lowest = options.reach.to === 'layers' ? options.reach.lowest : 0;
    for (let index = config.layers - 1; index >= 0; index--) {
      const { steering } = weights.layers[index]!;
      if (steering) {
        this.ops.push(steering.bindGradient({ dy: this.gradient, span: this.tail(index) }));
      }
      if (index < lowest) continue;
      this.ops.push(
        ...forward.restore[index]!,
        ...this.mlp(index),
        ...this.attention(index),
        ...this.projections(index),
      );
    }
  }

  /** The rows that were queries in a layer and that it went on with. */
  private queries(index: number): QueryRows {
    const { chosen, rows, layers } = this.forward;
    return index === layers.length - 1 && chosen ? chosen.rows : rows;
  }

  private tail(index: number): Span {
    return this.queries(index).span;
  }

  /** The residual stream's gradient from the chosen rows back to all rows. */
  private spread(index: number): Op[] {
    const { chosen, all, scratch, layers } = this.forward;
    if (!chosen || index < layers.length - 1) return [];
    const { rows } = this.kernels;
    const { span } = chosen.rows;
    const copy = scratch.normed;
    return [
      rows.bindCopy({ x: this.gradient, span, y: copy, place: span }),
      rows.bindClear({ y: this.gradient, span: all }),
      rows.bindScatter({ x: copy, y: this.gradient, index: chosen.index, span }),
    ];
  }

  /** The rows of a layer's input whose gradient is wanted: of layer 0 at most a soft prompt's. */
  private wanted(index: number): Span {
    return this.prefixOnly(index) ? this.forward.prefix : this.forward.all;
  }

  private prefixOnly(index: number): boolean {
    return index === 0 && this.reach.to === 'prefix';
  }

  /** `ops`, which bring a layer's input to `input`, where one of `layers` asks for it. */
  private inputOf(layers: readonly LinearLayer[], ops: (y: GPUBuffer) => Op[]): Op[] {
    return this.input && layers.some(({ adapted }) => adapted) ? ops(this.input) : [];
  }

  /** The gradient of a sublayer's output: through its norm where it has one. */
  private throughNorm(index: number, branch: 'attention' | 'mlp'): { dy: GPUBuffer; ops: Op[] } {
    const { outputNorms } = this.weights.layers[index]!;
    const { branches } = this.forward.layers[index]!;
    if (!branches || !outputNorms) return { dy: this.gradient, ops: [] };
    const args = { x: branches[branch], weight: outputNorms[branch], dy: this.gradient };
    const dx = this.forward.scratch.normed;
    const span = this.tail(index);
    const op = this.kernels.norm.bindBackward({ ...args, dx, accumulate: false, span });
    return { dy: dx, ops: [op] };
  }

  private mlp(index: number): Op[] {
    const layer = this.weights.layers[index]!;
    const { gate, up, middle: x } = this.forward.layers[index]!;
    const { normed, hidden } = this.forward.scratch;
    const span = this.tail(index);
    const { dy, ops } = this.throughNorm(index, 'mlp');
    const weight = layer.postNorm;
    const args = { x, weight, dy: normed, dx: this.gradient };
    const { swiglu, norm } = this.kernels;
    const input = this.input ?? undefined;
    return [
      ...ops,
      ...this.inputOf([layer.down], (h) => [swiglu.bind({ gate, up, h, span })]),
      ...layer.down.bindBackward({ dy, dx: hidden, x: input, accumulate: false, span }),
      swiglu.bindBackward({ dh: hidden, gate, up, span }),
      ...this.inputOf([layer.gate, layer.up], (y) => [norm.bind({ x, weight, y, span })]),
      ...layer.gate.bindBackward({ dy: gate, dx: normed, x: input, accumulate: false, span }),
      ...layer.up.bindBackward({ dy: up, dx: normed, x: input, accumulate: true, span }),
      norm.bindBackward({ ...args, accumulate: true, span }),
    ];
  }

  private attention(index: number): Op[] {
    const layer = this.weights.layers[index]!;
    const act = this.forward.layers[index]!;
    const { q, k, v, attended, lse, gate: dK, up: dV } = act;
    const { prefixParts, text, scratch, pairWork } = this.forward;
    const dO = scratch.hidden;
    const { stats } = this;
    const partial = this.partial ?? { k: act.middle, v: scratch.normed };
    const kernel = this.kernels.attentionBackward[index]!;
    const { dy, ops } = this.throughNorm(index, 'attention');
    const queries = this.queries(index);
    const { seen, span } = queries;
    const inputs = { q, k, v, dO, stats };
    // Per query and key: two products in the forward pass, three for dQ, four for dK and dV.
    const ofPrefix = prefixParts.flatMap((part) => {
      const [sums, reduction] = kernel.bindPrefix({ ...inputs, seen, partial, dK, dV, span: part });
      return [withWork(sums, () => 2 * pairWork * part.rows * span.rows), reduction];
    });
    return [
      ...ops,
      ...layer.o.bindBackward({ dy, dx: dO, x: attended, accumulate: false, span }),
      ...this.spread(index),
      kernel.bindStats({ o: attended, dO, lse, stats, span }),
      ...this.queryGradient(index, inputs),
      ...ofPrefix,
      ...(this.prefixOnly(index)
        ? []
        : [
            withWork(
              kernel.bindText({ ...inputs, seen, dK, dV, span: text }),
              (part = text) => 2 * pairWork * queries.pairsOfKeys(part),
              text,
            ),
          ]),
    ];
  }

  /** Whether a layer's queries have a gradient that is wanted: chosen rows are no soft-prompt rows. */
  private wantsQueries(index: number): boolean {
    return !this.prefixOnly(index) || this.queries(index) === this.forward.rows;
  }

  /** dQ to `attended`. */
  private queryGradient(index: number, inputs: AttentionGradientInputs): Op[] {
    if (!this.wantsQueries(index)) return [];
    const queries = this.queries(index);
    const { keys, self } = queries;
    const dQ = this.forward.layers[index]!.attended;
    const span = this.prefixOnly(index) ? this.forward.prefix : queries.span;
    const op = this.kernels.attentionBackward[index]!.bindQuery({
      ...inputs,
      keys,
      self,
      dQ,
      span,
    });
    const work = (part: Pick<Span, 'start' | 'rows'> = span) =>
      1.5 * this.forward.pairWork * queries.pairs(part);
    return [withWork(op, work, span)];
  }

  /** From dQ, dK and dV through RoPE, head norms and projections to the residual stream. */
  private projections(index: number): Op[] {
    const { weights, kernels, forward } = this;
    const layer = weights.layers[index]!;
    const { input: x, k, unnormed, gate: dK, up: dV } = forward.layers[index]!;
    const { normed } = forward.scratch;
    const { cos, sin } = weights;
    const span = this.wanted(index);
    const { positions } = forward.rows;
    const ops = [kernels.ropeK.bindInverse({ x: dK, y: dK, cos, sin, positions, span })];
    let dKeys = dK;
    if (kernels.headNorm && unnormed && layer.qkNorms) {
      const heads = this.prefixOnly(index) ? forward.heads.prefixK : forward.heads.allK;
      const args = { x: unnormed.k, weight: layer.qkNorms.k, dy: dK, dx: k, span: heads };
      ops.push(kernels.headNorm.bindBackward({ ...args, accumulate: false }));
      dKeys = k;
    }
    const weight = layer.inputNorm;
    const norm = { x, weight, dy: normed, dx: this.gradient };
    const input = this.input ?? undefined;
    return [
      ...ops,
      ...this.inputOf([layer.q, layer.k, layer.v], (y) => [
        kernels.norm.bind({ x, weight, y, span }),
      ]),
      ...this.throughQueries(index),
      ...layer.k.bindBackward({ dy: dKeys, dx: normed, x: input, accumulate: true, span }),
      ...layer.v.bindBackward({ dy: dV, dx: normed, x: input, accumulate: true, span }),
      kernels.norm.bindBackward({ ...norm, accumulate: true, span }),
    ];
  }

  /** From dQ to `normed` on all rows whose gradient is wanted. */
  private throughQueries(index: number): Op[] {
    const { weights, kernels, forward } = this;
    const { cos, sin, layers } = weights;
    const layer = layers[index]!;
    const { q, unnormed, attended: dQ, middle } = forward.layers[index]!;
    const { normed, hidden } = forward.scratch;
    const wanted = this.wanted(index);
    const clear = kernels.rows.bindClear({ y: normed, span: wanted });
    if (!this.wantsQueries(index)) return [clear];
    const queries = this.queries(index);
    const { positions } = queries;
    const prefixOnly = this.prefixOnly(index);
    const span = prefixOnly ? forward.prefix : queries.span;
    const ops = [kernels.ropeQ.bindInverse({ x: dQ, y: dQ, cos, sin, positions, span })];
    let dy = dQ;
    if (kernels.headNorm && unnormed && layer.qkNorms) {
      const heads = prefixOnly ? forward.heads.prefixQ : queries.heads;
      const args = { x: unnormed.q, weight: layer.qkNorms.q, dy: dQ, dx: q, span: heads };
      ops.push(kernels.headNorm.bindBackward({ ...args, accumulate: false }));
      dy = q;
    }
    const back = (x: GPUBuffer | null, dx: GPUBuffer) =>
      layer.q.bindBackward({ dy, dx, x: x ?? undefined, accumulate: false, span });
    const { chosen } = forward;
    if (!chosen || queries !== chosen.rows) return [...ops, ...back(this.input, normed)];
    const { index: at } = chosen;
    return [
      ...ops,
      ...this.inputOf([layer.q], () => [
        kernels.rows.bindGather({ x: this.input!, y: hidden, index: at, span }),
      ]),
      ...back(hidden, middle),
      clear,
      kernels.rows.bindScatter({ x: middle, y: normed, index: at, span }),
    ];
  }

  release(): void {
    this.gpu.release(...this.owned);
  }
}

/** Floats a row of the widest input that an adapted layer asks for again; 0 where none does. */
export function inputWidth({ layers }: DecoderWeights): number {
  const widths = layers.flatMap(({ q, k, v, o, gate, up, down }) =>
    [q, k, v, o, gate, up, down].map(({ adapted, inFeatures }) => (adapted ? inFeatures : 0)),
  );
  return Math.max(0, ...widths);
}
