/**
 * Batched generation with a KV cache. Every sequence has a slot in one KV pool behind the shared
 * soft prompt: `prefix | slot 0 | slot 1 | …`. Prompts are prefilled packed, without padding; then
 * all open sequences decode together, several tokens between two read-backs, and finished slots
 * are given to waiting prompts. Samples depend on (seed, stream, token index) alone, so a
 * sequence's text does not depend on its neighbours, but for rounding: a few sequences take other
 * kernels than many.
 */
import { type AdvanceKernel, createAdvance } from '../kernels/sample/advance';
import type { Gpu, Op } from '../kernels/gpu/gpu';
import { createSample, type SampleKernel } from '../kernels/sample/sample';
import { CancelledError, SequenceTooLongError } from './errors';
import { ForwardPass } from './forward';
import type { ForwardKernels } from './forward-kernels';
import { HeadStage } from './head';
import { KvPool } from './layer-activations';
import { MAX_VIRTUAL_TOKENS } from './trainable/shape';
import type { Generated, GenerateOptions, GenerateRequest } from './types';
import type { DecoderWeights } from './weights';
import type { Submitter } from './work';

/** Tokens decoded between two read-backs. */
const CHUNK = 8;

export interface GeneratorOptions {
  /** Most sequences at once. */
  batch: number;
  /** Rows of one prefill. */
  rows: number;
  /** Rows of the KV pool, soft prompt included. */
  poolRows: number;
}

/**
 * What generating for `requests` needs, within `most`.
 * @throws SequenceTooLongError where a prompt and its answer cannot fit that or the model.
 * @throws RangeError on an empty prompt.
 */
export function generationSizes(
  requests: readonly GenerateRequest[],
  prefix: number,
  maxNewTokens: number,
  positions: number,
  most: GeneratorOptions,
): GeneratorOptions {
  if (requests.some((r) => r.prompt.length === 0)) {
    throw new RangeError('A prompt needs at least one token.');
  }
  const longest = requests.reduce((length, r) => Math.max(length, r.prompt.length), 0);
  const room = Math.min(positions - prefix, most.poolRows - prefix - CHUNK);
  if (longest + maxNewTokens > room || longest > most.rows) {
    throw new SequenceTooLongError(longest, maxNewTokens, Math.min(room, most.rows));
  }
  const batch = Math.max(1, Math.min(most.batch, requests.length));
  const all = requests.reduce((sum, r) => sum + r.prompt.length, 0);
  return {
    batch,
    rows: Math.min(most.rows, Math.max(prefix, longest, all)),
    poolRows: Math.min(most.poolRows, prefix + batch * slotRows(longest, maxNewTokens)),
  };
}

/** A chunk may run past the limit before it is cut; those rows must not be a neighbour's. */
function slotRows(longest: number, maxNewTokens: number): number {
  return longest + maxNewTokens + CHUNK;
}

interface Sequence {
  request: number;
  slot: number;
  tokens: number[];
  logProbs: number[];
}

/** Kernels of generation alone. */
export interface GeneratorKernels extends ForwardKernels {
  sample: SampleKernel;
  advance: AdvanceKernel;
}

export async function createGeneratorKernels(
  gpu: Gpu,
  vocabulary: number,
  forward: ForwardKernels,
): Promise<GeneratorKernels> {
  const [sample, advance] = await Promise.all([
    createSample(gpu, { vocabulary }),
    createAdvance(gpu),
  ]);
  return { ...forward, sample, advance };
}

/** Compiles what a generator made from then on decodes few sequences with; without it, it takes the usual kernels. */
export async function prepareFewRows({ config, layers, head }: DecoderWeights): Promise<void> {
  const adding = config.outputNorms ? 'few' : 'few-residual';
  await Promise.all([
    head.prepare(['few']),
    ...layers.flatMap(({ q, k, v, o, gate, up, down }) => [
      ...[q, k, v, gate, up].map((layer) => layer.prepare(['few'])),
      ...[o, down].map((layer) => layer.prepare([adding])),
    ]),
  ]);
}

