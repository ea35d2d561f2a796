/** Which tiles the kernels of an int4 layer get, and which kernel a few rows take: tables or trials. */
import { type Gpu, type Op, Span } from '../kernels/gpu/gpu';
import {
  createLinearInt4,
  type Int4Weight,
  linearInt4Code,
  type LinearInt4Forward,
  type LinearInt4Shape,
} from '../kernels/linear/linear-int4';
import {
  createLinearInt4Rows,
  linearInt4RowsCode,
  type LinearInt4RowsShape,
  rowsTile,
  type RowsTile,
} from '../kernels/linear/linear-int4-rows';
import { type LinearVariant, sharedTile, type Tile } from '../kernels/linear/linear.tile';
import type { Autotuner, Candidate, Candidates } from './autotune';

/** Kernels for up to so many rows, ascending. */
export type FewRows<W> = readonly {
  rows: number;
  kernel: {
    bind(args: { x: GPUBuffer; weight: W; residual?: GPUBuffer; y: GPUBuffer; span: Span }): Op;
  };
}[];

/** Rows up to which there are kernels for few. */
const FEW_HARDWARE = [1, 8];
const FEW_SOFTWARE = [1, 4];
/**
 * Rows of a trial at least and at most, and its operations where they leave a choice. A batch has hundreds of
 * rows; fewer make small tiles look better than they are.
 */
const LEAST_TRIAL_ROWS = 8;
const TRIAL_ROWS = 512;
const TRIAL_WORK = 1e10;
/** Bytes of a trial's rows, which candidates share: little beside what training takes. */
const TRIAL_BYTES = 8e6;

const HARDWARE_TILES: readonly Tile[] = [
  { rows: 8, columns: 8, splits: 2, shared: true },
  { rows: 4, columns: 8, splits: 2, shared: true },
  { rows: 4, columns: 4, splits: 4, shared: true },
];
const SOFTWARE_TILES: readonly Tile[] = [
  { rows: 4, columns: 8, lanes: 8, quads: false },
  { rows: 8, columns: 8, lanes: 8, quads: false },
];

type Shape = Omit<LinearInt4Shape, 'variants' | 'tile' | 'tuning'>;

/** What is chosen where nothing is measured. */
const USUAL = 'usual';

/** A tile of the kernel for few rows, or a low one of the usual kernel. */
type FewTile = { kind: 'rows'; tile: RowsTile } | { kind: 'tile'; tile: Tile };

/** On a software adapter a low tile of the usual kernel, whose lanes share x, is as fast from two rows on. */
function fewTile(gpu: Gpu, rows: number): FewTile {
  if (rows === 1 || !gpu.description.isFallbackAdapter) {
    return { kind: 'rows', tile: rowsTile(gpu, rows) };
  }
  const columns = gpu.subgroups ? 16 : 8;
  return { kind: 'tile', tile: { rows, columns, lanes: 64 / columns, quads: gpu.subgroups } };
}

function nameOf(tile: Tile | RowsTile): string {
  const { rows, columns } = tile;
  return `${rows}x${columns}x${'lanes' in tile ? tile.lanes : `shared${tile.splits}`}`;
}

/** Rows of a workgroup. */
function rowsOf(tile: Tile): number {
  return tile.shared ? 8 * tile.rows : tile.rows;
}

export class LinearTuner {
  private readonly tiles: ReadonlyMap<string, Tile>;

  constructor(
    private readonly gpu: Gpu,
    private readonly autotuner: Autotuner,
  ) {
    const tiles = gpu.description.isFallbackAdapter ? SOFTWARE_TILES : HARDWARE_TILES;
    this.tiles = new Map(tiles.map((tile) => [nameOf(tile), tile]));
  }

  /** The tile for one variant; absent: the kernel's own choice. */
  async tile(shape: Shape, weight: Int4Weight, variant: LinearVariant): Promise<Tile | undefined> {
    // Adding makes no difference to what is fast.
    const kind = variant.startsWith('backward') ? 'backward' : 'forward';
    const rows = this.rowsFor(shape);
    const buffers = new TrialBuffers(this.gpu, shape, rows);
    const candidate = (tile?: Tile) => this.usual(shape, weight, kind, tile, buffers);
    // A tile higher than the trial would look worse than it is.
    const usual = nameOf(sharedTile(kind === 'forward' ? shape.outFeatures : shape.inFeatures));
    const fair = [...this.tiles].filter(([name, tile]) => rowsOf(tile) <= rows && name !== usual);
    const candidates: Candidates = {
      [USUAL]: candidate(),
      ...Object.fromEntries(fair.map(([name, tile]) => [name, candidate(tile)])),
    };
    const chosen = await this.autotuner
      .choose(`int4 ${kind} ${text(shape)}`, candidates)
      .finally(() => buffers.release());
    return this.tiles.get(chosen);
  }

