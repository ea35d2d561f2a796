/**
 * The decoder's forward pass over packed rows, as a list of bound dispatches that is made once.
 *
 * `keep: true` keeps every layer's activations for the backward pass; otherwise layers share one
 * set of buffers. Keys and values always go to a pool of their own: row `self[row]`, which is the
 * row itself in training and a cache slot in generation.
 */
import { type AttentionKernel, createAttention } from '../kernels/attention';
import { createEmbedding, type EmbeddingKernel } from '../kernels/embedding';
import { type Gpu, type Op, Span } from '../kernels/gpu';
import { createRmsNorm, type RmsNormKernel } from '../kernels/rmsnorm';
import { createRope, type RopeKernel } from '../kernels/rope';
import { createRows, type RowsKernel } from '../kernels/rows';
import { createSwiglu, type SwigluKernel } from '../kernels/swiglu';
import { RowBuffers } from './batch';
import type { DecoderWeights } from './weights';

/** Pipelines of the forward pass, shared by every pass over one model. */
export interface ForwardKernels {
  attention: AttentionKernel;
  embedding: EmbeddingKernel;
  norm: RmsNormKernel;
  ropeQ: RopeKernel;
  ropeK: RopeKernel;
  rows: RowsKernel;
  kvRows: RowsKernel;
  swiglu: SwigluKernel;
}

export async function createForwardKernels(
  gpu: Gpu,
  weights: DecoderWeights,
): Promise<ForwardKernels> {
  const { dim, heads, kvHeads, headDim, ffnDim, vocabSize, normEps } = weights.config;
  const linears = weights.layers.flatMap((layer) => [
    ...[layer.q, layer.k, layer.v, layer.gate, layer.up].map((l) => l.prepare(['forward'])),
    ...[layer.o, layer.down].map((l) => l.prepare(['forward-residual'])),
  ]);
  const [attention, embedding, norm, ropeQ, ropeK, rows, kvRows, swiglu] = await Promise.all([
    createAttention(gpu, { heads, kvHeads, headDim, scale: 1 / Math.sqrt(headDim) }),
    createEmbedding(gpu, { dim, vocabulary: vocabSize }),
    createRmsNorm(gpu, { dim, eps: normEps }),
    createRope(gpu, { heads, headDim }),
    createRope(gpu, { heads: kvHeads, headDim }),
    createRows(gpu, { dim }),
    createRows(gpu, { dim: kvHeads * headDim }),
    createSwiglu(gpu, { dim: ffnDim }),
    weights.head.prepare(['forward']),
    ...linears,
  ]);
  return { attention, embedding, norm, ropeQ, ropeK, rows, kvRows, swiglu };
}

/** Keys (after RoPE) and values of every layer, [rows, kvHeads · headDim]. */
export class KvPool {
  readonly keys: GPUBuffer[];
  readonly values: GPUBuffer[];

  constructor(
    private readonly gpu: Gpu,
    weights: DecoderWeights,
    readonly rows: number,
  ) {
    const { kvHeads, headDim } = weights.config;
    const bytes = rows * kvHeads * headDim * 4;
    this.keys = weights.layers.map((_, i) => gpu.storage(`layer ${i} key pool`, bytes));
    this.values = weights.layers.map((_, i) => gpu.storage(`layer ${i} value pool`, bytes));
  }

  release(): void {
    this.gpu.release(...this.keys, ...this.values);
  }
}

/** Activations of one layer, [capacity, …] f32. */
export interface LayerActivations {
  /** Residual stream that enters the layer, [rows, dim]. */
  input: GPUBuffer;
  /** Queries after RoPE, [rows, heads · headDim]. */
  q: GPUBuffer;
  /** Attention output before o_proj, [rows, heads · headDim]. */
  attended: GPUBuffer;
  /** [rows, heads]. */
  lse: GPUBuffer;
  /** Residual stream between attention and MLP, [rows, dim]. */
  middle: GPUBuffer;
  /** [rows, ffnDim]. */
  gate: GPUBuffer;
  up: GPUBuffer;
}

export interface ForwardOptions {
  /** Most rows of one run. */
  capacity: number;
  /** Keep activations for the backward pass; keys and values then stay in row order. */
  keep: boolean;
  pool: KvPool;
  /** Rows belong to different sequences each: another attention variant, same result. */
  decode?: boolean;
  label: string;
}

