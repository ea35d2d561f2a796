/**
 * Batched generation with a KV cache. Every sequence has a slot in one KV pool behind the shared
 * soft prompt: `prefix | slot 0 | slot 1 | …`. Prompts are prefilled packed, without padding; then
 * all open sequences decode together, several tokens between two read-backs, and finished slots
 * are given to waiting prompts. Samples depend on (seed, stream, token index) alone, so a
 * sequence's text does not depend on its neighbours.
 */
import { type AdvanceKernel, createAdvance } from '../kernels/advance';
import { encode, type Gpu, type Op } from '../kernels/gpu';
import { createSample, type SampleKernel } from '../kernels/sample';
import { CancelledError, SequenceTooLongError } from './errors';
import { type ForwardKernels, ForwardPass, KvPool } from './forward';
import { HeadStage } from './head';
import type { Generated, GenerateOptions, GenerateRequest } from './types';
import type { DecoderWeights } from './weights';

/** Tokens decoded between two read-backs. */
const CHUNK = 8;

export interface GeneratorOptions {
  /** Most sequences at once. */
  batch: number;
  /** Rows of one prefill. */
  prefillRows: number;
  /** Rows of the KV pool, soft prompt included. */
  poolRows: number;
  maxPrefix: number;
}

interface Sequence {
  request: number;
  slot: number;
  tokens: number[];
  logProbs: number[];
}