export class Generator {
  /** Also used for teacher-forced passes: its rows may be any packed batch. */
  readonly prefill: ForwardPass;
  readonly pool: KvPool;

  private readonly decode: ForwardPass;
  private readonly prefillHead: HeadStage;
  private readonly decodeHead: HeadStage;
  private readonly streams: GPUBuffer;
  private readonly counters: GPUBuffer;
  private readonly settings: GPUBuffer;
  private readonly logProbs: GPUBuffer;
  private readonly sampled: GPUBuffer;
  /** [CHUNK, batch] tokens, then as many log-probabilities. */
  private readonly history: GPUBuffer;
  private readonly prefillSample: Op;
  private readonly decodeSample: Op;
  private readonly advanceOp: Op;

  /** `logits`: a buffer of at least `batch` rows of logits, which may serve others too. */
  constructor(
    private readonly gpu: Gpu,
    private readonly weights: DecoderWeights,
    private readonly submitter: Submitter,
    kernels: GeneratorKernels,
    private readonly options: GeneratorOptions,
    logits: GPUBuffer,
  ) {
    const { batch, rows, poolRows } = options;
    const { sample, advance } = kernels;
    this.pool = new KvPool(gpu, weights, poolRows);
    const common = { keep: 'none', pool: this.pool } as const;
    this.prefill = new ForwardPass(gpu, weights, kernels, {
      ...common,
      capacity: rows,
      choosing: true,
      maxPrefix: Math.min(MAX_VIRTUAL_TOKENS, rows),
      label: 'prefill',
    });
    this.decode = new ForwardPass(gpu, weights, kernels, {
      ...common,
      capacity: batch,
      maxPrefix: 0,
      decode: true,
      label: 'decode',
    });
    const head = (pass: ForwardPass, label: string) =>
      new HeadStage(gpu, weights, kernels, pass.output, batch, label, { logits, few: true });
    this.prefillHead = head(this.prefill, 'prefill head');
    this.decodeHead = head(this.decode, 'decode head');
    this.streams = gpu.storage('sample streams', batch * 4);
    this.counters = gpu.storage('sample counters', batch * 4);
    this.settings = gpu.uniform('sample settings', 16);
    this.logProbs = gpu.storage('sample log-probs', batch * 4);
    this.sampled = gpu.storage('sampled tokens', batch * 4);
    this.history = gpu.storage('decode history', CHUNK * batch * 8);
    const shared = {
      stream: this.streams,
      counter: this.counters,
      settings: this.settings,
      logProb: this.logProbs,
    };
    this.prefillSample = sample.bind({
      ...shared,
      logits: this.prefillHead.logits,
      token: this.sampled,
      span: this.prefillHead.span,
    });
    this.decodeSample = sample.bind({
      ...shared,
      logits: this.decodeHead.logits,
      token: this.decode.tokens,
      span: this.decodeHead.span,
    });
    this.advanceOp = advance.bind({
      positions: this.decode.rows.positions,
      self: this.decode.rows.self,
      counter: this.counters,
      span: this.decode.all,
    });
  }

