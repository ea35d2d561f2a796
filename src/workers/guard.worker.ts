/** A guard or a judge: a text classifier on transformers.js. Glue only. */
import {
  AutoModelForSequenceClassification,
  AutoTokenizer,
  env,
  type PreTrainedModel,
  type PreTrainedTokenizer,
  type Tensor,
} from '@huggingface/transformers';
import { manifestId } from '../formats/manifest';
import { chooseDevice } from './device';
import { describeError, UnsupportedModelError } from './errors';
import { Lock } from './lock';
import { fetchFrom, jsonFile, loadModelFiles } from './model-files';
import { nextTask } from './next-task';
import type { GuardRequests } from './protocol';
import { configureRuntime, restrictFetch } from './runtime';
import { type Endpoint, type Handlers, serve } from './serve';

restrictFetch();

/** Texts a forward pass; more would pad short texts to the length of long ones. */
const BATCH = 16;

interface Classifier {
  tokenizer: PreTrainedTokenizer;
  model: PreTrainedModel;
  /** Index of the label "safe". */
  safe: number;
  labels: number;
}

let classifier: Classifier | null = null;
/** Sessions run one call at a time: callers on two ports take turns. */
const turn = new Lock();

type Item = { prompt: string; response?: string };

async function scoreBatch(items: readonly Item[], paired: boolean): Promise<number[]> {
  const { tokenizer, model, safe, labels } = classifier!;
  const prompts = items.map((item) => item.prompt);
  const inputs = tokenizer(prompts, {
    ...(paired ? { text_pair: items.map((item) => item.response ?? '') } : {}),
    padding: true,
    truncation: true,
  });
  const { logits } = (await model(inputs)) as { logits: Tensor };
  const values = logits.data as Float32Array;
  return items.map((_, i) => {
    const row = values.subarray(i * labels, (i + 1) * labels);
    const most = Math.max(...row);
    const weights = Array.from(row, (value) => Math.exp(value - most));
    return weights[safe]! / weights.reduce((sum, weight) => sum + weight, 0);
  });
}

async function score(items: readonly Item[], signal: AbortSignal): Promise<Float64Array> {
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
      const scores = await scoreBatch(
        batch.map(({ item }) => item),
        paired,
      );
      for (const [i, { index }] of batch.entries()) safe[index] = scores[i]!;
    }
  }
  return safe;
}

function length(item: Item): number {
  return item.prompt.length + (item.response?.length ?? 0);
}

const handlers: Handlers<GuardRequests> = {
  load({ guard, baseUrl, device }, { emit, signal }) {
    return turn.run(async () => {
      const choice = await chooseDevice(device);
      const root = new URL('models/', baseUrl).href;
      const files = await loadModelFiles(root, guard, { signal, onProgress: emit });
      const { id2label } = jsonFile(files, 'config.json') as { id2label: Record<string, string> };
      const labels = Object.values(id2label);
      const safe = labels.indexOf('safe');
      if (safe < 0) throw new UnsupportedModelError(`The model ${guard} has no label "safe".`);
      configureRuntime(env, { modelsPath: '/models/' });
      env.fetch = fetchFrom(files);
      emit({ phase: 'compile', done: 0, total: 1, unit: 'items' });
      const tokenizer = await AutoTokenizer.from_pretrained(guard);
      const model = await AutoModelForSequenceClassification.from_pretrained(guard, {
        dtype: 'q4',
        device: choice.device,
      });
      await classifier?.model.dispose();
      classifier = { tokenizer, model, safe, labels: labels.length };
      emit({ phase: 'ready', done: 1, total: 1, unit: 'items', fromCache: files.fromCache });
      const modelId = await manifestId(files.manifestBytes);
      return { device: choice.device, bytes: files.bytes, modelId };
    });
  },

  score({ items }, { signal }) {
    return turn.run(async () => {
      if (!classifier) throw new RangeError('Load the guard before it can score.');
      const start = performance.now();
      const safe = await score(items, signal);
      return { safe, milliseconds: performance.now() - start };
    }, signal);
  },

  async connect({ port }) {
    serve<Pick<GuardRequests, 'score'>>(port, { score: handlers.score }, describeError);
    port.start();
    return null;
  },
};

serve<GuardRequests>(self as unknown as Endpoint, handlers, describeError);
