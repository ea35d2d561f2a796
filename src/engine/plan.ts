/**
 * Chooses how a training step uses GPU memory, before anything is allocated: keep activations or
 * compute them again, how many rows of logits at a time, in how many passes a batch goes through.
 * Pure; the trainer allocates exactly what a plan counts.
 *
 * Logits are always kept for the rows of one tile, which takes 3 products with the head (student,
 * teacher where there is one, gradient). Recomputing them in vocabulary tiles would take 5, and pays only where a tile
 * of few rows does not fit: at 64 MB that is beyond a million tokens of vocabulary.
 */
import type { DecoderConfig } from '../formats/decoder/config';
import { MemoryPlanError } from './errors';
import { headWork, layersWork } from './plan-work';
import {
  smallerBy,
  trainableSize,
  type TrainableShape,
  type TrainableSize,
} from './trainable/shape';
import type { EngineObjective } from './types';
import {
  type ActivationName,
  activationWidths,
  keptPerLayer,
  partialBytes,
  prefixPartitions,
  scratchWidths,
  TABLE_BYTES,
} from './layout';

/** What the logits of one tile, and all that goes with them, may take. */
export const LOSS_BYTES = 64e6;
/** Budget beyond the weights where the caller names none. */
export const DEFAULT_BUDGET_BYTES = 2 ** 30;
/** Sparse target entries that a loss row may have on average. */
export const RHO_PER_ROW = 16;

export interface PlanRequest {
  config: DecoderConfig;
  /** Already on the GPU; not part of the budget. */
  weightBytes: number;
  /** What is trained. */
  trainable: TrainableShape;
  /** What the losses read: a divergence needs the teacher's logits too. Default: divergence. */
  family?: EngineObjective['family'];
  /** Most packed positions of a batch, the soft prompt not counted. */
  rows: number;
  /** Most loss rows of a batch. */
  lossRows: number;
  /** Most packed positions of one example, which stay together. Default: `rows`, no split. */
  exampleRows?: number;
  /** Most bytes of one buffer. */
  bindingBytes: number;
  /** Most bytes beyond the weights. */
  budgetBytes: number;
  /** Choose among these only: what to keep, and packed positions of a pass at most. */
  keep?: 'layers' | 'inputs';
  passRows?: number;
}

/** GPU bytes by what they are for. */
export interface PlanBytes {
  weights: number;
  /** What the forward pass leaves for the backward pass, keys and values not counted. */
  activations: number;
  /** Keys and values, those of the soft prompt included. */
  pools: number;
  /** What all layers share, the gradient of the residual stream, partial sums. */
  scratch: number;
  /** Logits tile of student and teacher and the rows around it. */
  head: number;
  /** Values, Adam's moments, gradient sum, losses. */
  optimiser: number;
  /** Tokens, positions and masks of a batch. */
  tables: number;
  /** Read-back buffers, made by the first step. */
  staging: number;
}

export interface MemoryPlan {
  /** Whether every layer's activations stay, or only the layers' inputs and the rest is recomputed. */
  keep: 'layers' | 'inputs';
  /** Packed positions of one pass, soft prompt included. */
  rows: number;
  /** Passes that the largest batch takes; their gradients add up. */
  passes: number;
  /** Loss rows whose logits exist at a time. */
  logitsRows: number;
  /** Parts of the sums over the queries of prefix keys. */
  partitions: number;
  bytes: PlanBytes;
  /** Everything but the weights. */
  totalBytes: number;
  /** The least that a step with this choice could do with (see `floorBytes`). */
  floorBytes: number;
  /** What was chosen, for people. */
  sentence: string;
}

/** As `Gpu.storage` rounds. */
const padded = (bytes: number) => Math.max(16, Math.ceil(bytes / 16) * 16);

/**
 * The least that activations, logits tile, optimiser and the soft prompt's keys and values take: the
 * measure that a plan is held against.
 */
export function floorBytes(
  config: DecoderConfig,
  { keep, rows, bytes }: Pick<MemoryPlan, 'keep' | 'rows'> & { bytes: PlanBytes },
): { activations: number; total: number } {
  const { dim, heads, kvHeads, headDim, ffnDim, layers } = config;
  const layer = 2 * dim + headDim * (2 * heads + 2 * kvHeads) + 2 * ffnDim;
  const floats = keep === 'layers' ? layers * layer : layers * dim + layer;
  const activations = 4 * rows * floats;
  return { activations, total: activations + bytes.head + bytes.optimiser };
}

interface Choice {
  keep: 'layers' | 'inputs';
  rows: number;
  passes: number;
  logitsRows: number;
}

/**
 * The cheapest way to run a step that fits.
 * @throws MemoryPlanError where none does.
 */