export class ForwardPass {
  readonly rows: RowBuffers;
  /** All rows, the soft prompt's rows and the token rows of the present batch. */
  readonly all: Span;
  readonly prefix: Span;
  readonly text: Span;
  /** Values of the soft prompt, [≥ prefix rows, dim]; copied to the first rows. */
  readonly softPrompt: GPUBuffer;
  readonly layers: LayerActivations[];
  /** Residual stream after the last layer, before the final norm, [rows, dim]. */
  readonly output: GPUBuffer;
  readonly ops: Op[];
  readonly pool: KvPool;

  private readonly owned: GPUBuffer[] = [];

  constructor(
    private readonly gpu: Gpu,
    weights: DecoderWeights,
    kernels: ForwardKernels,
    options: ForwardOptions & { maxPrefix: number },
  ) {
    const { capacity, keep, pool, label } = options;
    const { dim, heads, kvHeads, headDim, ffnDim } = weights.config;
    this.pool = pool;
    this.rows = new RowBuffers(gpu, capacity, label);
    this.all = new Span(gpu, `${label} all`);
    this.prefix = new Span(gpu, `${label} prefix`);
    this.text = new Span(gpu, `${label} text`);
    const floats = (name: string, width: number, rows = capacity) => {
      const buffer = gpu.storage(`${label} ${name}`, rows * width * 4);
      this.owned.push(buffer);
      return buffer;
    };
    this.softPrompt = floats('soft prompt', dim, Math.max(1, options.maxPrefix));

    const normed = floats('normed', dim);
    const kRaw = floats('k before rope', kvHeads * headDim);
    const vRaw = keep ? null : floats('v before scatter', kvHeads * headDim);
    const hidden = floats('mlp hidden', ffnDim);
    const activations = (input: GPUBuffer): LayerActivations => ({
      input,
      q: floats('q', heads * headDim),
      attended: floats('attended', heads * headDim),
      lse: floats('lse', heads),
      middle: floats('middle', dim),
      gate: floats('gate', ffnDim),
      up: floats('up', ffnDim),
    });
    let input = floats('residual', dim);
    const shared = keep ? null : activations(input);

    const { rows, all } = this;
    this.ops = [
      kernels.rows.bindCopy({
        x: this.softPrompt,
        span: this.prefix,
        y: input,
        place: this.prefix,
      }),
      kernels.embedding.bind({
        table: weights.embedding,
        token: rows.tokens,
        y: input,
        span: this.text,
      }),
    ];
    this.layers = [];
    const attend = options.decode ? kernels.attention.bindDecode : kernels.attention.bind;
    for (const [index, layer] of weights.layers.entries()) {
      const act = shared ?? activations(input);
      const k = pool.keys[index]!;
      const v = pool.values[index]!;
      const next = keep ? floats('residual', dim) : input;
      const rope = { cos: weights.cos, sin: weights.sin, positions: rows.positions, span: all };
      this.ops.push(
        kernels.norm.bind({ x: act.input, weight: layer.inputNorm, y: normed, span: all }),
        layer.q.bindForward({ x: normed, y: act.q, span: all }),
        layer.k.bindForward({ x: normed, y: kRaw, span: all }),
        layer.v.bindForward({ x: normed, y: vRaw ?? v, span: all }),
        kernels.ropeQ.bind({ x: act.q, y: act.q, ...rope }),
        kernels.ropeK.bind({ x: kRaw, y: k, destination: rows.self, ...rope }),
      );
      if (vRaw) {
        this.ops.push(kernels.kvRows.bindScatter({ x: vRaw, y: v, index: rows.self, span: all }));
      }
      this.ops.push(
        attend({
          q: act.q,
          k,
          v,
          keys: rows.keys,
          self: rows.self,
          o: act.attended,
          lse: act.lse,
          span: all,
        }),
        layer.o.bindForward({ x: act.attended, residual: act.input, y: act.middle, span: all }),
        kernels.norm.bind({ x: act.middle, weight: layer.postNorm, y: normed, span: all }),
        layer.gate.bindForward({ x: normed, y: act.gate, span: all }),
        layer.up.bindForward({ x: normed, y: act.up, span: all }),
        kernels.swiglu.bind({ gate: act.gate, up: act.up, h: hidden, span: all }),
        layer.down.bindForward({ x: hidden, residual: act.middle, y: next, span: all }),
      );
      this.layers.push(act);
      input = next;
    }
    this.output = input;
  }

  /** Says which rows the next run works on: `prefix` soft-prompt rows, then the token rows. */
  setRows(prefix: number, rows: number): void {
    this.prefix.set(0, prefix);
    this.text.set(prefix, rows - prefix);
    this.all.set(0, rows);
  }

  release(): void {
    this.gpu.release(...this.owned);
    this.rows.release();
    this.all.release();
    this.prefix.release();
    this.text.release();
  }
}
