/**
 * Frozen linear layers. One that is too large to bind is split by its outputs: forward writes columns
 * of y, backward adds up over the parts.
 */
import type { Linear } from '../formats/decoder/linear';
import { type ModelFiles, readFloats } from '../formats/decoder/tensor';
import type { Gpu, Op, Span } from '../kernels/gpu/gpu';
import { createLinearDense, type DenseWeight } from '../kernels/linear/linear-dense';
import { createLinearInt4, type Int4Weight } from '../kernels/linear/linear-int4';
import type { ColumnSlice, LinearVariant } from '../kernels/linear/linear.tile';
import type { FewRows, LinearTuner } from './linear-tuning';
import { type Part, type SharedTable, uploadDense, uploadInt4 } from './tables';
import { withWork } from './work';

/** `few`: the forward pass has kernels for a few rows beside the usual ones, where there are such. */
export type LayerVariant = LinearVariant | 'few' | 'few-residual';

export interface LayerForward {
  x: GPUBuffer;
  y: GPUBuffer;
  residual?: GPUBuffer;
  span: Span;
  /** Rows of the present run, of which the span may be a part: few take kernels of their own. */
  rowsNow?: () => number;
}

/** A frozen linear layer: weights on the GPU, kernels made on demand. */
export interface LinearLayer {
  readonly inFeatures: number;
  readonly outFeatures: number;
  /** Compiles what `bind*` will need; kernels of equal shape share their pipelines. */
  prepare(variants: readonly LayerVariant[]): Promise<void>;
  /** y = x·Wᵀ (+ residual) on the span's rows. */
  bindForward(args: LayerForward): Op[];
  /** It has trained parts, whose gradients need the layer's input. */
  readonly adapted?: boolean;
  /**
   * dx (+)= dy·W on the span's rows; `x`, the layer's input, is read by adapted layers only. `spare`: a
   * buffer that nothing else needs meanwhile, for the parts of a long reduction.
   */
  bindBackward(args: {
    dy: GPUBuffer;
    dx: GPUBuffer;
    x?: GPUBuffer;
    accumulate: boolean;
    span: Span;
    spare?: GPUBuffer;
  }): Op[];
}

/** `shared`: weights on the GPU that are the layer's too. */
export async function uploadLinear(
  gpu: Gpu,
  label: string,
  source: Linear,
  files: ModelFiles,
  tuner: LinearTuner,
  shared?: SharedTable,
): Promise<LinearLayer> {
  const { inFeatures, outFeatures } = source;
  const bias = source.bias && (await readFloats(source.bias, files));
  const shape = { inFeatures, bias: bias !== undefined };
  const biasOf = ({ first, rows }: Omit<Part<never>, 'weight'>) =>
    bias && gpu.upload(`${label} bias`, bias.subarray(first, first + rows));
  const sliceOf = ({ first, rows }: Omit<Part<never>, 'weight'>): ColumnSlice | undefined =>
    rows === outFeatures ? undefined : { first, of: outFeatures };

  if (source.kind === 'int4') {
    const table =
      shared?.kind === 'int4' ? shared.parts : await uploadInt4(gpu, label, source, files);
    const parts = table.map((part) => {
      const weight: Int4Weight = { ...part.weight, bias: biasOf(part) };
      const zeroPoints = weight.zeroPoints !== undefined;
      const own = { ...shape, zeroPoints, outFeatures: part.rows, slice: sliceOf(part) };
      return lazily(
        inFeatures,
        part.rows,
        weight,
        async (variant) => {
          const tile = await tuner.tile(own, weight, variant);
          return createLinearInt4(gpu, { ...own, variants: [variant], tile });
        },
        (residual) => tuner.few({ ...own, residual }, weight),
      );
    });
    return whole(inFeatures, outFeatures, parts);
  }
  const { layout, table } = await uploadDense(
    gpu,
    label,
    source,
    files,
    shared?.kind === 'dense' ? shared : undefined,
  );
  const { stored } = table;
  const parts = table.parts.map((part) => {
    const weight: DenseWeight = { data: part.weight, bias: biasOf(part) };
    const own = { ...shape, layout, stored, outFeatures: part.rows, slice: sliceOf(part) };
    return lazily(inFeatures, part.rows, weight, (variant) =>
      createLinearDense(gpu, { ...own, variants: [variant] }),
    );
  });
  return whole(inFeatures, outFeatures, parts);
}

