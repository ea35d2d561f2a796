/**
 * The decoder's forward pass over packed rows, as a list of bound dispatches that is made once.
 *
 * What stays for the backward pass is a choice (layout.ts): every layer's activations, only the
 * layers' inputs, or nothing; what does not stay is shared by all layers. In generation keys and
 * values go to rows `self[row]` of a pool; in training they stay in row order.
 */
import { type Gpu, type Op, Span } from '../kernels/gpu/gpu';
import { QueryRows, type RowTables } from './query-rows';
import type { ForwardKernels } from './forward-kernels';
import { allocateLayers, type KvPool, type LayerActivations } from './layer-activations';
import { type Keep, scratchWidths } from './layout';
import type { DecoderWeights, LayerWeights } from './weights';
import { withWork } from './work';

/** Soft-prompt rows whose gradients are summed at a time. */
const PREFIX_PART = 64;

/** The rows that are queries in a layer and that it goes on with, and where their residual stream lies. */
interface LayerQueries {
  rows: QueryRows;
  residual: GPUBuffer;
}

/** Keys and values before they go to a pool; null where there is none. */
type RawHeads = { k: GPUBuffer; v: GPUBuffer } | null;

export interface ForwardOptions {
  /** Most rows of one run. */
  capacity: number;
  /** What stays for the backward pass. */
  keep: Keep;
  /** Where keys and values go in row `self[row]`; null: rows of their own, in row order. */
  pool: KvPool | null;
  maxPrefix: number;
  /** Rows belong to different sequences each: another attention variant, same result. */
  decode?: boolean;
  /**
   * The pass's output is wanted on the rows that `load` chooses only, so its last layer makes keys and
   * values of all rows and everything else of those alone. Default: on all rows.
   */
  choosing?: boolean;
  label: string;
}

/** Rows that a pass has an output for, close together. */
export interface ChosenRows {
  /** Row of each in the batch, u32 [capacity]. */
  index: GPUBuffer;
  rows: QueryRows;
}

export class ForwardPass {
  readonly capacity: number;
  /** Input token of each row, u32 [capacity]. */
  readonly tokens: GPUBuffer;
  /** All rows of the present batch. */
  readonly rows: QueryRows;
  /** Spans of all rows, the soft prompt's rows and the token rows. */
  readonly all: Span;
  readonly prefix: Span;
  readonly text: Span;
  /** The soft prompt's rows in parts, some of them empty: what a sum over all queries is cut by. */
  readonly prefixParts: readonly Span[];
  /** All rows and the soft prompt's counted in heads, for the norms of single heads. */
  readonly heads: { allK: Span; prefixQ: Span; prefixK: Span };
  /** Values of the soft prompt, [≥ prefix rows, dim]; copied to the first rows. */
  readonly softPrompt: GPUBuffer;
  readonly layers: readonly LayerActivations[];
  /** Residual stream after the last layer, before the final norm, [rows, dim]. */
  readonly output: GPUBuffer;
  /** What the backward pass may use as well once the output has been read. */
  readonly scratch: { normed: GPUBuffer; hidden: GPUBuffer };
  readonly ops: Op[];
  /** The rows of the output; null: all rows. */
  readonly chosen: ChosenRows | null = null;
  /** For each layer, what brings back the activations that were not kept. */
  readonly restore: Op[][] = [];

  /** Rows of a decoding pass, for kernels that are made for few; absent in others. */
  private readonly rowsNow?: () => number;
  private loaded = 0;
  private readonly owned: GPUBuffer[] = [];

