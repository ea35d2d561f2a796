/**
 * Teacher-forced passes of the frozen model: logits, log-probabilities of given tokens, and the
 * hidden states that a distillation target is made from. No gradients.
 */
import type { LogProbKernel } from '../kernels/loss/divergence-logprob';
import type { Gpu, Op } from '../kernels/gpu/gpu';
import { CancelledError, SequenceTooLongError } from './errors';
import type { ForwardPass } from './forward';
import type { HeadStage } from './head';
import { exampleRows, pack, type PackedRows } from './pack';
import type { Example, TeacherPath, Tokens } from './types';
import type { DecoderWeights } from './weights';
import type { Submitter } from './work';

export interface PathOptions {
  softPrompt?: Float32Array;
  /** What is on the GPU already: its rows in front, and what brings it into the pass. */
  resident?: { rows: number; enter: readonly Op[] };
  /** Hand out final hidden states too. */
  hidden: boolean;
  signal?: AbortSignal;
}

export class TeacherForcing {
  private readonly tokens: GPUBuffer;
  private readonly logProbs: GPUBuffer;
  private readonly logprobOp: Op;
  /** Rows of one pass. */
  private readonly capacity: number;

  /** Works on the rows that `pass` chooses and the logits of `head`, which may serve others too. */
  constructor(
    private readonly gpu: Gpu,
    private readonly weights: DecoderWeights,
    private readonly submitter: Submitter,
    private readonly pass: ForwardPass,
    private readonly head: HeadStage,
    logprob: LogProbKernel,
  ) {
    this.capacity = pass.capacity;
    this.tokens = gpu.storage('forcing tokens', head.capacity * 4);
    this.logProbs = gpu.storage('forcing log-probs', head.capacity * 4);
    this.logprobOp = logprob.bind({
      logits: head.logits,
      token: this.tokens,
      y: this.logProbs,
      span: head.span,
    });
  }

  /**
   * Log-probabilities (and, where wanted, final hidden states) along every path.
   * @throws SequenceTooLongError where one example alone does not fit a pass or the model.
   * @throws CancelledError where the signal ends it.
   */
  async paths(inputs: readonly Example[], options: PathOptions): Promise<TeacherPath[][]> {
    const { softPrompt, resident } = options;
    const prefix = resident?.rows ?? (softPrompt?.length ?? 0) / this.weights.config.dim;
    const results: TeacherPath[][] = [];
    for (const batch of this.batches(inputs, prefix)) {
      if (options.signal?.aborted) throw new CancelledError();
      results.push(...(await this.runPaths(batch, prefix, options)));
    }
    return results;
  }

  /** Logits after every token, [tokens.length, vocabSize]. */
  async logits(
    tokens: Tokens,
    softPrompt?: Float32Array,
    signal?: AbortSignal,
  ): Promise<Float32Array> {
    const { dim, vocabSize } = this.weights.config;
    const prefix = (softPrompt?.length ?? 0) / dim;
    const input = { prompt: tokens, paths: [] };
    this.checkFits(input, prefix);
    const all = Uint32Array.from(tokens, (_, i) => prefix + i);
    this.runForward(pack([input], prefix), { softPrompt }, all);
    const logits = new Float32Array(tokens.length * vocabSize);
    for (let start = 0; start < tokens.length; start += this.head.capacity) {
      if (signal?.aborted) throw new CancelledError();
      const rows = Math.min(this.head.capacity, tokens.length - start);
      this.head.choose(Uint32Array.from({ length: rows }, (_, i) => start + i));
      this.submitter.run(this.head.ops, 'logits');
      logits.set(await this.gpu.readFloats(this.head.logits, rows * vocabSize), start * vocabSize);
    }
    return logits;
  }

  release(): void {
    this.gpu.release(this.tokens, this.logProbs);
  }

  private *batches(inputs: readonly Example[], prefix: number): Iterable<Example[]> {
    let batch: Example[] = [];
    let rows = prefix;
    for (const input of inputs) {
      this.checkFits(input, prefix);
      const size = exampleRows(input);
      if (rows + size > this.capacity && batch.length > 0) {
        yield batch;
        batch = [];
        rows = prefix;
      }
      batch.push(input);
      rows += size;
    }
    if (batch.length > 0) yield batch;
  }

  private checkFits(input: Example, prefix: number): void {
    const longest = input.paths.reduce((most, path) => Math.max(most, path.length), 0);
    const { positions, config } = this.weights;
    const room = Math.min(positions, config.maxPositions) - prefix;
    if (input.prompt.length + longest > room || prefix + exampleRows(input) > this.capacity) {
      throw new SequenceTooLongError(input.prompt.length, longest, Math.min(room, this.capacity));
    }
  }

  /** `chosen`: the rows that the pass has an output for. */
  private runForward(
    packed: PackedRows,
    { softPrompt, resident }: Pick<PathOptions, 'softPrompt' | 'resident'>,
    chosen: Uint32Array,
  ): void {
    if (softPrompt) this.gpu.write(this.pass.softPrompt, softPrompt);
    this.pass.load(packed, packed.prefix, chosen);
    this.submitter.run([...(resident?.enter ?? []), ...this.pass.ops], 'teacher-forced forward');
  }

  private async runPaths(
    batch: readonly Example[],
    prefix: number,
    options: PathOptions,
  ): Promise<TeacherPath[][]> {
    const { dim } = this.weights.config;
    const packed = pack(batch, prefix);
    this.runForward(packed, options, packed.lossRows);
    // One entry a path token: the first position of an example serves several paths' tokens.
    const rows: number[] = [];
    const tokens: number[] = [];
    for (const [e, { paths }] of batch.entries()) {
      for (const [p, path] of paths.entries()) {
        for (const [t, token] of path.entries()) {
          rows.push(packed.loss[e]![p]![t]!);
          tokens.push(token);
        }
      }
    }
    const logProbs = new Float32Array(rows.length);
    const hidden = new Float32Array(options.hidden ? rows.length * dim : 0);
    for (let start = 0; start < rows.length; start += this.head.capacity) {
      const count = Math.min(this.head.capacity, rows.length - start);
      this.head.choose(Uint32Array.from(rows.slice(start, start + count)));
      this.gpu.write(this.tokens, Uint32Array.from(tokens.slice(start, start + count)));
      this.submitter.run([...this.head.ops, this.logprobOp], 'log-probs');
      const [values, states] = await Promise.all([
        this.gpu.readFloats(this.logProbs, count),
        options.hidden ? this.gpu.readFloats(this.head.hidden, count * dim) : null,
      ]);
      logProbs.set(values, start);
      if (states) hidden.set(states, start * dim);
    }
    let at = 0;
    return batch.map(({ paths }) =>
      paths.map((path) => {
        const end = at + path.length;
        const result = {
          logProbs: logProbs.slice(at, end),
          hidden: options.hidden ? hidden.slice(at * dim, end * dim) : new Float32Array(),
        };
        at = end;
        return result;
      }),
    );
  }
}