/** One layer of its parts. */
function whole(
  inFeatures: number,
  outFeatures: number,
  parts: readonly LinearLayer[],
): LinearLayer {
  if (parts.length === 1) return parts[0]!;
  return {
    inFeatures,
    outFeatures,
    async prepare(variants) {
      // The parts after the first add to what the first has written.
      const later = variants.map((v) => (v === 'backward' ? 'backward-accumulate' : v));
      await Promise.all(parts.map((part, i) => part.prepare(i === 0 ? variants : later)));
    },
    bindForward: (args) => parts.flatMap((part) => part.bindForward(args)),
    bindBackward: ({ accumulate, ...args }) =>
      parts.flatMap((part, i) => part.bindBackward({ ...args, accumulate: accumulate || i > 0 })),
  };
}

/** `op`, which does nothing where `applies` is false. */
function onlyWhen(applies: () => boolean, op: Op): Op {
  return {
    ...op,
    grid: () => (applies() ? op.grid() : [0, 0, 0]),
    work: (part) => (applies() ? (op.work?.(part) ?? 0) : 0),
  };
}

interface BackwardArgs<W> {
  dy: GPUBuffer;
  weight: W;
  dx: GPUBuffer;
  accumulate: boolean;
  span: Span;
}

interface LinearKernel<W> {
  bindForward(args: {
    x: GPUBuffer;
    weight: W;
    residual?: GPUBuffer;
    y: GPUBuffer;
    span: Span;
  }): Op;
  bindBackward(args: BackwardArgs<W>): Op;
  bindBackwardParts(args: BackwardArgs<W>, spare: GPUBuffer): Op[];
}

/** `few`: makes the kernels for few rows, with a residual or without. */
function lazily<W>(
  inFeatures: number,
  outFeatures: number,
  weight: W,
  create: (variant: LinearVariant) => Promise<LinearKernel<W>>,
  few?: (residual: boolean) => Promise<FewRows<W>>,
): LinearLayer {
  const kernels = new Map<LinearVariant, LinearKernel<W>>();
  const fewRows = new Map<LayerVariant, FewRows<W>>();
  const kernel = (variant: LinearVariant): LinearKernel<W> => {
    const found = kernels.get(variant);
    if (!found) throw new RangeError(`The ${variant} pipeline was not prepared.`);
    return found;
  };
  const costed = (op: Op, span: Span) => [
    withWork(op, ({ rows } = span) => 2 * rows * inFeatures * outFeatures, span),
  ];
  return {
    inFeatures,
    outFeatures,
    async prepare(variants) {
      const make = async (variant: LayerVariant) => {
        if (variant !== 'few' && variant !== 'few-residual') {
          if (!kernels.has(variant)) kernels.set(variant, await create(variant));
        } else if (few && !fewRows.has(variant)) {
          fewRows.set(variant, await few(variant === 'few-residual'));
        }
      };
      await Promise.all(variants.map(make));
    },
    bindForward: ({ rowsNow, ...args }) => {
      const { residual, span } = args;
      const usual = costed(
        kernel(residual ? 'forward-residual' : 'forward').bindForward({ ...args, weight }),
        span,
      );
      const own = rowsNow && fewRows.get(residual ? 'few-residual' : 'few');
      if (!own || own.length === 0) return usual;
      const most = Math.max(...own.map(({ rows }) => rows));
      return [
        ...usual.map((op) => onlyWhen(() => rowsNow() > most, op)),
        ...own.flatMap((part, i) => {
          const least = own[i - 1]?.rows ?? 0;
          const fits = () => rowsNow() > least && rowsNow() <= part.rows;
          const ops = costed(part.kernel.bind({ ...args, weight }), span);
          return ops.map((op) => onlyWhen(fits, op));
        }),
      ];
    },
    bindBackward: ({ spare, ...rest }) => {
      const args = { ...rest, weight };
      const made = kernel(rest.accumulate ? 'backward-accumulate' : 'backward');
      if (!spare) return costed(made.bindBackward(args), rest.span);
      const [product, ...adding] = made.bindBackwardParts(args, spare);
      return [...costed(product!, rest.span), ...adding];
    },
  };
}