  constructor(
    private readonly gpu: Gpu,
    private readonly weights: DecoderWeights,
    private readonly kernels: ForwardKernels,
    private readonly options: ForwardOptions,
  ) {
    const { capacity, keep, pool, label } = options;
    const { config } = weights;
    this.capacity = capacity;
    if (options.decode) this.rowsNow = () => this.loaded;
    this.rows = new QueryRows(gpu, capacity, `${label} all`);
    this.all = this.rows.span;
    this.prefix = new Span(gpu, `${label} prefix`);
    this.text = new Span(gpu, `${label} text`);
    this.prefixParts = Array.from(
      { length: Math.ceil(options.maxPrefix / PREFIX_PART) },
      () => new Span(gpu, `${label} part of prefix`),
    );
    const headSpan = (name: string) => new Span(gpu, `${label} ${name}`);
    this.heads = {
      allK: headSpan('key heads'),
      prefixQ: headSpan('prefix query heads'),
      prefixK: headSpan('prefix key heads'),
    };
    const floats = (name: string, width: number, rows = capacity) => {
      const buffer = gpu.storage(`${label} ${name}`, rows * width * 4);
      this.owned.push(buffer);
      return buffer;
    };
    this.tokens = floats('tokens', 1);
    this.softPrompt = floats('soft prompt', config.dim, Math.max(1, options.maxPrefix));
    const scratchOf = scratchWidths(config, keep);
    const normed = floats('normed', scratchOf.normed);
    const hidden = floats('mlp hidden', scratchOf.hidden);
    const raw = pool
      ? {
          k: floats('k before rope', scratchOf.kRaw),
          v: floats('v before scatter', scratchOf.vRaw),
        }
      : null;
    this.scratch = { normed, hidden };

    if (options.choosing) {
      const rows = new QueryRows(gpu, capacity, `${label} chosen`);
      this.chosen = { index: floats('chosen', 1), rows };
    }

    this.layers = allocateLayers(config, keep, pool, floats);
    const { tokens: token, prefix, text } = this;
    const input = this.layers[0]!.input;
    // A pass that keeps inputs has no room for one more: its output lies where `normed` was.
    this.output = keep === 'none' ? input : normed;
    this.ops = [
      kernels.rows.bindCopy({ x: this.softPrompt, span: prefix, y: input, place: prefix }),
      ...kernels.embedding.bind({ token, y: input, span: text }),
    ];
    for (const [index, layer] of weights.layers.entries()) {
      const act = this.layers[index]!;
      const next = this.layers[index + 1]?.input ?? this.output;
      const last = index === config.layers - 1;
      const chosen = last ? this.chosen : null;
      const queries: LayerQueries = chosen
        ? { rows: chosen.rows, residual: normed }
        : { rows: this.rows, residual: act.input };
      const { span } = queries.rows;
      const project = this.projectHeads(layer, act, raw, chosen);
      const place = this.placeHeads(layer, act, raw, queries.rows);
      const middle = [
        ...this.attend(index, act, queries.rows),
        ...this.addAttention(layer, act, queries),
      ];
      const gates = this.openGates(layer, act, span);
      const mlp = this.mlpOutput(layer, act, next, span);
      const steer = layer.steering ? [layer.steering.bindAdd({ y: next, span })] : [];
      const close = [...this.addMlp(layer, act, next, span), ...steer];
      this.ops.push(...project, ...place, ...middle, ...gates, ...mlp, ...close);
      this.restore.push(
        keep === 'layers'
          ? config.qkNorm
            ? place
            : []
          : last
            ? []
            : [...project, ...place, ...middle, ...gates, ...(act.branches ? mlp : [])],
      );
    }
  }

  /** The first norm and the projections to q, k and v; q of the chosen rows alone where there are. */
  private projectHeads(
    layer: LayerWeights,
    act: LayerActivations,
    raw: RawHeads,
    chosen: ChosenRows | null,
  ): Op[] {
    const { all: span, rowsNow } = this;
    const { norm, rows } = this.kernels;
    const { normed: x, hidden } = this.scratch;
    const q = act.unnormed?.q ?? act.q;
    const keysAndValues = [
      norm.bind({ x: act.input, weight: layer.inputNorm, y: x, span }),
      ...layer.k.bindForward({ x, y: act.unnormed?.k ?? raw?.k ?? act.k, span, rowsNow }),
      ...layer.v.bindForward({ x, y: raw?.v ?? act.v, span, rowsNow }),
    ];
    if (!chosen) return [...keysAndValues, ...layer.q.bindForward({ x, y: q, span, rowsNow })];
    const { index } = chosen;
    const { span: own } = chosen.rows;
    return [
      ...keysAndValues,
      rows.bindGather({ x, y: hidden, index, span: own }),
      ...layer.q.bindForward({ x: hidden, y: q, span: own }),
      rows.bindGather({ x: act.input, y: x, index, span: own }),
    ];
  }

  /** Norms of q and k where the model has those, RoPE, and the way to the pool. */
  private placeHeads(
    layer: LayerWeights,
    act: LayerActivations,
    raw: RawHeads,
    queries: QueryRows,
  ): Op[] {
    const { kernels, heads, rows, all: span } = this;
    const { headNorm } = kernels;
    const { cos, sin } = this.weights;
    const ropeOf = ({ positions, span }: QueryRows) => ({ cos, sin, positions, span });
    const k = raw?.k ?? act.k;
    const ops: Op[] = [];
    if (headNorm && layer.qkNorms && act.unnormed) {
      const { q, k: kNorm } = layer.qkNorms;
      ops.push(
        headNorm.bind({ x: act.unnormed.q, weight: q, y: act.q, span: queries.heads }),
        headNorm.bind({ x: act.unnormed.k, weight: kNorm, y: k, span: heads.allK }),
      );
    }
    ops.push(kernels.ropeQ.bind({ x: act.q, y: act.q, ...ropeOf(queries) }));
    if (!raw) return [...ops, kernels.ropeK.bind({ x: k, y: k, ...ropeOf(rows) })];
    return [
      ...ops,
      kernels.ropeK.bind({ x: k, y: act.k, destination: rows.self, ...ropeOf(rows) }),
      kernels.kvRows.bindScatter({ x: raw.v, y: act.v, index: rows.self, span }),
    ];
  }

