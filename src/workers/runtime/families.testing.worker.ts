/** A worker for tests: any fixture of tests/fixtures/families on transformers.js, as the hub has it. */
import {
  AutoModelForCausalLM,
  DynamicCache,
  env,
  type PreTrainedModel,
  Tensor,
} from '@huggingface/transformers';
import plainFactory from 'onnxruntime-web/ort-wasm-simd-threaded.mjs?url';
import plainWasm from 'onnxruntime-web/ort-wasm-simd-threaded.wasm?url';
import { float32ToFloat16 } from '../../formats/float16';
import { decoderWeights } from './decoder-weights';
import type { DeviceChoice, RuntimeDevice } from './device';
import { describeError } from '../wire/errors';
import { adoptShared } from '../files/file-set';
import { findWeights } from './model-weights';
import type { KvPrefix } from '../wire/protocol';
import { configureRuntime, restrictFetch } from './runtime';
import { serveToRuntime } from './runtime-files';
import { type Endpoint, type Handlers, serve } from '../wire/serve';

export interface FamilyRequests {
  load: {
    payload: {
      name: string;
      dtype: 'q4' | 'q4f16';
      device: RuntimeDevice;
      /** Bytes by path, under the names that the hub has: `onnx/model_q4.onnx`. */
      files: ReadonlyMap<string, Uint8Array<ArrayBuffer>>;
      /**
       * 'app' asks the app where these weights run, and makes no session elsewhere; the others do as
       * they are told: 'blind' on the WASM that the app ships, 'plain' on the one without WebGPU.
       */
      build: 'app' | 'blind' | 'plain';
    };
    event: never;
    /**
     * Where the app runs these weights, and whether in half precision; a session was made where that
     * is the device asked for.
     */
    result: DeviceChoice & { f16: boolean };
  };
  /** Logits after each token, [tokens.length, vocabSize]. */
  logits: {
    payload: { tokens: readonly number[]; prefix: KvPrefix | null };
    event: never;
    result: Float32Array;
  };
  /** The greedy continuation by transformers.js' own generate(). */
  generate: {
    payload: { tokens: readonly number[]; prefix: KvPrefix | null; maxNewTokens: number };
    event: never;
    result: number[];
  };
}

restrictFetch();

let model: PreTrainedModel | null = null;

function loaded(): PreTrainedModel {
  if (!model) throw new RangeError('Load a fixture first.');
  return model;
}

function cacheType(): string {
  const { inputMetadata } = loaded().sessions['model'] as {
    inputMetadata: readonly { name: string; type?: string }[];
  };
  const input = inputMetadata.find(({ name }) => name === 'past_key_values.0.key');
  return input?.type ?? 'none';
}

/** A fresh cache, as generate() changes it in place; empty without a prefix. */
function cacheOf(prefix: KvPrefix | null): DynamicCache {
  const config = loaded().config as unknown as Record<string, number>;
  const length = prefix?.length ?? 0;
  const shape = [1, config['num_key_value_heads']!, length, config['head_dim']!];
  const half = cacheType() === 'float16';
  const entries: Record<string, Tensor> = {};
  for (let i = 0; i < config['num_hidden_layers']!; i++) {
    for (const part of ['key', 'value'] as const) {
      const values = prefix?.layers[i]![part] ?? new Float32Array(0);
      entries[`past_key_values.${i}.${part}`] = half
        ? new Tensor('float16', float32ToFloat16(values), shape)
        : new Tensor('float32', values, shape);
    }
  }
  return new DynamicCache(entries);
}

function integers(values: readonly number[]): Tensor {
  return new Tensor('int64', BigInt64Array.from(values, BigInt), [1, values.length]);
}

/** What generate() and the model itself take: the mask counts the prefix. */
function inputs(tokens: readonly number[], prefix: KvPrefix | null) {
  const positions = (prefix?.length ?? 0) + tokens.length;
  return {
    input_ids: integers(tokens),
    attention_mask: integers(new Array<number>(positions).fill(1)),
    past_key_values: cacheOf(prefix),
  };
}

const handlers: Handlers<FamilyRequests> = {
  async load({ name, dtype, device, files, build }) {
    await model?.dispose();
    model = null;
    const wanted: DeviceChoice = { device, reason: 'Chosen by the test.' };
    const blobs = new Map([...files].map(([path, bytes]) => [path, new Blob([bytes])] as const));
    const about = { id: name, label: name, revision: null, bytes: 0, fromCache: false } as const;
    const set = adoptShared({ ...about, stored: 'memory', blobs });
    const { f16: stored } = await findWeights(set);
    const app = build === 'app' ? await decoderWeights(set, wanted) : null;
    const placed = app ? { ...app.choice, f16: app.f16 } : { ...wanted, f16: stored };
    if (placed.device !== device) return placed;
    if (app && app.f16 !== stored) {
      const served = serveToRuntime(env, set, app.runtime);
      model = await AutoModelForCausalLM.from_pretrained(served.name, {
        ...served.options,
        device,
      });
      served.release();
      return placed;
    }
    configureRuntime(env, { modelsPath: '/models/' });
    const { wasm } = env.backends.onnx;
    if (build === 'plain' && wasm) wasm.wasmPaths = { mjs: plainFactory, wasm: plainWasm };
    env.fetch = async (input) => {
      const path = String(input instanceof Request ? input.url : input);
      const [, bytes] = [...files].find(([file]) => path.endsWith(`/${file}`)) ?? [];
      if (!bytes) return new Response(null, { status: 404 });
      return new Response(bytes, { headers: { 'content-length': String(bytes.byteLength) } });
    };
    const chunks = [...files.keys()].filter((file) => file.includes('.onnx_data')).length;
    model = await AutoModelForCausalLM.from_pretrained(name, {
      dtype,
      device,
      use_external_data_format: chunks,
      session_options: { logSeverityLevel: 3 },
    });
    return placed;
  },

  async logits({ tokens, prefix }) {
    const request = inputs(tokens, prefix);
    try {
      const { logits } = (await loaded()(request)) as { logits: Tensor };
      // Half-precision logits come as numbers too.
      return Float32Array.from(logits.to('float32').data as Float32Array);
    } finally {
      await request.past_key_values.dispose();
    }
  },

  async generate({ tokens, prefix, maxNewTokens }) {
    const request = inputs(tokens, prefix);
    try {
      const options = { max_new_tokens: maxNewTokens, do_sample: false };
      const ids = (await loaded().generate({ ...request, ...options })) as Tensor;
      return Array.from(ids.data as BigInt64Array, Number).slice(tokens.length);
    } finally {
      await request.past_key_values.dispose();
    }
  },
};

serve<FamilyRequests>(self as unknown as Endpoint, handlers, describeError);
