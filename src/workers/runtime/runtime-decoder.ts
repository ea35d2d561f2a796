/**
 * A decoder on transformers.js, unmodified: logits, and answers behind a KV prefix. The rules that
 * keep its sessions alive and right are in MODELS.md §2.
 */
import {
  AutoModelForCausalLM,
  BaseStreamer,
  DynamicCache,
  env,
  InterruptableStoppingCriteria,
  LogitsProcessor,
  LogitsProcessorList,
  type PreTrainedModel,
  Tensor,
  type TextStreamer,
} from '@huggingface/transformers';
import type { ChatTokenizer } from '../../distill/data/chat';
import { float16ToFloat32, float32ToFloat16 } from '../../formats/float16';
import { chatTokenizer } from './chat-files';
import { decoderWeights } from './decoder-weights';
import { chooseDevice, type DeviceChoice, type RuntimeDevice } from './device';
import type { ModelFileSet } from '../files/open-model';
import { gumbel } from './gumbel';
import { type CacheShape, cacheShape } from './cache-shape';
import { cannotRun } from './model-weights';
import { nextTask } from './next-task';
import type { KvPrefix } from '../wire/protocol';
import { serveToRuntime } from './runtime-files';
import { StreamedText } from './token-stream';

/** Tokens of a pass whose logits nobody reads but the last: what is read back stays small. */
const CHUNK = 64;

export interface GenerateInput {
  tokens: readonly number[];
  prefix: KvPrefix | null;
  temperature: number;
  seed: number;
  maxNewTokens: number;
  signal: AbortSignal;
  /** Hears the whole answer so far whenever it has grown. */
  onText: (soFar: string) => void;
}

export interface RuntimeAnswer {
  text: string;
  newTokens: number;
  firstTokenMs: number;
  tokensPerSecond: number;
}

export class RuntimeDecoder {
  private constructor(
    readonly choice: DeviceChoice,
    readonly chat: ChatTokenizer,
    /** It computes in half precision: logits agree with the engine's to 5e-3. */
    readonly f16: boolean,
    readonly shape: CacheShape,
    private readonly model: PreTrainedModel,
    private readonly cacheTypes: ReadonlyMap<string, 'float16' | 'float32'>,
  ) {}

  /** @throws UnsupportedModelError where no device here can run it; DownloadError, OnnxFormatError */
  static async open(
    files: ModelFileSet,
    wanted: 'auto' | RuntimeDevice,
    onCompile: () => void,
  ): Promise<RuntimeDecoder> {
    const { chat, config } = await chatTokenizer(files);
    const shape = cacheShape(config);
    onCompile();
    const { choice, runtime, f16 } = await decoderWeights(files, await chooseDevice(wanted));
    const served = serveToRuntime(env, files, runtime);
    try {
      const model = await AutoModelForCausalLM.from_pretrained(served.name, {
        ...served.options,
        device: choice.device,
      });
      const forward = model.forward.bind(model);
      model.forward = async (inputs) => {
        await nextTask();
        return forward(inputs);
      };
      return new RuntimeDecoder(choice, chat, f16, shape, model, cacheTypes(model));
    } catch (error) {
      throw cannotRun(files.label, error);
    } finally {
      served.release();
    }
  }

  get device(): RuntimeDevice {
    return this.choice.device;
  }

  /** Logits after every token, [tokens.length, vocabSize]. */
  async logits(tokens: readonly number[], prefix: KvPrefix | null): Promise<Float32Array> {
    const positions = (prefix?.length ?? 0) + tokens.length;
    this.checkRoom(positions);
    const cache = this.cacheOf(prefix);
    try {
      return await this.pass(tokens, positions, cache);
    } finally {
      await cache.dispose();
    }
  }

  /** Logits after the last token, [vocabSize]. */
  async lastLogits(tokens: readonly number[]): Promise<Float32Array> {
    this.checkRoom(tokens.length);
    const cache = this.cacheOf(null);
    let last = new Float32Array(0);
    try {
      for (let start = 0; start < tokens.length; start += CHUNK) {
        const chunk = tokens.slice(start, start + CHUNK);
        const logits = await this.pass(chunk, start + chunk.length, cache);
        last = logits.slice(-logits.length / chunk.length);
      }
      return last;
    } finally {
      await cache.dispose();
    }
  }

  async generate(input: GenerateInput): Promise<RuntimeAnswer> {
    const { tokens, prefix, temperature, seed, maxNewTokens, signal } = input;
    const positions = (prefix?.length ?? 0) + tokens.length;
    this.checkRoom(positions + maxNewTokens);
    const start = performance.now();
    const stream = new Stream((ids) => this.chat.decode(ids), input.onText);
    const stopping = new InterruptableStoppingCriteria();
    const interrupt = () => stopping.interrupt();
    signal.addEventListener('abort', interrupt);
    const cache = this.cacheOf(prefix);
    try {
      await this.model.generate({
        input_ids: integers(tokens),
        // The mask counts the cached prefix; one of the tokens alone would cut the prompt.
        attention_mask: integers(positions),
        past_key_values: cache,
        max_new_tokens: maxNewTokens,
        eos_token_id: [...this.chat.stopTokens],
        do_sample: false,
        logits_processor: sampling(temperature, seed),
        stopping_criteria: stopping,
        // Its type asks for the library's own class; put() and end() are all that is called.
        streamer: stream as unknown as TextStreamer,
      });
    } finally {
      signal.removeEventListener('abort', interrupt);
      await cache.dispose();
    }
    signal.throwIfAborted();
    const decodeSeconds = Math.max(1e-6, (performance.now() - stream.firstAt) / 1000);
    return {
      text: stream.text.trim(),
      newTokens: stream.count,
      firstTokenMs: stream.firstAt - start,
      tokensPerSecond: Math.max(0, stream.count - 1) / decodeSeconds,
    };
  }