export function planTraining(request: PlanRequest): MemoryPlan {
  const { config, budgetBytes, bindingBytes } = request;
  const counts = { rows: request.rows, 'loss rows': request.lossRows };
  for (const [name, value] of Object.entries(counts)) {
    if (!Number.isInteger(value) || value < 1) {
      throw new RangeError(`A training batch cannot have ${value} ${name}.`);
    }
  }
  const size = trainableSize(request.trainable, config);
  const n = size.prefixRows;
  let best: { choice: Choice; cost: number } | null = null;
  let least: { choice: Choice; bytes: number } | null = null;
  for (const choice of choices(request, n)) {
    if (largestBuffer(config, choice, n) > bindingBytes) continue;
    const bytes = total(bytesOf(request, size, choice));
    if (!least || bytes < least.bytes) least = { choice, bytes };
    if (bytes > budgetBytes) continue;
    const cost = costOf(request, size, choice);
    if (!best || cost < best.cost) best = { choice, cost };
  }
  if (!best) throw refusal(request, size, least?.bytes ?? null);
  const { choice } = best;
  const bytes = bytesOf(request, size, choice);
  const plan = {
    ...choice,
    partitions: prefixPartitions(config, choice.rows, n),
    bytes,
    totalBytes: total(bytes),
    floorBytes: floorBytes(config, { ...choice, bytes }).total,
  };
  return { ...plan, sentence: describe(request, plan) };
}

/** Everything worth a look, most memory first. */
/** `n`: rows in front of every pass. */
function* choices(request: PlanRequest, n: number): Iterable<Choice> {
  const { config, family, rows, lossRows, bindingBytes } = request;
  const example = Math.min(rows, request.exampleRows ?? rows);
  const perRow = lossRowBytes(config, family);
  const most = Math.floor(Math.min(LOSS_BYTES / perRow, bindingBytes / (4 * config.vocabSize)));
  const tiles = new Set<number>();
  for (let cap = Math.min(most, lossRows); cap >= 1; cap = Math.floor(cap / 2)) {
    // Tiles of one size waste least; kernels work on 16 rows at a time.
    const each = Math.ceil(lossRows / Math.ceil(lossRows / cap));
    tiles.add(Math.min(most, lossRows, Math.ceil(each / 16) * 16));
  }
  // Next-fit packing leaves less room in a pass than the next example takes, so that a pass holds
  // more than its capacity less the largest example, and two neighbours more than one capacity.
  const passesAt = (capacity: number) =>
    Math.min(Math.ceil(rows / (capacity - example + 1)), Math.ceil((2 * rows) / capacity));
  const capacities = new Map<number, number>([[rows, 1]]);
  for (let parts = 2; parts <= 64; parts++) {
    const capacity = Math.min(rows, Math.ceil(rows / parts) + example - 1);
    if (capacity < rows) capacities.set(capacity, passesAt(capacity));
  }
  if (example < rows) capacities.set(example, passesAt(example));
  for (const keep of ['layers', 'inputs'] as const) {
    if (request.keep && keep !== request.keep) continue;
    for (const [capacity, passes] of capacities) {
      if (capacity > (request.passRows ?? rows)) continue;
      for (const logitsRows of tiles) yield { keep, rows: capacity + n, passes, logitsRows };
    }
  }
}

/** Floating-point operations of a step, with what small passes and tiles waste. */
function costOf(
  request: PlanRequest,
  { prefixRows: n, reach }: TrainableSize,
  choice: Choice,
): number {
  const { config, rows, lossRows, family } = request;
  const { keep, passes, logitsRows } = choice;
  // Every pass runs the soft prompt and, like a tile, fills its last kernels only in part.
  const layers = layersWork(config, {
    rows: rows + passes * (n + 32),
    lossRows: lossRows + passes * 8,
    promptRows: reach.to === 'prefix' ? passes * (n + 8) : null,
    keep,
  });
  const tiles = Math.ceil(lossRows / logitsRows);
  return layers + headWork(config, lossRows + 8 * tiles, family);
}

/** Copies of a row's logits: student, teacher, and capped ones where something caps them. */
function logitsCopies({ logitSoftCap }: DecoderConfig, family: PlanRequest['family']): number {
  return 1 + (family === 'token' ? 0 : 1) + (logitSoftCap === null ? 0 : 1);
}

function lossRowBytes(config: DecoderConfig, family: PlanRequest['family']): number {
  const logits = 4 * config.vocabSize * logitsCopies(config, family);
  return logits + 3 * 4 * config.dim + (family === 'token' ? 32 : 8 * RHO_PER_ROW + 32);
}

