/**
 * Every fixture of tests/fixtures/families in transformers.js, on WebGPU and on WASM, against the
 * engine and against PyTorch (MODELS.md §2 and §3): logits and greedy text, plain and behind a soft
 * prompt that arrives as a KV prefix.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Engine } from '../../engine/engine';
import { type Family, loadFamily, repositoryFile } from '../../engine/testing';
import type { Gpu } from '../../kernels/gpu/gpu';
import { testGpu } from '../../kernels/gpu/testing';
import { mapDecoder } from '../../formats/onnx/decoder';
import { referenceLogits } from '../../formats/onnx/decoder.reference';
import { readOnnx } from '../../formats/onnx/proto';
import { relativeError } from '../../formats/relative-error';
import { WorkerClient } from '../client';
import type { RuntimeDevice } from './device';
import type { FamilyRequests } from './families.testing.worker';
import {
  checkParity,
  PARITY_TOLERANCE,
  PARITY_TOLERANCE_F16,
  ParityError,
} from '../trainer/parity';
import type { KvPrefix } from '../wire/protocol';

/** A software adapter writes nine tokens a second. */
const NEW_TOKENS = { wasm: 10, webgpu: 4 };

/**
 * Where onnxruntime has a CPU kernel for every operator: in the WASM that the app ships, in the plain
 * build alone, which has GatherBlockQuantized, or nowhere.
 */
type Wasm = 'app' | 'plain' | 'none';

const FAMILIES: { name: string; wasm: Wasm; ignoresSoftCap?: boolean }[] = [
  { name: 'llama-optimum', wasm: 'app' },
  { name: 'llama-optimum-2024', wasm: 'app' },
  { name: 'llama-optimum-f16', wasm: 'app' },
  { name: 'llama3-optimum', wasm: 'app' },
  { name: 'llama3-packed-f16', wasm: 'plain' },
  { name: 'llama-ragged-blocks', wasm: 'app' },
  { name: 'llama-shared-table', wasm: 'plain' },
  { name: 'llama-unpacked-table', wasm: 'app' },
  { name: 'smollm2-separate', wasm: 'app' },
  { name: 'qwen2-optimum', wasm: 'app' },
  { name: 'qwen2-optimum-2024', wasm: 'app' },
  { name: 'qwen2-packed', wasm: 'plain' },
  { name: 'qwen3-optimum', wasm: 'app' },
  // q and k norms inside GroupQueryAttention are in the WebGPU and CUDA builds only.
  { name: 'qwen3-packed', wasm: 'none' },
  { name: 'qwen3-separate-f16', wasm: 'plain' },
  { name: 'gemma2-optimum', wasm: 'app' },
  // onnxruntime's WebGPU kernel of GroupQueryAttention leaves out the attribute `softcap`.
  { name: 'gemma2-packed', wasm: 'plain', ignoresSoftCap: true },
];

const newClient = () =>
  new WorkerClient<FamilyRequests>(
    () => new Worker(new URL('./families.testing.worker.ts', import.meta.url), { type: 'module' }),
    'student',
  );
/** One runtime a build for all that runs: making one takes a second. */
const runtime = newClient();
const plainRuntime = newClient();
afterAll(() => [runtime, plainRuntime].forEach((client) => client.terminate()));

let gpu: Gpu;
beforeAll(async () => {
  gpu = await testGpu(true);
});

async function hubFiles(name: string, { golden }: Family) {
  const folder = `tests/fixtures/families/${name}`;
  const dtype: 'q4' | 'q4f16' = golden.f16 ? 'q4f16' : 'q4';
  const files = new Map([
    ['config.json', await repositoryFile(`${folder}/config.json`)],
    [`onnx/model_${dtype}.onnx`, await repositoryFile(`${folder}/model.onnx`)],
  ]);
  for (const file of golden.files) {
    files.set(`onnx/${file}`, await repositoryFile(`${folder}/${file}`));
  }
  return { name, dtype, files };
}

