/** What the linear kernels share: the register tile, pipelines of a shader, binding. */
import { bind, type BufferPart, type Gpu, type Op, type Span } from '../gpu/gpu';
import inputs from './linear.inputs.wgsl?raw';
import operands from './linear.operands.wgsl?raw';
import outputs from './linear.outputs.wgsl?raw';
import partsSource from './linear.parts.wgsl?raw';
import products from './linear.products.wgsl?raw';
import shared from './linear.shared.wgsl?raw';
import start from './linear.start.wgsl?raw';
import { unroll } from './linear.unroll';
import { specialise, type Flags } from '../gpu/wgsl';

/** What a linear layer can be asked to do; each is a pipeline of its own. */
export type LinearVariant = 'forward' | 'forward-residual' | 'backward' | 'backward-accumulate';

export const LINEAR_VARIANTS: readonly LinearVariant[] = [
  'forward',
  'forward-residual',
  'backward',
  'backward-accumulate',
];

/** Which tile to use: the one for software adapters, or the one for graphics hardware. */
export type LinearTuning = 'software' | 'hardware';

/** y[rows, width] = x[rows, depth] · B[depth, width]. */
export interface ProductShape {
  depth: number;
  width: number;
  /** x is columns of wider rows; default: its rows are `depth` wide. */
  xSlice?: ColumnSlice;
  /** y, and what is added to it, are columns of wider rows. */
  ySlice?: ColumnSlice;
}

/** Columns from `first` on of rows that are `of` wide. */
export interface ColumnSlice {
  first: number;
  of: number;
}

/** What a lane holds in registers, reading x and B from storage: for software adapters. */
export interface RegisterTile {
  /** Rows of the output that a lane holds. */
  rows: number;
  /** Columns of the output that a lane holds, a multiple of 8. */
  columns: number;
  /** Lanes of a workgroup, a multiple of 4. */
  lanes: number;
  /** The lanes of a quad share loads of x; needs subgroups. */
  quads: boolean;
  shared?: false;
}

/** 8 × 8 lanes that share parts of x and B in workgroup memory: for graphics hardware. */
export interface SharedTile {
  /** Rows of the output that a lane holds: 4 or 8. */
  rows: number;
  /** Columns of the output that a lane holds: 4 or 8. */
  columns: number;
  /** Parties of 8 × 8 lanes that share out the reduction: 1, 2 or 4. */
  splits: number;
  shared: true;
}

export type Tile = RegisterTile | SharedTile;

/** Text that the linear kernels share, put in the place of `//#include <name>`. */
const PARTS: Readonly<Record<string, string>> = { operands, start, inputs, products, outputs };

/** Flags of the operands where all rows consist of vec4 and nothing is added. */
const WHOLE: Flags = { VECTORS: true, EVEN: true, BIAS: false, RESIDUAL: false };

/** Steps of the reduction that the main loop takes at a time: a vec4 for each lane of a quad. */
export const UNROLL = 16;

/** Lanes of a shared tile on each side. */
const SHARED_LANES = 8;
/** Bytes of workgroup memory that every device has, and steps of the reduction that go there at most. */
const SHARED_BYTES = 16_384;
const SHARED_DEPTH = 16;

/** Workgroups that are worth sharing a reduction for, and the least steps of each. */
const BUSY_WORKGROUPS = 512;
const PART_STEPS = 1024;
const MOST_PARTS = 32;

/** Output columns of a workgroup on software; widths need not be multiples of it. */
const SOFTWARE_COLUMNS = 64;

/** The tile for graphics hardware: what is fastest on a large card; small outputs need more lanes an output to keep it busy. */
export function sharedTile(width: number): SharedTile {
  if (width >= 1024) return { rows: 8, columns: 8, splits: 2, shared: true };
  if (width >= 512) return { rows: 4, columns: 8, splits: 2, shared: true };
  return { rows: 4, columns: 4, splits: 4, shared: true };
}

/** Outputs that a lane holds on a software adapter: `quads` where lanes share x, `alone` elsewhere. */
export type SoftwareTile = Readonly<
  Record<'quads' | 'alone', Pick<RegisterTile, 'rows' | 'columns'>>
>;