  /**
   * The generator must be as large as `generationSizes` says.
   * @throws CancelledError where the signal ends it.
   */
  async generate(
    requests: readonly GenerateRequest[],
    options: GenerateOptions,
  ): Promise<Generated[]> {
    const prefix = await this.writePrefix(options.softPrompt);
    const { slots, slotRows } = this.layout(requests, prefix, options.maxNewTokens);
    this.writeSettings(options);
    const stops = new Set(options.stopTokens);

    const results = new Array<Generated>(requests.length);
    const free = Array.from({ length: slots }, (_, i) => slots - 1 - i);
    const open: Sequence[] = [];
    let next = 0;
    let done = 0;
    const start = (slot: number) => prefix + slot * slotRows;
    const close = () => {
      for (let i = open.length - 1; i >= 0; i--) {
        const sequence = open[i]!;
        const finished = stops.has(sequence.tokens.at(-1)!);
        if (!finished && sequence.tokens.length < options.maxNewTokens) continue;
        const { tokens, logProbs } = sequence;
        results[sequence.request] = { tokens, logProbs, finished };
        free.push(sequence.slot);
        open.splice(i, 1);
        done++;
      }
    };
    while (done < requests.length) {
      if (options.signal?.aborted) throw new CancelledError();
      const admitted: Sequence[] = [];
      let rows = 0;
      while (next < requests.length && free.length > 0) {
        rows += requests[next]!.prompt.length;
        if (rows > this.options.rows) break;
        admitted.push({ request: next++, slot: free.pop()!, tokens: [], logProbs: [] });
      }
      if (admitted.length > 0) {
        await this.runPrefill(admitted, requests, prefix, start);
        open.push(...admitted);
        close();
        // Fill every slot before decoding: a full batch costs little more than a part of one.
        if (free.length > 0 && next < requests.length) continue;
      }
      if (open.length > 0) {
        const left = open.map((s) => options.maxNewTokens - s.tokens.length);
        await this.runDecode(open, requests, prefix, start, Math.min(CHUNK, Math.max(...left)));
        trim(open, stops, options.maxNewTokens);
        close();
      }
      options.onProgress?.(done, requests.length);
    }
    return results;
  }

  /** Runs the soft prompt alone, so that its keys and values stand in the pool's first rows. */
  async writePrefix(softPrompt: Float32Array | undefined): Promise<number> {
    const { dim } = this.weights.config;
    const n = softPrompt ? softPrompt.length / dim : 0;
    if (!Number.isInteger(n) || n > MAX_VIRTUAL_TOKENS) {
      throw new RangeError(
        `A soft prompt of ${softPrompt?.length} values is not up to ${MAX_VIRTUAL_TOKENS} vectors of ${dim}.`,
      );
    }
    if (!softPrompt || n === 0) return 0;
    const rows = Uint32Array.from({ length: n }, (_, i) => i);
    this.gpu.write(this.prefill.softPrompt, softPrompt);
    const tokens = new Uint32Array(n);
    this.prefill.load(
      { tokens, positions: rows, keys: new Uint32Array(n * 4), self: rows },
      n,
      new Uint32Array(),
    );
    this.submitter.run(this.prefill.ops, 'soft prompt');
    return n;
  }

  release(): void {
    this.prefill.release();
    this.decode.release();
    this.prefillHead.release();
    this.decodeHead.release();
    this.pool.release();
    const { streams, counters, settings, logProbs, sampled, history } = this;
    this.gpu.release(streams, counters, settings, logProbs, sampled, history);
  }

  private layout(requests: readonly GenerateRequest[], prefix: number, maxNewTokens: number) {
    const { batch, poolRows } = this.options;
    const longest = requests.reduce((most, r) => Math.max(most, r.prompt.length), 0);
    const rows = slotRows(longest, maxNewTokens);
    return { slots: Math.min(batch, Math.floor((poolRows - prefix) / rows)), slotRows: rows };
  }

  private writeSettings({ temperature, seed }: GenerateOptions): void {
    const bytes = new DataView(new ArrayBuffer(16));
    bytes.setFloat32(0, temperature, true);
    bytes.setUint32(4, seed >>> 0, true);
    this.gpu.write(this.settings, new Uint8Array(bytes.buffer));
  }

