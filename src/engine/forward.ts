/**
 * The decoder's forward pass over packed rows, as a list of bound dispatches that is made once.
 *
 * `keep: true` keeps every layer's activations for the backward pass; otherwise layers share one
 * set of buffers. Keys and values always go to a pool of their own: row `self[row]`, which is the
 * row itself in training and a cache slot in generation.
 */
import type { DecoderConfig } from '../formats/onnx/decoder';
import { type AttentionKernel, type AttentionShape, createAttention } from '../kernels/attention';
import { createEmbedding } from '../kernels/embedding';
import { createEmbeddingInt4 } from '../kernels/embedding-int4';
import { type Gpu, type Op, Span } from '../kernels/gpu';
import { createRmsNorm, type RmsNormKernel } from '../kernels/rmsnorm';
import { createRope, type RopeKernel } from '../kernels/rope';
import { createRows, type RowsKernel } from '../kernels/rows';
import { createSoftCap, type SoftCapKernel } from '../kernels/soft-cap';
import { createSwiglu, type SwigluKernel } from '../kernels/swiglu';
import { RowBuffers } from './batch';
import type { DecoderWeights, LayerWeights } from './weights';

/** Looks tokens up in the model's table, times its factor. */
export interface EmbeddingLayer {
  /** `token` u32 [rows] to `y` [rows, dim]. */
  bind(args: { token: GPUBuffer; y: GPUBuffer; span: Span }): Op;
}

/** Pipelines of the forward pass, shared by every pass over one model. */
export interface ForwardKernels {
  /** One for each layer; layers of the same window share theirs. */
  attention: AttentionKernel[];
  embedding: EmbeddingLayer;
  norm: RmsNormKernel;
  /** RMSNorm of single heads (Qwen 3); null in other models. */
  headNorm: RmsNormKernel | null;
  /** Soft cap of the logits (Gemma 2); null in other models. */
  logitCap: SoftCapKernel | null;
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
  const { config } = weights;
  const { dim, heads, kvHeads, headDim, ffnDim, vocabSize, normEps, logitSoftCap } = config;
  const residual = config.outputNorms;
  const linears = weights.layers.flatMap((layer) => [
    ...[layer.q, layer.k, layer.v, layer.gate, layer.up].map((l) => l.prepare(['forward'])),
    ...[layer.o, layer.down].map((l) => l.prepare([residual ? 'forward' : 'forward-residual'])),
  ]);
  const [attention, embedding, norm, headNorm, logitCap, ...others] = await Promise.all([
    perWindow(weights.config, (shape) => createAttention(gpu, shape)),
    createEmbeddingLayer(gpu, weights),
    createRmsNorm(gpu, { dim, eps: normEps, residual }),
    config.qkNorm ? createRmsNorm(gpu, { dim: headDim, eps: normEps }) : null,
    logitSoftCap === null ? null : createSoftCap(gpu, { dim: vocabSize, cap: logitSoftCap }),
    createRope(gpu, { heads, headDim }),
    createRope(gpu, { heads: kvHeads, headDim }),
    createRows(gpu, { dim }),
    createRows(gpu, { dim: kvHeads * headDim }),
    createSwiglu(gpu, { dim: ffnDim, activation: config.activation }),
    weights.head.prepare(['forward']),
    ...linears,
  ]);
  const [ropeQ, ropeK, rows, kvRows, swiglu] = others;
  const made = { attention, embedding, norm, headNorm, logitCap };
  return { ...made, ropeQ, ropeK, rows, kvRows, swiglu };
}

async function createEmbeddingLayer(
  gpu: Gpu,
  { config, embedding }: DecoderWeights,
): Promise<EmbeddingLayer> {
  const shape = { dim: config.dim, vocabulary: config.vocabSize, scale: config.embeddingScale };
  if (embedding.kind === 'dense') {
    const { table } = embedding;
    const kernel = await createEmbedding(gpu, shape);
    return { bind: (args) => kernel.bind({ table, ...args }) };
  }
  const { table } = embedding;
  const zeroPoints = table.zeroPoints !== undefined;
  const kernel = await createEmbeddingInt4(gpu, { ...shape, zeroPoints });
  return { bind: (args) => kernel.bind({ table, ...args }) };
}

