/**
 * Generation, teacher-forced passes and divergences of one engine, in buffers as large as what was
 * asked for so far: they are made on first use and made anew when more is asked for.
 */
import { createLogProb, type LogProbKernel } from '../kernels/loss/divergence-logprob';
import type { Gpu } from '../kernels/gpu/gpu';
import { DivergenceMeter } from './divergence-meter';
import { MemoryPlanError } from './errors';
import { TeacherForcing } from './forcing';
import type { ForwardKernels } from './forward-kernels';
import {
  createGeneratorKernels,
  generationSizes,
  Generator,
  type GeneratorKernels,
  type GeneratorOptions,
  prepareFewRows,
} from './generate';
import { HeadStage, logitsRows } from './head';
import { activationWidths } from './layout';
import { createLoss } from './loss-kernels';
import { MAX_VIRTUAL_TOKENS } from './trainable/shape';
import type { Divergence, GenerateOptions, GenerateRequest } from './types';
import type { DecoderWeights } from './weights';
import type { Submitter } from './work';

/** Sequences that decode together, and bytes of KV pool that they may take. */
const BATCH = 64;
const POOL_BYTES = 256 * 2 ** 20;
/** Rows of a prefill or a teacher-forced pass. */
const PASS_ROWS = 1536;

/** `logits`: rows of logits that exist at a time. */
interface Sizes extends GeneratorOptions {
  logits: number;
}

interface Rooms {
  sizes: Sizes;
  logits: GPUBuffer;
  generator: Generator;
  head: HeadStage;
  forcing: TeacherForcing;
  /** Made when first asked for. */
  meters: Map<Divergence, DivergenceMeter>;
}

export class Inference {
  /** The most that is ever asked for. */
  readonly most: Sizes;

  private rooms: Rooms | null = null;
  /** Only who generates waits for the kernels for few rows. */
  private fewRows: Promise<void> | null = null;

  private constructor(
    private readonly gpu: Gpu,
    private readonly weights: DecoderWeights,
    private readonly submitter: Submitter,
    private readonly kernels: GeneratorKernels,
    readonly logprob: LogProbKernel,
  ) {
    const { config } = weights;
    const { bindingBytes } = gpu;
    const width = config.kvHeads * config.headDim;
    const widest = Math.max(...Object.values(activationWidths(config)));
    const rows = Math.min(PASS_ROWS, Math.floor(bindingBytes / (4 * widest)));
    const byPool = Math.floor(POOL_BYTES / (width * 4 * 2 * config.layers));
    const byBinding = Math.floor(bindingBytes / (width * 4));
    const logits = logitsRows(config.vocabSize, rows, bindingBytes);
    if (rows < 1 || byBinding < 1 || config.vocabSize * 4 > bindingBytes) {
      const needed = 4 * Math.max(widest, width, config.vocabSize);
      throw new MemoryPlanError(
        `One row of this model takes ${needed} bytes; this device binds at most ${bindingBytes}.`,
        needed,
        bindingBytes,
      );
    }
    this.most = {
      batch: Math.min(BATCH, logits),
      rows,
      poolRows: Math.min(byBinding, Math.max(rows, byPool)),
      logits,
    };
  }

  static async create(
    gpu: Gpu,
    weights: DecoderWeights,
    submitter: Submitter,
    forward: ForwardKernels,
  ): Promise<Inference> {
    const { vocabSize } = weights.config;
    const [kernels, logprob] = await Promise.all([
      createGeneratorKernels(gpu, vocabSize, forward),
      createLogProb(gpu, { vocabulary: vocabSize }),
    ]);
    return new Inference(gpu, weights, submitter, kernels, logprob);
  }

  /** The same for other weights of the same shapes: an adapted model. */
  over(weights: DecoderWeights): Inference {
    return new Inference(this.gpu, weights, this.submitter, this.kernels, this.logprob);
  }