/** Sizes of the buffers of a logits tile; also what `LossStage` allocates. */
export function headBytes(
  config: DecoderConfig,
  rows: number,
  family: PlanRequest['family'] = 'divergence',
): number {
  const logits = padded(rows * config.vocabSize * 4) * logitsCopies(config, family);
  // Index, coefficient, row loss, token and log-probability of a teacher-forced pass.
  const common = logits + 3 * padded(rows * config.dim * 4) + 5 * padded(rows * 4);
  // Token, advantage and old log-probability; or posterior and sparse rows with their starts.
  if (family === 'token') return common + 3 * padded(rows * 4);
  const sparse = padded((rows + 1) * 4) + 2 * padded(rows * RHO_PER_ROW * 4);
  return common + padded(rows * 4) + sparse;
}

function bytesOf(request: PlanRequest, size: TrainableSize, choice: Choice): PlanBytes {
  const { config, family, weightBytes, lossRows } = request;
  const { prefixRows: n } = size;
  const { keep, rows, passes, logitsRows } = choice;
  const perLayer = keptPerLayer(config, keep);
  let activations = 0;
  let pools = 0;
  for (const [name, width] of Object.entries(activationWidths(config))) {
    if (width === 0) continue;
    const copies = perLayer.has(name as ActivationName) ? config.layers : 1;
    const bytes = copies * padded(rows * width * 4);
    if (name === 'k' || name === 'v') pools += bytes;
    else activations += bytes;
  }
  const widths = Object.values(scratchWidths(config, keep)).filter((width) => width > 0);
  const shared = widths.reduce((sum, width) => sum + padded(rows * width * 4), 0);
  const prompt = padded(n * config.dim * 4);
  const values = padded(size.length * 4);
  const inside = size.gradient > 0 ? padded(size.perRow * rows * 4) + padded(size.gradient * 4) : 0;
  const partial = partialBytes(config, rows, n);
  const largestRead = 4 * Math.max(logitsRows * config.dim, values / 4);
  return {
    weights: weightBytes,
    activations,
    pools,
    scratch: shared + prompt + (partial && padded(partial)) + inside,
    head: headBytes(config, logitsRows, family),
    optimiser: (passes > 1 ? 4 : 3) * values + 2 * padded(lossRows * 4) + 16,
    tables: TABLE_BYTES.reduce((sum, bytes) => sum + padded(rows * bytes), 0),
    staging: 2 ** Math.ceil(Math.log2(Math.max(256, largestRead))) + 2048,
  };
}

function largestBuffer(config: DecoderConfig, { rows, logitsRows }: Choice, n: number): number {
  const widths = [
    ...Object.values(activationWidths(config)),
    ...Object.values(scratchWidths(config, 'layers')),
    4,
  ];
  return Math.max(
    Math.max(...widths) * rows * 4,
    partialBytes(config, rows, n) / 2,
    logitsRows * config.vocabSize * 4,
  );
}

function total({ weights: _, ...rest }: PlanBytes): number {
  return Object.values(rest).reduce((sum, bytes) => sum + bytes, 0);
}

const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;

function refusal(
  request: PlanRequest,
  { prefixRows }: TrainableSize,
  needed: number | null,
): MemoryPlanError {
  const { rows, exampleRows = rows, trainable, budgetBytes, bindingBytes } = request;
  const split = exampleRows < rows;
  const most = split
    ? `Shorten the longest example (${exampleRows} positions)`
    : `Lower the batch (${rows} positions)`;
  const other = smallerBy(trainable);
  const lower = `${most}${other ? ` or ${other}` : ''}, or take a smaller model.`;
  if (needed === null) {
    const { dim, vocabSize } = request.config;
    const widest = 4 * Math.max(dim, vocabSize, exampleRows + prefixRows);
    return new MemoryPlanError(
      `Training needs buffers larger than the ${megabytes(bindingBytes)} that this device binds. ${lower}`,
      Math.max(widest, bindingBytes + 1),
      bindingBytes,
    );
  }
  return new MemoryPlanError(
    `Training needs at least ${megabytes(needed)} of GPU memory beside the weights; ${megabytes(budgetBytes)} are allowed. ${lower}`,
    needed,
    budgetBytes,
  );
}

function describe(request: PlanRequest, plan: Omit<MemoryPlan, 'sentence'>): string {
  const { keep, rows, passes, logitsRows, bytes, totalBytes } = plan;
  const kept =
    keep === 'layers'
      ? 'Every layer’s activations are kept'
      : 'Only the layers’ inputs are kept and the rest is computed again';
  const batch =
    passes === 1
      ? `a batch of up to ${rows} positions goes through at once`
      : `a batch goes through in up to ${passes} passes of ${rows} positions`;
  const tiles = Math.ceil(request.lossRows / logitsRows);
  const logits =
    tiles === 1
      ? `all ${logitsRows} rows of logits at a time`
      : `logits in ${tiles} tiles of ${logitsRows} rows`;
  return `${kept}; ${batch}, ${logits}: ${megabytes(totalBytes)} beside ${megabytes(bytes.weights)} of weights.`;
}