/** One kernel a layer, made once for each window that there is. */
export async function perWindow<K>(
  config: DecoderConfig,
  create: (shape: AttentionShape) => Promise<K>,
): Promise<K[]> {
  const { heads, kvHeads, headDim, attentionScale: scale, attentionSoftCap } = config;
  const made = new Map<number | null, Promise<K>>();
  return Promise.all(
    config.windows.map((window) => {
      // A window as long as the longest sequence hides nothing.
      const width = window !== null && window < config.maxPositions ? window : null;
      const kernel =
        made.get(width) ??
        create({
          ...{ heads, kvHeads, headDim, scale },
          ...(attentionSoftCap === null ? {} : { softCap: attentionSoftCap }),
          ...(width === null ? {} : { window: width }),
        });
      made.set(width, kernel);
      return kernel;
    }),
  );
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
  /** Queries and keys before their norms, where the model has those. */
  unnormed: { q: GPUBuffer; k: GPUBuffer } | null;
  /** Attention output before o_proj, [rows, heads · headDim]. */
  attended: GPUBuffer;
  /** [rows, heads]. */
  lse: GPUBuffer;
  /** Residual stream between attention and MLP, [rows, dim]. */
  middle: GPUBuffer;
  /** [rows, ffnDim]. */
  gate: GPUBuffer;
  up: GPUBuffer;
  /** Outputs of attention and MLP before their norms, [rows, dim], where the model has those. */
  branches: { attention: GPUBuffer; mlp: GPUBuffer } | null;
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
  /** The same rows counted in heads, for the norms of single heads. */
  readonly heads: { allQ: Span; allK: Span; prefixQ: Span; prefixK: Span };
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
    private readonly weights: DecoderWeights,
    kernels: ForwardKernels,
    options: ForwardOptions & { maxPrefix: number },
  ) {
    const { capacity, keep, pool, label } = options;
    const { dim, heads, kvHeads, headDim, ffnDim, qkNorm, outputNorms } = weights.config;
    this.pool = pool;
    this.rows = new RowBuffers(gpu, capacity, label);
    this.all = new Span(gpu, `${label} all`);
    this.prefix = new Span(gpu, `${label} prefix`);
    this.text = new Span(gpu, `${label} text`);
    const headSpan = (name: string) => new Span(gpu, `${label} ${name}`);
    this.heads = {
      allQ: headSpan('query heads'),
      allK: headSpan('key heads'),
      prefixQ: headSpan('prefix query heads'),
      prefixK: headSpan('prefix key heads'),
    };
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
      unnormed: qkNorm
        ? {
            q: floats('q before norm', heads * headDim),
            k: floats('k before norm', kvHeads * headDim),
          }
        : null,
      attended: floats('attended', heads * headDim),
      lse: floats('lse', heads),
      middle: floats('middle', dim),
      gate: floats('gate', ffnDim),
      up: floats('up', ffnDim),
      branches: outputNorms
        ? { attention: floats('attention output', dim), mlp: floats('mlp output', dim) }
        : null,
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
        token: rows.tokens,
        y: input,
        span: this.text,
      }),
    ];
    this.layers = [];
    for (const [index, layer] of weights.layers.entries()) {
      const act = shared ?? activations(input);
      const k = pool.keys[index]!;
      const v = pool.values[index]!;
      const next = keep ? floats('residual', dim) : input;
      const rope = { cos: weights.cos, sin: weights.sin, positions: rows.positions, span: all };
      this.ops.push(
        kernels.norm.bind({ x: act.input, weight: layer.inputNorm, y: normed, span: all }),
        layer.q.bindForward({ x: normed, y: act.unnormed?.q ?? act.q, span: all }),
        layer.k.bindForward({ x: normed, y: act.unnormed?.k ?? kRaw, span: all }),
        layer.v.bindForward({ x: normed, y: vRaw ?? v, span: all }),
        ...this.normHeads(kernels, layer, act, kRaw),
        kernels.ropeQ.bind({ x: act.q, y: act.q, ...rope }),
        kernels.ropeK.bind({ x: kRaw, y: k, destination: rows.self, ...rope }),
      );
      if (vRaw) {
        this.ops.push(kernels.kvRows.bindScatter({ x: vRaw, y: v, index: rows.self, span: all }));
      }
      const attention = kernels.attention[index]!;
      const attend = options.decode ? attention.bindDecode : attention.bind;
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
        ...this.addBranch(kernels, layer, act, 'attention', act.attended, act.middle),
        kernels.norm.bind({ x: act.middle, weight: layer.postNorm, y: normed, span: all }),
        layer.gate.bindForward({ x: normed, y: act.gate, span: all }),
        layer.up.bindForward({ x: normed, y: act.up, span: all }),
        kernels.swiglu.bind({ gate: act.gate, up: act.up, h: hidden, span: all }),
        ...this.addBranch(kernels, layer, act, 'mlp', hidden, next),
      );
      this.layers.push(act);
      input = next;
    }
    this.output = input;
  }

  /** q and k from before their norms to where RoPE reads them. */
  private normHeads(
    kernels: ForwardKernels,
    layer: LayerWeights,
    { q, unnormed }: LayerActivations,
    k: GPUBuffer,
  ): Op[] {
    const { headNorm } = kernels;
    if (!headNorm || !layer.qkNorms || !unnormed) return [];
    return [
      headNorm.bind({ x: unnormed.q, weight: layer.qkNorms.q, y: q, span: this.heads.allQ }),
      headNorm.bind({ x: unnormed.k, weight: layer.qkNorms.k, y: k, span: this.heads.allK }),
    ];
  }

  /** The output projection of attention or MLP, its norm if it has one, and the residual sum. */
  private addBranch(
    kernels: ForwardKernels,
    layer: LayerWeights,
    act: LayerActivations,
    branch: 'attention' | 'mlp',
    x: GPUBuffer,
    y: GPUBuffer,
  ): Op[] {
    const span = this.all;
    const linear = branch === 'attention' ? layer.o : layer.down;
    const residual = branch === 'attention' ? act.input : act.middle;
    if (!layer.outputNorms || !act.branches) return [linear.bindForward({ x, residual, y, span })];
    const output = act.branches[branch];
    const weight = layer.outputNorms[branch];
    return [
      linear.bindForward({ x, y: output, span }),
      kernels.norm.bind({ x: output, weight, residual, y, span }),
    ];
  }

  /** Says which rows the next run works on: `prefix` soft-prompt rows, then the token rows. */
  setRows(prefix: number, rows: number): void {
    this.prefix.set(0, prefix);
    this.text.set(prefix, rows - prefix);
    this.all.set(0, rows);
    const { heads, kvHeads } = this.weights.config;
    this.heads.allQ.set(0, rows * heads);
    this.heads.allK.set(0, rows * kvHeads);
    this.heads.prefixQ.set(0, prefix * heads);
    this.heads.prefixK.set(0, prefix * kvHeads);
  }

  release(): void {
    this.gpu.release(...this.owned);
    this.rows.release();
    this.all.release();
    this.prefix.release();
    this.text.release();
    for (const span of Object.values(this.heads)) span.release();
  }
}
