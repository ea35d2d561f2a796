/** A generative guard: on the runtime, or on the engine where the runtime cannot run it. */
import { INSTRUCTED, LLAMA_GUARD, scoresByPaths, VerdictGuard } from '../../distill/target/verdict';
import type { DeviceChoice, RuntimeDevice } from './device';
import { UnsupportedModelError } from '../../formats/decoder/errors';
import type { ModelFileSet } from '../files/open-model';
import { nextTask } from './next-task';
import type { Progress } from '../wire/protocol';
import type { Item } from './classifier';

export interface VerdictOptions {
  device: 'auto' | RuntimeDevice;
  runOn: 'runtime' | 'engine';
  safe: string;
  unsafe: string;
  onProgress: (progress: Progress) => void;
}

/** Conversations that the engine reads together. */
const ENGINE_BATCH = 8;

export class VerdictModel {
  private constructor(
    readonly choice: DeviceChoice,
    readonly by: 'runtime' | 'engine',
    private readonly guard: VerdictGuard,
    private readonly batch: number,
    readonly dispose: () => Promise<void>,
  ) {}

  /** @throws VerdictError where the verdicts are no single tokens; UnsupportedModelError */
  static async open(files: ModelFileSet, options: VerdictOptions): Promise<VerdictModel> {
    if (options.runOn === 'engine') return VerdictModel.onEngine(files, options);
    try {
      return await VerdictModel.onRuntime(files, options);
    } catch (error) {
      // The engine knows the same architectures and does not need what the runtime lacks.
      if (!(error instanceof UnsupportedModelError) || !navigator.gpu) throw error;
      return VerdictModel.onEngine(files, options);
    }
  }

  async score(items: readonly Item[], signal: AbortSignal): Promise<Float64Array> {
    const safe = new Float64Array(items.length);
    for (let start = 0; start < items.length; start += this.batch) {
      await nextTask();
      signal.throwIfAborted();
      safe.set(await this.guard.score(items.slice(start, start + this.batch)), start);
    }
    return safe;
  }

  private static async onRuntime(
    files: ModelFileSet,
    { device, onProgress, ...words }: VerdictOptions,
  ): Promise<VerdictModel> {
    const { RuntimeDecoder } = await import('./runtime-decoder');
    const decoder = await RuntimeDecoder.open(files, device, () =>
      onProgress({ phase: 'compile', done: 0, total: 1, unit: 'items' }),
    );
    const guard = new VerdictGuard(
      decoder.chat,
      async (prompts, tokens) => {
        const scores: number[][] = [];
        for (const prompt of prompts) {
          const last = await decoder.lastLogits(prompt);
          scores.push(tokens.map((token) => last[token]!));
        }
        return scores;
      },
      format(decoder.chat.templateText, words),
    );
    return new VerdictModel(decoder.choice, 'runtime', guard, 1, () => decoder.dispose());
  }

  private static async onEngine(
    files: ModelFileSet,
    { onProgress, ...words }: VerdictOptions,
  ): Promise<VerdictModel> {
    const { openEngine } = await import('../trainer/open-engine');
    const { engine, chat } = await openEngine(files, onProgress);
    try {
      const guard = new VerdictGuard(
        chat,
        scoresByPaths((items) => engine.score(items)),
        format(chat.templateText, words),
      );
      const reason = 'The engine reads this guard, on WebGPU.';
      const dispose = async () => engine.destroy();
      return new VerdictModel({ device: 'webgpu', reason }, 'engine', guard, ENGINE_BATCH, dispose);
    } catch (error) {
      engine.destroy();
      throw error;
    }
  }
}

/** A template that names a verdict itself is a guard's; any other model is asked in words. */
function format(template: string, { safe, unsafe }: { safe: string; unsafe: string }) {
  const base = template.includes(unsafe) ? LLAMA_GUARD : INSTRUCTED;
  return { ...base, safe, unsafe };
}
