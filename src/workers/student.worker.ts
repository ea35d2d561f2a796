/** The frozen student on transformers.js: chat, parity logits, answers behind a KV prefix. */
import {
  AutoModelForCausalLM,
  AutoTokenizer,
  DynamicCache,
  env,
  InterruptableStoppingCriteria,
  LogitsProcessor,
  LogitsProcessorList,
  type PreTrainedModel,
  type PreTrainedTokenizer,
  Tensor,
  TextStreamer,
} from '@huggingface/transformers';
import { chooseDevice, type RuntimeDevice } from './device';
import { describeError } from './errors';
import { Lock } from './lock';
import { fetchFrom, loadModelFiles } from './model-files';
import { nextTask } from './next-task';
import type { KvPrefix, StudentRequests } from './protocol';
import { configureRuntime, restrictFetch } from './runtime';
import { type Endpoint, type Handlers, serve } from './serve';
import { gumbel } from './gumbel';

restrictFetch();

interface Student {
  tokenizer: PreTrainedTokenizer;
  model: PreTrainedModel;
  device: RuntimeDevice;
  kvHeads: number;
  headDim: number;
  layers: number;
  /** Longest sequence, prefix included. */
  maxPositions: number;
}

let student: Student | null = null;
/** One generation at a time: the session cannot do two. */
const turn = new Lock();

function loaded(): Student {
  if (!student) throw new RangeError('Load the student before it can answer.');
  return student;
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

/**
 * The cache to start from, empty without a prefix: exporters may name the last dimension instead of
 * giving its size, and transformers.js would then make an empty cache of width 0. generate()
 * changes the cache in place, so every call gets a fresh one.
 */
function cacheOf(prefix: KvPrefix | null, { kvHeads, headDim, layers }: Student): DynamicCache {
  const length = prefix?.length ?? 0;
  const values = kvHeads * length * headDim;
  const fits = (layer: KvPrefix['layers'][number]) =>
    layer.key.length === values && layer.value.length === values;
  // The runtime would stop working for good on tensors of a wrong shape.
  if (prefix && (prefix.layers.length !== layers || !prefix.layers.every(fits))) {
    throw new RangeError('The prefix was made for another student.');
  }
  const shape = [1, kvHeads, length, headDim];
  const entries: Record<string, Tensor> = {};
  for (let i = 0; i < layers; i++) {
    for (const part of ['key', 'value'] as const) {
      const data = prefix?.layers[i]![part] ?? new Float32Array(0);
      entries[`past_key_values.${i}.${part}`] = new Tensor('float32', data, shape);
    }
  }
  return new DynamicCache(entries);
}

/** A session that has failed once stays broken, so what cannot fit is refused before. */
function checkRoom(positions: number, { maxPositions }: Student): void {
  if (positions > maxPositions) {
    throw new RangeError(
      `That needs ${positions} tokens; the student has room for ${maxPositions}. Shorten the question.`,
    );
  }
}

function integers(values: readonly number[] | number): Tensor {
  const list = typeof values === 'number' ? new Array<number>(values).fill(1) : values;
  return new Tensor('int64', BigInt64Array.from(list, BigInt), [1, list.length]);
}

const handlers: Handlers<StudentRequests> = {
  load({ student: id, baseUrl, device }, { emit, signal }) {
    return turn.run(async () => {
      const choice = await chooseDevice(device);
      const root = new URL('models/', baseUrl).href;
      const files = await loadModelFiles(root, id, { signal, onProgress: emit });
      configureRuntime(env, { modelsPath: '/models/' });
      env.fetch = fetchFrom(files);
      emit({ phase: 'compile', done: 0, total: 1, unit: 'items' });
      const tokenizer = await AutoTokenizer.from_pretrained(id);
      const model = await AutoModelForCausalLM.from_pretrained(id, {
        dtype: 'q4',
        device: choice.device,
      });
      const forward = model.forward.bind(model);
      model.forward = async (inputs) => {
        await nextTask();
        return forward(inputs);
      };
      await student?.model.dispose();
      const config = model.config as unknown as Record<string, number>;
      const heads = config['num_attention_heads']!;
      student = {
        tokenizer,
        model,
        device: choice.device,
        kvHeads: config['num_key_value_heads'] ?? heads,
        headDim: config['head_dim'] ?? config['hidden_size']! / heads,
        layers: config['num_hidden_layers']!,
        maxPositions: config['max_position_embeddings']!,
      };
      emit({ phase: 'ready', done: 1, total: 1, unit: 'items', fromCache: files.fromCache });
      return choice;
    });
  },

  logits({ tokens, prefix }) {
    return turn.run(async () => {
      const { model, device } = loaded();
      const positions = (prefix?.length ?? 0) + tokens.length;
      checkRoom(positions, loaded());
      const cache = cacheOf(prefix, loaded());
      try {
        const { logits } = (await model({
          input_ids: integers(tokens),
          attention_mask: integers(positions),
          past_key_values: cache,
        })) as { logits: Tensor };
        return { tokens, logits: Float32Array.from(logits.data as Float32Array), device };
      } finally {
        await cache.dispose();
      }
    });
  },

  generate({ prompt, system, prefix, temperature, seed, maxNewTokens }, { emit, signal }) {
    return turn.run(async () => {
      const { model, tokenizer } = loaded();
      const messages = [
        ...(system ? [{ role: 'system', content: system }] : []),
        { role: 'user', content: prompt },
      ];
      const { input_ids } = tokenizer.apply_chat_template(messages, {
        add_generation_prompt: true,
        return_dict: true,
      }) as { input_ids: Tensor };
      const promptTokens = input_ids.dims[1]!;
      const positions = (prefix?.length ?? 0) + promptTokens;
      checkRoom(positions + maxNewTokens, loaded());
      const start = performance.now();
      let firstToken = 0;
      let newTokens = 0;
      let text = '';
      const streamer = new TextStreamer(tokenizer, {
        skip_prompt: true,
        skip_special_tokens: true,
        token_callback_function: () => {
          firstToken ||= performance.now();
          newTokens++;
        },
        callback_function: (piece: string) => {
          text += piece;
          emit({ text: piece });
        },
      });
      const stopping = new InterruptableStoppingCriteria();
      const interrupt = () => stopping.interrupt();
      signal.addEventListener('abort', interrupt);
      const cache = cacheOf(prefix, loaded());
      try {
        await model.generate({
          input_ids,
          // The mask counts the cached prefix; the tokenizer's own would cut the prompt.
          attention_mask: integers(positions),
          past_key_values: cache,
          max_new_tokens: maxNewTokens,
          do_sample: false,
          logits_processor: sampling(temperature, seed),
          stopping_criteria: stopping,
          streamer,
        });
      } finally {
        signal.removeEventListener('abort', interrupt);
        await cache.dispose();
      }
      signal.throwIfAborted();
      const decodeSeconds = Math.max(1e-6, (performance.now() - firstToken) / 1000);
      return {
        text: text.trim(),
        promptTokens,
        newTokens,
        firstTokenMs: firstToken - start,
        tokensPerSecond: Math.max(0, newTokens - 1) / decodeSeconds,
      };
    }, signal);
  },
};

serve<StudentRequests>(self as unknown as Endpoint, handlers, describeError);