  /** Kernels for few rows, where they are faster than the usual ones. */
  async few(shape: LinearInt4RowsShape, weight: Int4Weight): Promise<FewRows<Int4Weight>> {
    const software = this.gpu.description.isFallbackAdapter;
    const made = await Promise.all(
      (software ? FEW_SOFTWARE : FEW_HARDWARE).map(async (rows) => {
        // Rows that cannot be bound are not run either.
        if (rows > this.boundRows(shape)) return null;
        const few = fewTile(this.gpu, rows);
        const buffers = new TrialBuffers(this.gpu, shape, rows);
        const candidates: Candidates = {
          [nameOf(few.tile)]: this.fewRows(shape, weight, few, buffers),
          [USUAL]: this.usual(shape, weight, 'forward', undefined, buffers),
        };
        const question = `int4 ${rows} rows ${text(shape)}`;
        const chosen = await this.autotuner
          .choose(question, candidates)
          .finally(() => buffers.release());
        if (chosen === USUAL) return null;
        return { rows, kernel: await this.fewKernel(shape, few) };
      }),
    );
    return made.filter((entry) => entry !== null);
  }

  private async fewKernel({ residual, ...shape }: LinearInt4RowsShape, few: FewTile) {
    if (few.kind === 'rows') {
      return createLinearInt4Rows(this.gpu, { ...shape, residual, tile: few.tile });
    }
    const variant = residual ? 'forward-residual' : 'forward';
    const kernel = await createLinearInt4(this.gpu, {
      ...shape,
      variants: [variant],
      tile: few.tile,
    });
    return {
      bind: (args: LinearInt4Forward) => kernel.bindForward(args),
      release: () => kernel.release(),
    };
  }

  private usual(
    shape: Shape,
    weight: Int4Weight,
    variant: 'forward' | 'backward',
    tile: Tile | undefined,
    buffers: TrialBuffers,
  ): Candidate {
    const own = { ...shape, variants: [variant], tile };
    return {
      code: () => linearInt4Code(this.gpu, own, variant),
      make: async () => {
        const kernel = await createLinearInt4(this.gpu, own);
        const { x, y, span } = buffers;
        const op =
          variant === 'forward'
            ? kernel.bindForward({ x, weight, y, span })
            : kernel.bindBackward({ dy: y, weight, dx: x, accumulate: false, span });
        return { op, release: () => kernel.release() };
      },
    };
  }

  private fewRows(
    shape: LinearInt4RowsShape,
    weight: Int4Weight,
    few: FewTile,
    buffers: TrialBuffers,
  ): Candidate {
    const own = { ...shape, residual: false };
    return {
      code: () =>
        few.kind === 'rows'
          ? linearInt4RowsCode(this.gpu, { ...own, tile: few.tile })
          : linearInt4Code(this.gpu, { ...own, tile: few.tile }, 'forward'),
      make: async () => {
        const kernel = await this.fewKernel(own, few);
        const { x, y, span } = buffers;
        return { op: kernel.bind({ x, weight, y, span }), release: () => kernel.release() };
      },
    };
  }

  private rowsFor(shape: Shape): number {
    const { inFeatures, outFeatures } = shape;
    const byWork = TRIAL_WORK / (2 * inFeatures * outFeatures);
    const byBytes = TRIAL_BYTES / (4 * (inFeatures + widthOf(shape)));
    const most = Math.max(LEAST_TRIAL_ROWS, Math.min(byWork, byBytes));
    return Math.max(1, Math.floor(Math.min(most, this.boundRows(shape), TRIAL_ROWS)));
  }

  /** Rows of x and y that a binding holds. */
  private boundRows(shape: Shape): number {
    return Math.floor(this.gpu.bindingBytes / (4 * Math.max(shape.inFeatures, widthOf(shape))));
  }
}

/** Columns of y, of which the layer may write some. */
function widthOf({ outFeatures, slice }: Shape): number {
  return slice?.of ?? outFeatures;
}

/** What the candidates of a question read and write, made when the first of them is. */
class TrialBuffers {
  private made: { x: GPUBuffer; y: GPUBuffer; span: Span } | null = null;

  constructor(
    private readonly gpu: Gpu,
    private readonly shape: Shape,
    private readonly rows: number,
  ) {}

  get x(): GPUBuffer {
    return this.all().x;
  }

  get y(): GPUBuffer {
    return this.all().y;
  }

  get span(): Span {
    return this.all().span;
  }

  release(): void {
    if (!this.made) return;
    this.gpu.release(this.made.x, this.made.y);
    this.made.span.release();
    this.made = null;
  }

  private all() {
    if (this.made) return this.made;
    const { gpu, shape, rows } = this;
    const x = gpu.storage('trial x', rows * shape.inFeatures * 4);
    const y = gpu.storage('trial y', rows * widthOf(shape) * 4);
    const span = new Span(gpu, 'trial');
    span.set(0, rows);
    return (this.made = { x, y, span });
  }
}

function text({ inFeatures, outFeatures, slice, zeroPoints, bias }: Shape): string {
  const part = slice ? ` of ${slice.of}` : '';
  return `${inFeatures}x${outFeatures}${part}${zeroPoints ? ' zero points' : ''}${bias ? ' bias' : ''}`;
}