  /** Floating-point operations of attention for one query and one key: two products in all heads. */
  get pairWork(): number {
    const { heads, headDim } = this.weights.config;
    return 4 * heads * headDim;
  }

  private attend(index: number, act: LayerActivations, queries: QueryRows): Op[] {
    const kernel = this.kernels.attention[index]!;
    const { q, k, v, attended: o, lse } = act;
    const { keys, self, span } = queries;
    const args = { q, k, v, keys, self, o, lse, span };
    const op = this.options.decode ? kernel.bindDecode(args) : kernel.bind(args);
    return [withWork(op, (part) => this.pairWork * queries.pairs(part), span)];
  }

  /** The output projection of attention, its norm if it has one, and the residual sum. */
  private addAttention(
    layer: LayerWeights,
    act: LayerActivations,
    { rows: { span }, residual }: LayerQueries,
  ): Op[] {
    const { attended: x, middle: y } = act;
    const { rowsNow } = this;
    if (!layer.outputNorms || !act.branches) {
      return layer.o.bindForward({ x, residual, y, span, rowsNow });
    }
    const output = act.branches.attention;
    const weight = layer.outputNorms.attention;
    return [
      ...layer.o.bindForward({ x, y: output, span, rowsNow }),
      this.kernels.norm.bind({ x: output, weight, residual, y, span }),
    ];
  }

  /** The second norm and the projections to gate and up. */
  private openGates(layer: LayerWeights, act: LayerActivations, span: Span): Op[] {
    const { rowsNow } = this;
    const x = this.scratch.normed;
    return [
      this.kernels.norm.bind({ x: act.middle, weight: layer.postNorm, y: x, span }),
      ...layer.gate.bindForward({ x, y: act.gate, span, rowsNow }),
      ...layer.up.bindForward({ x, y: act.up, span, rowsNow }),
    ];
  }

  /** From gate and up to the residual stream, or to the MLP's own output where a norm follows. */
  private mlpOutput(layer: LayerWeights, act: LayerActivations, next: GPUBuffer, span: Span): Op[] {
    const x = this.scratch.hidden;
    const to = act.branches
      ? { x, y: act.branches.mlp, span }
      : { x, residual: act.middle, y: next, span };
    return [
      this.kernels.swiglu.bind({ gate: act.gate, up: act.up, h: x, span }),
      ...layer.down.bindForward({ ...to, rowsNow: this.rowsNow }),
    ];
  }

  private addMlp(layer: LayerWeights, act: LayerActivations, next: GPUBuffer, span: Span): Op[] {
    if (!layer.outputNorms || !act.branches) return [];
    const args = { x: act.branches.mlp, weight: layer.outputNorms.mlp, y: next, span };
    return [this.kernels.norm.bind({ ...args, residual: act.middle })];
  }

  /**
   * Says which rows the next run works on: `prefix` soft-prompt rows, then token rows. `chosen` rows,
   * ascending, have an output, close together; in a pass that does not choose all have.
   * @throws RangeError where they do not fit.
   */
  load(tables: RowTables, prefix: number, chosen?: Uint32Array): void {
    const rows = tables.tokens.length;
    if (rows > this.capacity) {
      throw new RangeError(`A batch of ${rows} rows does not fit ${this.capacity}.`);
    }
    const { heads, kvHeads } = this.weights.config;
    if (this.chosen) {
      if (!chosen) throw new RangeError('This pass has an output for chosen rows only.');
      this.gpu.write(this.chosen.index, chosen);
      this.chosen.rows.write(tables, heads, chosen);
    }
    this.loaded = rows;
    this.gpu.write(this.tokens, tables.tokens);
    this.rows.write(tables, heads);
    this.prefix.set(0, prefix);
    this.text.set(prefix, rows - prefix);
    for (const [i, part] of this.prefixParts.entries()) {
      const start = i * PREFIX_PART;
      part.set(start, Math.min(PREFIX_PART, Math.max(0, prefix - start)));
    }
    this.heads.allK.set(0, rows * kvHeads);
    this.heads.prefixQ.set(0, prefix * heads);
    this.heads.prefixK.set(0, prefix * kvHeads);
  }

  /** The largest product of a full pass: what the adapter's rate is measured by, on any data. */
  probe(): Op {
    this.all.set(0, this.options.capacity);
    return this.ops.reduce((most, op) =>
      op.rows === this.all && op.work!() > (most.work?.() ?? 0) ? op : most,
    );
  }

  release(): void {
    this.gpu.release(...this.owned);
    this.rows.release();
    this.prefix.release();
    this.text.release();
    for (const part of this.prefixParts) part.release();
    this.chosen?.rows.release();
    for (const span of Object.values(this.heads)) span.release();
  }
}