/**
 * The tile for a shape. `wide` is what a kernel wants on a software adapter, where a
 * pipeline of 256 sums takes most of a second of compiler time: sizes that share one are worth that,
 * odd ones are not, and without subgroups a quarter of it does.
 */
export function chooseTile(
  gpu: Gpu,
  { depth, width, ySlice }: ProductShape,
  wide: SoftwareTile,
  tuning: LinearTuning = gpu.description.isFallbackAdapter ? 'software' : 'hardware',
): Tile {
  if (tuning === 'hardware') {
    return sharedTile(width);
  }
  const { rows, columns } =
    width < 32 || width % 4 !== 0 || (ySlice && !multiplesOf4(ySlice)) || depth % UNROLL !== 0
      ? { rows: 4, columns: 8 }
      : gpu.subgroups
        ? wide.quads
        : wide.alone;
  return { rows, columns, lanes: SOFTWARE_COLUMNS / columns, quads: gpu.subgroups };
}

export interface ProductOptions {
  label: string;
  /** The kernel of a register tile. */
  source: string;
  /** How the kernel of a shared tile fills its part of B. */
  fill: string;
  /** Weights that a lane fetches at a time for it. */
  fetched: number;
  shape: ProductShape;
  tile: Tile;
  /** Add to the output instead of overwriting it; read where the flag BACKWARD is set. */
  accumulate: boolean;
  /** Binding numbers that depend on the flags. */
  bindings: Readonly<Record<string, number>>;
  flags: Flags;
}

export interface ProductOperands {
  x: GPUBuffer;
  y: GPUBuffer;
  /** Weight buffers, then bias and residual, in the order of their bindings from 4. */
  rest: readonly GPUBuffer[];
  span: Span;
}

/** One variant of one shape; shapes share a compiled pipeline where their texts agree. */
export class Product {
  private constructor(
    private readonly gpu: Gpu,
    private readonly label: string,
    private readonly pipeline: GPUComputePipeline,
    private readonly shapeUniform: GPUBuffer,
    private readonly tile: Tile,
    private readonly shape: ProductShape,
    /** Adds up parts of the reduction; null where they make no sense. */
    private readonly addParts: GPUComputePipeline | null,
  ) {}

  /** The WGSL that {@link create} compiles. */
  static code(options: ProductOptions): string {
    const { shape, tile, bindings, flags } = options;
    const { rows, columns } = tile;
    const { xSlice, ySlice } = slicesOf(shape);
    const sizes = {
      TILE_ROWS: rows,
      COLUMNS: columns,
      GROUPS: columns / 4,
      ...(tile.shared
        ? sharedSizes(tile, options.fetched)
        : { WORDS: columns / 8, LANES: tile.lanes, UNROLL }),
    };
    const quads = !tile.shared && tile.quads;
    const source = tile.shared ? shared : options.source;
    const specialised = specialise(
      included(source, { ...PARTS, fill: options.fill }),
      { ...sizes, ...bindings },
      {
        ...flags,
        QUADS: quads,
        SPLIT: tile.shared === true && tile.splits > 1,
        BY_STEP: flags.ACROSS ?? flags.BACKWARD!,
        EVEN: multiplesOf4(ySlice) && shape.width % 4 === 0,
        PAIRS: !flags.BACKWARD || columns === 16,
        VECTORS: multiplesOf4(xSlice) && shape.depth % 4 === 0,
        TAIL: shape.depth % UNROLL !== 0,
      },
    );
    const text = unroll(specialised, { ...sizes, STEPS: UNROLL / 4 });
    return quads ? `enable subgroups;\n${text}` : text;
  }

  static async create(gpu: Gpu, options: ProductOptions): Promise<Product> {
    const { label, shape, tile, accumulate, flags } = options;
    const { xSlice, ySlice } = slicesOf(shape);
    const pipeline = await gpu.pipeline(label, Product.code(options));
    const uniform = gpu.uniform(`${label} shape`, 32);
    const strides = [xSlice.of, ySlice.of, xSlice.first, ySlice.first];
    gpu.write(
      uniform,
      new Uint32Array([shape.depth, shape.width, ...strides, Number(accumulate), 0]),
    );
    const sharable = tile.shared && flags.BACKWARD && !shape.ySlice && shape.width % 4 === 0;
    const adding =
      sharable && shape.depth >= 2 * PART_STEPS
        ? await gpu.pipeline('linear parts', specialise(included(partsSource, PARTS), {}, WHOLE))
        : null;
    return new Product(gpu, label, pipeline, uniform, tile, shape, adding);
  }