  /** @throws SequenceTooLongError, RangeError: see `generationSizes`. */
  async generator(
    requests: readonly GenerateRequest[],
    { softPrompt, maxNewTokens }: Pick<GenerateOptions, 'softPrompt' | 'maxNewTokens'>,
  ): Promise<Generator> {
    const { config, positions } = this.weights;
    const prefix = Math.ceil((softPrompt?.length ?? 0) / config.dim);
    const room = Math.min(positions, config.maxPositions);
    const sizes = generationSizes(requests, prefix, maxNewTokens, room, this.most);
    if (!this.fewRows) {
      this.fewRows = prepareFewRows(this.weights);
      await this.fewRows;
      // What was made for scoring has bound other kernels.
      this.release();
    }
    await this.fewRows;
    return (await this.atLeast({ ...sizes, logits: sizes.batch })).generator;
  }

  /** For soft prompts alone. */
  async prefixGenerator(softPrompt: Float32Array): Promise<Generator> {
    const prefix = Math.ceil(softPrompt.length / this.weights.config.dim);
    const rows = Math.min(prefix, MAX_VIRTUAL_TOKENS);
    return (await this.atLeast({ batch: 1, rows, poolRows: rows, logits: 1 })).generator;
  }

  /** For passes of up to `rows` rows, soft prompt included; fewer where that is too many. */
  async forcing(rows: number, logits: number): Promise<TeacherForcing> {
    return (await this.roomsFor(rows, logits)).forcing;
  }

  /** For divergences along up to `rows` rows, soft prompt included; fewer where that is too many. */
  async meter(name: Divergence, rows: number, logits: number): Promise<DivergenceMeter> {
    const { gpu, weights, kernels, submitter } = this;
    const objective = { family: 'divergence', name } as const;
    const makeLoss = await createLoss(gpu, weights, { objective });
    const rooms = await this.roomsFor(rows, logits);
    let meter = rooms.meters.get(name);
    if (!meter) {
      const { prefill } = rooms.generator;
      const { head } = rooms;
      meter = new DivergenceMeter(gpu, weights, kernels, submitter, prefill, head, makeLoss);
      rooms.meters.set(name, meter);
    }
    return meter;
  }

  /** Gives the buffers back; the next use makes new ones. */
  release(): void {
    const { rooms } = this;
    if (!rooms) return;
    rooms.generator.release();
    rooms.head.release();
    rooms.forcing.release();
    for (const meter of rooms.meters.values()) meter.release();
    this.gpu.release(rooms.logits);
    this.rooms = null;
  }

  private roomsFor(rows: number, logits: number): Promise<Rooms> {
    const { most } = this;
    const own = Math.max(1, Math.min(rows, most.rows));
    return this.atLeast({
      batch: 1,
      rows: own,
      poolRows: own,
      logits: Math.min(logits, most.logits),
    });
  }

  private async atLeast(needed: Sizes): Promise<Rooms> {
    const old = this.rooms?.sizes;
    const sizes = { ...needed };
    let grows = old === undefined;
    for (const name of ['batch', 'rows', 'poolRows', 'logits'] as const) {
      const had = old?.[name] ?? 0;
      grows ||= needed[name] > had;
      const bucket = 2 ** Math.ceil(Math.log2(Math.max(1, needed[name])));
      sizes[name] = Math.max(had, Math.min(this.most[name], Math.max(bucket, 1)));
    }
    sizes.logits = Math.max(sizes.logits, sizes.batch);
    if (this.rooms && !grows) return this.rooms;
    this.release();
    const { gpu, weights, submitter, kernels } = this;
    const logits = gpu.storage('logits', sizes.logits * weights.config.vocabSize * 4);
    const generator = new Generator(gpu, weights, submitter, kernels, sizes, logits);
    const { prefill } = generator;
    const tile = sizes.logits;
    const head = new HeadStage(gpu, weights, kernels, prefill.output, tile, 'forcing head', {
      logits,
    });
    const forcing = new TeacherForcing(gpu, weights, submitter, prefill, head, this.logprob);
    const rooms: Rooms = { sizes, logits, generator, head, forcing, meters: new Map() };
    this.rooms = rooms;
    await submitter.calibrate(prefill.probe());
    return rooms;
  }
}