export async function createGenerator(
  gpu: Gpu,
  weights: DecoderWeights,
  kernels: ForwardKernels,
  options: GeneratorOptions,
): Promise<Generator> {
  const [sample, advance] = await Promise.all([
    createSample(gpu, { vocabulary: weights.config.vocabSize }),
    createAdvance(gpu),
  ]);
  return new Generator(gpu, weights, kernels, sample, advance, options);
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

  constructor(
    private readonly gpu: Gpu,
    private readonly weights: DecoderWeights,
    kernels: ForwardKernels,
    sample: SampleKernel,
    advance: AdvanceKernel,
    private readonly options: GeneratorOptions,
  ) {
    const { batch, prefillRows, poolRows, maxPrefix } = options;
    this.pool = new KvPool(gpu, weights, poolRows);
    const common = { keep: false, pool: this.pool, maxPrefix };
    this.prefill = new ForwardPass(gpu, weights, kernels, {
      ...common,
      capacity: prefillRows,
      label: 'prefill',
    });
    this.decode = new ForwardPass(gpu, weights, kernels, {
      ...common,
      capacity: batch,
      maxPrefix: 0,
      decode: true,
      label: 'decode',
    });
    this.prefillHead = new HeadStage(
      gpu,
      weights,
      kernels,
      this.prefill.output,
      batch,
      'prefill head',
    );
    this.decodeHead = new HeadStage(
      gpu,
      weights,
      kernels,
      this.decode.output,
      batch,
      'decode head',
    );
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
      token: this.decode.rows.tokens,
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
   * @throws SequenceTooLongError where a prompt and its answer cannot fit the pool or the model.
   * @throws CancelledError where the signal ends it.
   */
  async generate(
    requests: readonly GenerateRequest[],
    options: GenerateOptions,
  ): Promise<Generated[]> {
    const prefix = await this.writePrefix(options.softPrompt);
    const { slots, slotRows } = this.layout(requests, prefix, options.maxNewTokens);
    this.writeSettings(options);

    const results = new Array<Generated>(requests.length);
    const free = Array.from({ length: slots }, (_, i) => slots - 1 - i);
    const open: Sequence[] = [];
    let next = 0;
    let done = 0;
    const start = (slot: number) => prefix + slot * slotRows;
    const close = () => {
      for (let i = open.length - 1; i >= 0; i--) {
        const sequence = open[i]!;
        const finished = sequence.tokens.at(-1) === options.stopToken;
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
        if (rows > this.options.prefillRows) break;
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
        trim(open, options);
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
    if (!Number.isInteger(n) || n > this.options.maxPrefix) {
      throw new RangeError(
        `A soft prompt of ${softPrompt?.length} values is not up to ${this.options.maxPrefix} vectors of ${dim}.`,
      );
    }
    if (!softPrompt || n === 0) return 0;
    const rows = Uint32Array.from({ length: n }, (_, i) => i);
    this.gpu.write(this.prefill.softPrompt, softPrompt);
    this.prefill.rows.write({
      tokens: new Uint32Array(n),
      positions: rows,
      keys: new Uint32Array(n * 4),
      self: rows,
    });
    this.prefill.setRows(n, n);
    this.gpu.run(this.prefill.ops, 'soft prompt');
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
    const longest = requests.reduce((most, r) => Math.max(most, r.prompt.length), 0);
    // A chunk may run past the limit before it is cut; those rows must not be a neighbour's.
    const slotRows = longest + maxNewTokens + CHUNK;
    if (requests.some((r) => r.prompt.length === 0)) {
      throw new RangeError('A prompt needs at least one token.');
    }
    const room = Math.min(this.weights.positions, this.weights.config.maxPositions) - prefix;
    if (longest + maxNewTokens > room || longest > this.options.prefillRows) {
      throw new SequenceTooLongError(longest, maxNewTokens, room);
    }
    const slots = Math.min(
      this.options.batch,
      Math.floor((this.options.poolRows - prefix) / slotRows),
    );
    if (slots < 1) {
      throw new SequenceTooLongError(longest, maxNewTokens, this.options.poolRows - prefix);
    }
    return { slots, slotRows };
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
    this.prefill.rows.write(tables);
    this.prefill.setRows(0, rows);
    this.prefillHead.choose(Uint32Array.from(last));
    this.gpu.write(this.streams, this.streamsOf(sequences, requests));
    this.gpu.write(this.counters, new Uint32Array(sequences.length));
    this.gpu.run([...this.prefill.ops, ...this.prefillHead.ops, this.prefillSample], 'prefill');
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
    this.decode.rows.write({
      tokens: Uint32Array.from(sequences, (s) => s.tokens.at(-1)!),
      positions: Uint32Array.from(cached, (length) => prefix + length),
      keys: Uint32Array.from(sequences.flatMap((s) => [prefix, 0, 0, start(s.slot)])),
      self: Uint32Array.from(sequences, (s, i) => start(s.slot) + cached[i]!),
    });
    this.decode.setRows(0, count);
    this.decodeHead.choose(Uint32Array.from({ length: count }, (_, i) => i));
    this.gpu.write(this.streams, this.streamsOf(sequences, requests));
    this.gpu.write(
      this.counters,
      Uint32Array.from(sequences, (s) => s.tokens.length),
    );
    const encoder = this.gpu.device.createCommandEncoder({ label: 'decode' });
    const ops = [...this.decode.ops, ...this.decodeHead.ops, this.decodeSample, this.advanceOp];
    for (let step = 0; step < steps; step++) {
      const pass = encoder.beginComputePass({ label: 'decode' });
      for (const op of ops) encode(pass, op);
      pass.end();
      const at = step * batch * 4;
      encoder.copyBufferToBuffer(this.decode.rows.tokens, 0, this.history, at, count * 4);
      const logAt = (CHUNK * batch + step * batch) * 4;
      encoder.copyBufferToBuffer(this.logProbs, 0, this.history, logAt, count * 4);
    }
    this.gpu.device.queue.submit([encoder.finish()]);
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

/** Cuts what was decoded past the stop token or the limit. */
function trim(sequences: Sequence[], { stopToken, maxNewTokens }: GenerateOptions): void {
  for (const sequence of sequences) {
    const stop = sequence.tokens.indexOf(stopToken);
    const length = Math.min(stop < 0 ? Infinity : stop + 1, maxNewTokens);
    sequence.tokens.length = Math.min(sequence.tokens.length, length);
    sequence.logProbs.length = sequence.tokens.length;
  }
}
