/** What the linear kernels share: the register tile, pipelines of a shader, binding. */
import { bind, type Gpu, type Op, type Span } from './gpu';
import { unroll } from './linear.unroll';
import { specialise, type Flags } from './wgsl';

/** What a linear layer can be asked to do; each is a pipeline of its own. */
export type LinearVariant = 'forward' | 'forward-residual' | 'backward' | 'backward-accumulate';

export const LINEAR_VARIANTS: readonly LinearVariant[] = [
  'forward',
  'forward-residual',
  'backward',
  'backward-accumulate',
];

/** y[rows, width] = x[rows, depth] · B[depth, width]. */
export interface ProductShape {
  depth: number;
  width: number;
}

/** Columns of the output that a lane holds in registers. */
const COLUMNS = 4;
/** Rows of the output that a lane holds: a quad shares its x loads, a lone lane has no use for 16. */
const tileRows = (gpu: Gpu): number => (gpu.subgroups ? 16 : 8);

export interface ProductOperands {
  x: GPUBuffer;
  y: GPUBuffer;
  /** Weight buffers, then bias and residual, in the order of their bindings from 4. */
  rest: readonly GPUBuffer[];
  span: Span;
}

/** A pipeline for one variant of one shape; shapes share compiled pipelines where texts agree. */
export class Product {
  private constructor(
    private readonly gpu: Gpu,
    private readonly label: string,
    private readonly pipeline: GPUComputePipeline,
    private readonly shapeUniform: GPUBuffer,
    private readonly columnsPerGroup: number,
    private readonly rowsPerGroup: number,
    private readonly width: number,
  ) {}

  static async create(
    gpu: Gpu,
    label: string,
    source: string,
    shape: ProductShape,
    bindings: Readonly<Record<string, number>>,
    flags: Flags,
  ): Promise<Product> {
    // Half a wave more than a narrow output needs would idle; a wider group would not be faster.
    const lanes = shape.width <= 64 ? 16 : 32;
    const rows = tileRows(gpu);
    const text = specialise(
      unroll(source, { TILE_ROWS: rows, COLUMNS }),
      { TILE_ROWS: rows, COLUMNS, LANES: lanes, ...bindings },
      { ...flags, QUADS: gpu.subgroups },
    );
    const code = gpu.subgroups ? `enable subgroups;\n${text}` : text;
    const pipeline = await gpu.pipeline(label, code);
    const uniform = gpu.uniform(`${label} shape`, 16);
    gpu.write(uniform, new Uint32Array([shape.depth, shape.width, 0, 0]));
    return new Product(gpu, label, pipeline, uniform, lanes * COLUMNS, rows, shape.width);
  }

  bind({ x, y, rest, span }: ProductOperands): Op {
    const across = Math.ceil(this.width / this.columnsPerGroup);
    return bind(
      this.gpu,
      this.label,
      this.pipeline,
      [span.buffer, this.shapeUniform, x, y, ...rest],
      () => [across, Math.ceil(span.rows / this.rowsPerGroup), 1],
    );
  }

  release(): void {
    this.gpu.release(this.shapeUniform);
  }
}

/** @throws RangeError unless `value` is a positive multiple of `unit`. */
export function requireMultiple(name: string, value: number, unit: number): void {
  if (!Number.isInteger(value) || value <= 0 || value % unit !== 0) {
    throw new RangeError(`${name} is ${value}; it must be a positive multiple of ${unit}.`);
  }
}