  async dispose(): Promise<void> {
    await this.model.dispose();
  }

  /** One pass behind `cache`, which grows by the tokens. */
  private async pass(
    tokens: readonly number[],
    positions: number,
    cache: DynamicCache,
  ): Promise<Float32Array> {
    const output = (await this.model({
      input_ids: integers(tokens),
      attention_mask: integers(positions),
      past_key_values: cache,
    })) as Record<string, Tensor>;
    const present: Record<string, Tensor> = {};
    for (const [name, tensor] of Object.entries(output)) {
      if (name.startsWith('present')) present[name.replace('present', 'past_key_values')] = tensor;
    }
    const { logits } = output;
    const values = floats(logits!);
    await cache.update(present);
    return values;
  }

  /**
   * The cache to start from, empty without a prefix: exporters may name the last dimension instead
   * of giving its size, and transformers.js would then make an empty cache of width 0. generate()
   * changes the cache in place, so every call gets a fresh one.
   */
  private cacheOf(prefix: KvPrefix | null): DynamicCache {
    const { kvHeads, headDim, layers } = this.shape;
    const length = prefix?.length ?? 0;
    const values = kvHeads * length * headDim;
    const fits = (layer: KvPrefix['layers'][number]) =>
      layer.key.length === values && layer.value.length === values;
    // The runtime would stop working for good on tensors of a wrong shape.
    if (prefix && (prefix.layers.length !== layers || !prefix.layers.every(fits))) {
      throw new RangeError('The prefix was made for another student.');
    }
    const dims = [1, kvHeads, length, headDim];
    const entries: Record<string, Tensor> = {};
    for (let i = 0; i < layers; i++) {
      for (const part of ['key', 'value'] as const) {
        const name = `past_key_values.${i}.${part}`;
        const data = prefix?.layers[i]![part] ?? new Float32Array(0);
        entries[name] =
          this.cacheTypes.get(name) === 'float16'
            ? new Tensor('float16', float32ToFloat16(data), dims)
            : new Tensor('float32', data, dims);
      }
    }
    return new DynamicCache(entries);
  }

  /** A session that has failed once stays broken, so what cannot fit is refused before. */
  private checkRoom(positions: number): void {
    const { maxPositions } = this.shape;
    if (positions > maxPositions) {
      throw new RangeError(
        `That needs ${positions} tokens; the student has room for ${maxPositions}. Shorten the question.`,
      );
    }
  }
}

/** generate() hands over the prompt first, then each new token, batch 1. */
class Stream extends BaseStreamer {
  /** `performance.now()` of the first new token; 0 before. */
  firstAt = 0;
  private readonly streamed: StreamedText;
  private promptSeen = false;

  constructor(...how: ConstructorParameters<typeof StreamedText>) {
    super();
    this.streamed = new StreamedText(...how);
  }

  get text(): string {
    return this.streamed.text;
  }

  get count(): number {
    return this.streamed.count;
  }

  override put(value: bigint[][]): void {
    if (this.promptSeen) {
      this.firstAt ||= performance.now();
      this.streamed.push((value[0] ?? []).map(Number));
    }
    this.promptSeen = true;
  }

  override end(): void {
    this.streamed.finish();
  }
}

/** The cache's types as the file has them: q4f16 files keep float16 or float32, by exporter. */
function cacheTypes(model: PreTrainedModel): Map<string, 'float16' | 'float32'> {
  const sessions = model.sessions as Record<
    string,
    { inputMetadata: readonly { name: string; isTensor: boolean; type?: string }[] }
  >;
  const types = new Map<string, 'float16' | 'float32'>();
  for (const { name, type } of sessions['model']?.inputMetadata ?? []) {
    if (name.startsWith('past_key_values.')) {
      types.set(name, type === 'float16' ? 'float16' : 'float32');
    }
  }
  return types;
}

/** Values of a tensor whose float16 data are bits, or a newer browser's Float16Array. */
function floats(tensor: Tensor): Float32Array {
  const data = tensor.data as Float32Array | Uint16Array;
  if (tensor.type !== 'float16') return Float32Array.from(data);
  return data instanceof Uint16Array ? float16ToFloat32(data) : Float32Array.from(data);
}

function integers(values: readonly number[] | number): Tensor {
  const list = typeof values === 'number' ? new Array<number>(values).fill(1) : values;
  return new Tensor('int64', BigInt64Array.from(list, BigInt), [1, list.length]);
}

/** Seeded sampling inside greedy search: argmax(logits / T + Gumbel noise) is a sample at T. */
class SeededSampling extends LogitsProcessor {
  private step = 0;

  constructor(
    private readonly temperature: number,
    private readonly seed: number,
  ) {
    super();
  }

  override _call(_ids: bigint[][], logits: Tensor): Tensor {
    const values = logits.data as Float32Array;
    for (let i = 0; i < values.length; i++) {
      values[i] = values[i]! / this.temperature + gumbel(this.seed, this.step, i);
    }
    this.step++;
    return logits;
  }
}

function sampling(temperature: number, seed: number): LogitsProcessorList {
  const processors = new LogitsProcessorList();
  if (temperature > 0) processors.push(new SeededSampling(temperature, seed));
  return processors;
}
