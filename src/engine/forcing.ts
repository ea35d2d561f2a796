/**
 * Teacher-forced passes of the frozen model: logits, log-probabilities of given tokens, and the
 * hidden states that a distillation target is made from. No gradients.
 */
import { type Gpu, type Op } from '../kernels/gpu';
import { createLogProb, type LogProbKernel } from '../kernels/divergence-logprob';
import { SequenceTooLongError } from './errors';
import type { ForwardKernels, ForwardPass } from './forward';
import { HeadStage, logitsRows } from './head';
import { exampleRows, pack, type PackInput } from './pack';
import type { TeacherPath, Tokens } from './types';
import type { DecoderWeights } from './weights';

export async function createTeacherForcing(
  gpu: Gpu,
  weights: DecoderWeights,
  kernels: ForwardKernels,
  pass: ForwardPass,
): Promise<TeacherForcing> {
  const logprob = await createLogProb(gpu, { vocabulary: weights.config.vocabSize });
  return new TeacherForcing(gpu, weights, kernels, pass, logprob);
}

export class TeacherForcing {
  private readonly head: HeadStage;
  private readonly tokens: GPUBuffer;
  private readonly logProbs: GPUBuffer;
  private readonly logprobOp: Op;
  /** Rows of one pass. */
  private readonly capacity: number;

  constructor(
    private readonly gpu: Gpu,
    private readonly weights: DecoderWeights,
    kernels: ForwardKernels,
    private readonly pass: ForwardPass,
    logprob: LogProbKernel,
  ) {
    this.capacity = pass.rows.capacity;
    const rows = logitsRows(weights.config.vocabSize, this.capacity);
    this.head = new HeadStage(gpu, weights, kernels, pass.output, rows, 'forcing head');
    this.tokens = gpu.storage('forcing tokens', rows * 4);
    this.logProbs = gpu.storage('forcing log-probs', rows * 4);
    this.logprobOp = logprob.bind({
      logits: this.head.logits,
      token: this.tokens,
      y: this.logProbs,
      span: this.head.span,
    });
  }

  /**
   * Log-probabilities (and, where wanted, final hidden states) along every path.
   * @throws SequenceTooLongError where one example alone does not fit a pass or the model.
   */
  async paths(
    inputs: readonly PackInput[],
    options: { softPrompt?: Float32Array; hidden: boolean },
  ): Promise<TeacherPath[][]> {
    const prefix = (options.softPrompt?.length ?? 0) / this.weights.config.dim;
    const results: TeacherPath[][] = [];
    for (const batch of this.batches(inputs, prefix)) {
      results.push(...(await this.runPaths(batch, prefix, options)));
    }
    return results;
  }

  /** Logits after every token, [tokens.length, vocabSize]. */
  async logits(tokens: Tokens, softPrompt?: Float32Array): Promise<Float32Array> {
    const { dim, vocabSize } = this.weights.config;
    const prefix = (softPrompt?.length ?? 0) / dim;
    const input = { prompt: tokens, paths: [] };
    this.checkFits(input, prefix);
    this.runForward([input], prefix, softPrompt);
    const logits = new Float32Array(tokens.length * vocabSize);
    for (let start = 0; start < tokens.length; start += this.head.capacity) {
      const rows = Math.min(this.head.capacity, tokens.length - start);
      this.head.choose(Uint32Array.from({ length: rows }, (_, i) => prefix + start + i));
      this.gpu.run(this.head.ops, 'logits');
      logits.set(await this.gpu.readFloats(this.head.logits, rows * vocabSize), start * vocabSize);
    }
    return logits;
  }

  release(): void {
    this.head.release();
    this.gpu.release(this.tokens, this.logProbs);
  }

  private *batches(inputs: readonly PackInput[], prefix: number): Iterable<PackInput[]> {
    let batch: PackInput[] = [];
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

  private checkFits(input: PackInput, prefix: number): void {
    const longest = input.paths.reduce((most, path) => Math.max(most, path.length), 0);
    const { positions, config } = this.weights;
    const room = Math.min(positions, config.maxPositions) - prefix;
    if (input.prompt.length + longest > room || prefix + exampleRows(input) > this.capacity) {
      throw new SequenceTooLongError(input.prompt.length, longest, Math.min(room, this.capacity));
    }
  }

  private runForward(batch: readonly PackInput[], prefix: number, softPrompt?: Float32Array) {
    const packed = pack(batch, prefix);
    if (softPrompt) this.gpu.write(this.pass.softPrompt, softPrompt);
    this.pass.rows.write(packed);
    this.pass.setRows(prefix, packed.rows);
    this.gpu.run(this.pass.ops, 'teacher-forced forward');
    return packed;
  }

  private async runPaths(
    batch: readonly PackInput[],
    prefix: number,
    options: { softPrompt?: Float32Array; hidden: boolean },
  ): Promise<TeacherPath[][]> {
    const { dim } = this.weights.config;
    const packed = this.runForward(batch, prefix, options.softPrompt);
    // One entry a path token: the first position of an example serves several paths' tokens.
    const rows: number[] = [];
    const tokens: number[] = [];
    for (const [e, { paths }] of batch.entries()) {
      for (const [p, path] of paths.entries()) {
        for (const [t, token] of path.entries()) {
          rows.push(packed.lossRows[packed.loss[e]![p]![t]!]!);
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
      this.gpu.run([...this.head.ops, this.logprobOp], 'log-probs');
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