  bind(operands: ProductOperands): Op {
    return this.bindPart(operands, operands.y, 1);
  }

  /**
   * As `bind`, with a long reduction shared out where there is room for its parts.
   * @param spare a buffer that nothing else needs meanwhile
   */
  bindParts(operands: ProductOperands, spare: GPUBuffer): Op[] {
    const { gpu, shape, tile, addParts } = this;
    const { y, span } = operands;
    const across = Math.ceil(shape.width / (SHARED_LANES * tile.columns));
    const parts = Math.min(
      MOST_PARTS,
      Math.ceil(BUSY_WORKGROUPS / across),
      Math.floor(shape.depth / PART_STEPS),
      Math.floor(spare.size / y.size),
    );
    if (!addParts || parts < 2) return [this.bind(operands)];
    const partial = { buffer: spare, size: parts * y.size };
    const buffers = [span.buffer, this.shapeUniform, partial, y];
    return [
      this.bindPart(operands, partial, parts),
      bind(gpu, 'linear parts', addParts, buffers, () => [
        Math.ceil(shape.width / 256),
        span.rows,
        1,
      ]),
    ];
  }

  private bindPart({ x, rest, span }: ProductOperands, y: BufferPart, parts: number): Op {
    const { tile } = this;
    const [rows, columns] = tile.shared
      ? [SHARED_LANES * tile.rows, SHARED_LANES * tile.columns]
      : [tile.rows, tile.columns * tile.lanes];
    const across = Math.ceil(this.shape.width / columns);
    return bind(
      this.gpu,
      this.label,
      this.pipeline,
      [span.buffer, this.shapeUniform, x, y, ...rest],
      () => [across, Math.ceil(span.rows / rows), parts],
    );
  }

  release(): void {
    this.gpu.release(this.shapeUniform);
  }
}

/** Absent: all columns. */
function slicesOf({ depth, width, xSlice, ySlice }: ProductShape) {
  return { xSlice: xSlice ?? { first: 0, of: depth }, ySlice: ySlice ?? { first: 0, of: width } };
}

/** Counts of linear.shared.wgsl. SHARED_DEPTH: steps whose parts of x and B lie in workgroup memory. */
function sharedSizes({ rows, columns, splits }: SharedTile, fetched: number) {
  const bytesOfStep = 4 * SHARED_LANES * (rows + columns) * splits;
  const most = Math.min(SHARED_DEPTH, SHARED_BYTES / bytesOfStep);
  const depth = 2 ** Math.floor(Math.log2(most));
  const lanes = SHARED_LANES ** 2;
  const sizes = {
    SPLITS: splits,
    FETCHED: fetched,
    SHARED_DEPTH: depth,
    QUARTERS: depth / 4,
    LEFT_FETCHES: (SHARED_LANES * rows * depth) / (4 * lanes),
    RIGHT_FETCHES: (SHARED_LANES * columns * depth) / (fetched * lanes),
  };
  // Words of weights hold eight steps, and sums of a party go where tiles were.
  const sums = lanes * rows * columns * 4;
  if (
    depth < 8 ||
    !Object.values(sizes).every(Number.isInteger) ||
    (splits > 1 && sums > bytesOfStep * depth)
  )
    throw new RangeError(`Lanes cannot share a tile of ${rows} × ${columns} in ${splits} parts.`);
  return sizes;
}

function included(source: string, parts: Readonly<Record<string, string>>): string {
  const directive = /^ *\/\/#include (\w+)$/gm;
  // Parts include parts.
  const once = (text: string) => text.replace(directive, (_, name: string) => parts[name]!);
  return once(once(source));
}

/** Rows of the slice can be read and written by vec4. */
function multiplesOf4({ first, of }: ColumnSlice): boolean {
  return first % 4 === 0 && of % 4 === 0;
}

/** @throws RangeError unless `value` is a positive multiple of `unit`. */
export function requireMultiple(name: string, value: number, unit: number): void {
  if (!Number.isInteger(value) || value <= 0 || value % unit !== 0) {
    throw new RangeError(`${name} is ${value}; it must be a positive multiple of ${unit}.`);
  }
}
