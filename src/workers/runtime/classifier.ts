/** A text classifier on transformers.js as a guard. */
import {
  AutoModelForSequenceClassification,
  AutoTokenizer,
  env,
  type PreTrainedModel,
  type PreTrainedTokenizer,
  type Tensor,
} from '@huggingface/transformers';
import { obeySingleWord } from '../../distill/data/text-tokenizer';
import { checkTokenizerFiles } from '../../distill/data/tokenizer-files';
import { type LabelReading, readLabels, safeProbability } from '../../distill/target/labels';
import { chooseDevice, deviceFor, type DeviceChoice, type RuntimeDevice } from './device';
import { type ModelFileSet, readJson } from '../files/open-model';
import { cannotRun, findWeights, runtimeWeights } from './model-weights';
import { nextTask } from './next-task';
import { serveToRuntime } from './runtime-files';

/** Texts a forward pass; more would pad short texts to the length of long ones. */
const BATCH = 16;

export type Item = { prompt: string; response?: string };

export class Classifier {
  private constructor(
    readonly choice: DeviceChoice,
    readonly reading: LabelReading,
    private readonly tokenizer: PreTrainedTokenizer,
    private readonly model: PreTrainedModel,
  ) {}

  /**
   * @throws LabelError where nobody says which label means "safe"; DownloadError, TokenizerError,
   *   OnnxFormatError
   */
  static async open(
    files: ModelFileSet,
    wanted: 'auto' | RuntimeDevice,
    safe: readonly string[] | undefined,
    onCompile: () => void,
  ): Promise<Classifier> {
    const reading = readLabels(await readJson(files, 'config.json'), safe);
    checkTokenizerFiles(
      await readJson(files, 'tokenizer.json'),
      await readJson(files, 'tokenizer_config.json'),
    );
    const weights = await findWeights(files);
    const choice = await deviceFor(await chooseDevice(wanted), weights, files.label);
    onCompile();
    const served = serveToRuntime(env, files, await runtimeWeights(files, weights));
    try {
      const tokenizer = await AutoTokenizer.from_pretrained(served.name);
      // The library's own copy of the tokenizer lies in it.
      obeySingleWord(tokenizer._tokenizer);
      const model = await AutoModelForSequenceClassification.from_pretrained(served.name, {
        ...served.options,
        device: choice.device,
      });
      return new Classifier(choice, reading, tokenizer, model);
    } catch (error) {
      throw cannotRun(files.label, error);
    } finally {
      served.release();
    }
  }

  async score(items: readonly Item[], signal: AbortSignal): Promise<Float64Array> {
    const safe = new Float64Array(items.length);
    for (const paired of [false, true]) {
      const chosen = items
        .map((item, index) => ({ item, index }))
        .filter(({ item }) => (item.response !== undefined) === paired)
        .sort((a, b) => length(a.item) - length(b.item));
      for (let start = 0; start < chosen.length; start += BATCH) {
        await nextTask();
        signal.throwIfAborted();
        const batch = chosen.slice(start, start + BATCH);
        const scores = await this.scoreBatch(
          batch.map(({ item }) => item),
          paired,
        );
        for (const [i, { index }] of batch.entries()) safe[index] = scores[i]!;
      }
    }
    return safe;
  }

  async dispose(): Promise<void> {
    await this.model.dispose();
  }

  private async scoreBatch(items: readonly Item[], paired: boolean): Promise<number[]> {
    const { reading } = this;
    const inputs = this.tokenizer(
      items.map((item) => item.prompt),
      {
        ...(paired ? { text_pair: items.map((item) => item.response ?? '') } : {}),
        padding: true,
        truncation: true,
      },
    );
    const { logits } = (await this.model(inputs)) as { logits: Tensor };
    const values = logits.data as Float32Array;
    const width = reading.labels.length;
    return items.map((_, i) =>
      safeProbability(values.subarray(i * width, (i + 1) * width), reading),
    );
  }
}

function length(item: Item): number {
  return item.prompt.length + (item.response?.length ?? 0);
}
