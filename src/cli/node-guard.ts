/**
 * A guard or judge in Node: onnxruntime's WASM build and the tokenizer that the pages use. The
 * inputs are those of transformers.js: `[CLS] prompt [SEP]` or with `response [SEP]`, cut to the
 * tokenizer's length, padded on the right.
 */
import { join } from 'node:path';
import type { Tokenizer } from '@huggingface/tokenizers';
import { InferenceSession, Tensor } from 'onnxruntime-web';
import { libraryTokenizer } from '../distill/data/text-tokenizer';
import { type LabelReading, readLabels, safeProbability } from '../distill/target/labels';
import type { Guard } from '../distill/types';
import { FileError, jsonOf, type ModelFolder, runtimeFiles } from './node-files';

/** Texts a forward pass, alike in length so that little is padding. */
const BATCH = 16;

type Item = { prompt: string; response?: string };

interface Encoder {
  tokenizer: Tokenizer;
  padToken: number;
  maxLength: number;
  reading: LabelReading;
}

export class NodeGuard implements Guard {
  private constructor(
    private readonly session: InferenceSession,
    private readonly encoder: Encoder,
  ) {}

  /**
   * @param safeLabels those that mean "safe", where the labels do not say so themselves
   * @throws FileError where the folder is no text classifier; LabelError where nobody says which
   *   label means "safe"; TokenizerError
   */
  static async load(folder: ModelFolder, safeLabels?: readonly string[]): Promise<NodeGuard> {
    const read = async (name: string) =>
      (await jsonOf(join(folder.path, name))) as Record<string, unknown>;
    const tokenizerConfig = await read('tokenizer_config.json');
    const tokenizer = libraryTokenizer(await read('tokenizer.json'), tokenizerConfig);
    const reading = readLabels(await read('config.json'), safeLabels);
    const padName = tokenizerConfig.pad_token;
    const padToken = typeof padName === 'string' ? tokenizer.token_to_id(padName) : undefined;
    if (padToken === undefined) {
      throw new FileError(`The tokenizer in ${folder.path} has no token to pad with (pad_token).`);
    }
    const { model, externalData } = await runtimeFiles(folder);
    const session = await InferenceSession.create(model, {
      executionProviders: ['wasm'],
      logSeverityLevel: 3,
      ...(externalData.length > 0 && { externalData }),
    });
    const maxLength = Number(tokenizerConfig.model_max_length ?? 512);
    return new NodeGuard(session, { tokenizer, padToken, maxLength, reading });
  }

  async score(items: readonly Item[]): Promise<Float64Array> {
    const encoded = items.map((item, index) => ({ index, ids: this.encode(item) }));
    encoded.sort((a, b) => a.ids.length - b.ids.length);
    const scores = new Float64Array(items.length);
    for (let start = 0; start < encoded.length; start += BATCH) {
      const batch = encoded.slice(start, start + BATCH);
      const safe = await this.scoreBatch(batch.map(({ ids }) => ids));
      for (const [i, { index }] of batch.entries()) scores[index] = safe[i]!;
    }
    return scores;
  }

  async release(): Promise<void> {
    await this.session.release();
  }

  private encode({ prompt, response }: Item): number[] {
    const { tokenizer, maxLength } = this.encoder;
    return tokenizer.encode(prompt, { text_pair: response ?? null }).ids.slice(0, maxLength);
  }

  private async scoreBatch(batch: readonly number[][]): Promise<number[]> {
    const { padToken, reading } = this.encoder;
    const labels = reading.labels.length;
    const width = Math.max(...batch.map((ids) => ids.length));
    const dims = [batch.length, width];
    const ids = new BigInt64Array(batch.length * width).fill(BigInt(padToken));
    const mask = new BigInt64Array(batch.length * width);
    for (const [row, tokens] of batch.entries()) {
      for (const [column, token] of tokens.entries()) {
        ids[row * width + column] = BigInt(token);
        mask[row * width + column] = 1n;
      }
    }
    const { logits } = await this.session.run({
      input_ids: new Tensor('int64', ids, dims),
      attention_mask: new Tensor('int64', mask, dims),
    });
    const values = logits!.data as Float32Array;
    return batch.map((_, row) =>
      safeProbability(values.subarray(row * labels, (row + 1) * labels), reading),
    );
  }
}