  private async runPrefill(
    sequences: Sequence[],
    requests: readonly GenerateRequest[],
    prefix: number,
    start: (slot: number) => number,
  ): Promise<void> {
    const prompts = sequences.map((s) => requests[s.request]!.prompt);
    const rows = prompts.reduce((sum, prompt) => sum + prompt.length, 0);
    const tables = {
      tokens: new Uint32Array(rows),
      positions: new Uint32Array(rows),
      keys: new Uint32Array(rows * 4),
      self: new Uint32Array(rows),
    };
    const last: number[] = [];
    let row = 0;
    for (const [i, prompt] of prompts.entries()) {
      const first = start(sequences[i]!.slot);
      for (const [t, token] of prompt.entries()) {
        tables.tokens[row] = token;
        tables.positions[row] = prefix + t;
        tables.keys.set([prefix, 0, 0, first], row * 4);
        tables.self[row] = first + t;
        row++;
      }
      last.push(row - 1);
    }
    this.prefill.load(tables, 0, Uint32Array.from(last));
    this.prefillHead.choose(Uint32Array.from(last.keys()));
    this.gpu.write(this.streams, this.streamsOf(sequences, requests));
    this.gpu.write(this.counters, new Uint32Array(sequences.length));
    const ops = [...this.prefill.ops, ...this.prefillHead.ops, this.prefillSample];
    this.submitter.run(ops, 'prefill');
    const [tokens, logProbs] = await Promise.all([
      this.gpu.readUints(this.sampled, sequences.length),
      this.gpu.readFloats(this.logProbs, sequences.length),
    ]);
    for (const [i, sequence] of sequences.entries()) {
      sequence.tokens.push(tokens[i]!);
      sequence.logProbs.push(logProbs[i]!);
    }
  }

  private async runDecode(
    sequences: Sequence[],
    requests: readonly GenerateRequest[],
    prefix: number,
    start: (slot: number) => number,
    steps: number,
  ): Promise<void> {
    const count = sequences.length;
    const { batch } = this.options;
    // The last known token goes in first; its own row is the one after what the cache holds.
    const cached = sequences.map((s) => requests[s.request]!.prompt.length + s.tokens.length - 1);
    const tables = {
      tokens: Uint32Array.from(sequences, (s) => s.tokens.at(-1)!),
      positions: Uint32Array.from(cached, (length) => prefix + length),
      keys: Uint32Array.from(sequences.flatMap((s) => [prefix, 0, 0, start(s.slot)])),
      self: Uint32Array.from(sequences, (s, i) => start(s.slot) + cached[i]!),
    };
    this.decode.load(tables, 0);
    this.decodeHead.choose(Uint32Array.from({ length: count }, (_, i) => i));
    this.gpu.write(this.streams, this.streamsOf(sequences, requests));
    this.gpu.write(
      this.counters,
      Uint32Array.from(sequences, (s) => s.tokens.length),
    );
    const ops = [...this.decode.ops, ...this.decodeHead.ops, this.decodeSample, this.advanceOp];
    const record = (encoder: GPUCommandEncoder, step: number) => {
      const at = step * batch * 4;
      encoder.copyBufferToBuffer(this.decode.tokens, 0, this.history, at, count * 4);
      const logAt = (CHUNK * batch + step * batch) * 4;
      encoder.copyBufferToBuffer(this.logProbs, 0, this.history, logAt, count * 4);
    };
    this.submitter.repeat(ops, steps, record, 'decode');
    const bytes = await this.gpu.read(this.history);
    const tokens = new Uint32Array(bytes);
    const logProbs = new Float32Array(bytes, CHUNK * batch * 4);
    for (const [i, sequence] of sequences.entries()) {
      for (let step = 0; step < steps; step++) {
        sequence.tokens.push(tokens[step * batch + i]!);
        sequence.logProbs.push(logProbs[step * batch + i]!);
      }
    }
  }

  private streamsOf(sequences: Sequence[], requests: readonly GenerateRequest[]): Uint32Array {
    return Uint32Array.from(sequences, (s) => requests[s.request]!.stream >>> 0);
  }
}

/** Cuts what was decoded past the first stop token or the limit. */
function trim(sequences: Sequence[], stops: ReadonlySet<number>, maxNewTokens: number): void {
  for (const sequence of sequences) {
    const stop = sequence.tokens.findIndex((token) => stops.has(token));
    const length = Math.min(stop < 0 ? Infinity : stop + 1, maxNewTokens);
    sequence.tokens.length = Math.min(sequence.tokens.length, length);
    sequence.logProbs.length = sequence.tokens.length;
  }
}