describe.each(FAMILIES)('$name', ({ name, wasm, ignoresSoftCap = false }) => {
  let family: Family;
  let files: Awaited<ReturnType<typeof hubFiles>>;
  let prefix: KvPrefix;
  let plain: Float32Array;
  let soft: Float32Array;
  let greedy: { plain: readonly number[]; soft: readonly number[] };

  beforeAll(async () => {
    family = await loadFamily(name);
    files = await hubFiles(name, family);
    const engine = await Engine.load(gpu, family.files, family.config);
    const { golden } = family;
    const { ids, n } = golden;
    const softPrompt = family.array('soft');
    plain = await engine.logits(ids);
    soft = await engine.logits(ids, softPrompt);
    prefix = { length: n, layers: await engine.prefixCache(softPrompt) };
    const maxNewTokens = golden.greedy.plain.length;
    const options = { temperature: 0, seed: 0, maxNewTokens, stopTokens: [] };
    const write = async (virtual?: Float32Array) => {
      const requests = [{ prompt: ids.slice(0, 6), stream: 0 }];
      const [text] = await engine.generate(requests, { ...options, softPrompt: virtual });
      return text!.tokens;
    };
    greedy = { plain: await write(), soft: await write(softPrompt) };
  });

  /** Logits and text of a loaded session against the engine's and PyTorch's. */
  async function compare(
    client: WorkerClient<FamilyRequests>,
    device: RuntimeDevice,
    f16 = family.golden.f16,
  ) {
    const { golden } = family;
    const tolerance = f16 ? PARITY_TOLERANCE_F16 : PARITY_TOLERANCE[device];
    for (const [engine, array, virtual] of [
      [plain, 'logits', null],
      [soft, 'softLogits', prefix],
    ] as const) {
      const logits = await client.request('logits', { tokens: golden.ids, prefix: virtual });
      expect(logits.length).toBe(engine.length);
      expect(relativeError(engine, logits)).toBeLessThan(tolerance);
      expect(relativeError(logits, family.array(array))).toBeLessThan(tolerance);
      const tokens = golden.ids.slice(0, 6);
      const request = { tokens, prefix: virtual, maxNewTokens: NEW_TOKENS[device] };
      const text = await client.request('generate', request);
      const kind = virtual ? 'soft' : 'plain';
      expect(text).toEqual(greedy[kind].slice(0, NEW_TOKENS[device]));
      expect(text).toEqual(golden.greedy[kind].slice(0, NEW_TOKENS[device]));
    }
  }

  const load = (
    client: WorkerClient<FamilyRequests>,
    device: RuntimeDevice,
    build: 'app' | 'blind' | 'plain' = 'app',
  ) => client.request('load', { ...files, device, build });

  if (ignoresSoftCap) {
    it('is refused, as WebGPU leaves out its soft cap and WASM lacks its table', async () => {
      await expect(load(runtime, 'webgpu')).rejects.toMatchObject({
        code: 'unsupported-model',
        message: expect.stringContaining('with a soft cap') as unknown,
      });
      await load(runtime, 'webgpu', 'blind');
      const tokens = family.golden.ids;
      const logits = await runtime.request('logits', { tokens, prefix: null });
      const answer = { tokens, logits, device: 'webgpu', f16: false } as const;
      expect(() => checkParity(plain, answer)).toThrow(ParityError);
      const model = mapDecoder(await readOnnx(family.files.model), family.config);
      const config = { ...model.config, attentionSoftCap: null };
      const uncapped = await referenceLogits({ ...model, config }, family.files, tokens);
      expect(relativeError(Float32Array.from(uncapped), logits)).toBeLessThan(1e-4);
    });
  } else {
    it('agrees with transformers.js on WebGPU, in float32 where half precision is wanting', async () => {
      const half = (await navigator.gpu.requestAdapter())!.features.has('shader-f16');
      const { device, f16, reason } = await load(runtime, 'webgpu');
      expect({ device, f16 }).toEqual({ device: 'webgpu', f16: half && family.golden.f16 });
      expect(reason.includes('shader-f16')).toBe(!half && family.golden.f16);
      await compare(runtime, 'webgpu', f16);
    });
  }

  if (wasm === 'app') {
    it('agrees with transformers.js on WASM', async () => {
      expect((await load(runtime, 'wasm')).device).toBe('wasm');
      await compare(runtime, 'wasm');
    });
    return;
  }

  it("has no kernel of GatherBlockQuantized in the app's WASM", async () => {
    const message = expect.stringContaining('GatherBlockQuantized') as unknown;
    await expect(load(runtime, 'wasm', 'blind')).rejects.toMatchObject({ message });
  });

  if (wasm === 'plain') {
    it('agrees with transformers.js on the plain build of WASM', async () => {
      await load(plainRuntime, 'wasm', 'plain');
      await compare(plainRuntime, 'wasm');
    });
  } else {
    it('runs on no build of WASM', async () => {
      // The failed run spoils its runtime for good.
      const client = newClient();
      await load(client, 'wasm', 'plain');
      const run = client.request('logits', { tokens: family.golden.ids, prefix: null });
      const message = expect.stringContaining('GroupQueryAttention (CPU)') as unknown;
      await expect(run).rejects.toMatchObject({ message });
      client.terminate();
    });
  }
});
