import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { memorySource } from '../../formats/byte-source';
import { readOnnx } from '../../formats/onnx/proto';
import type { ElementType } from '../../formats/decoder/tensor';
import { decoderWeights } from './decoder-weights';
import type { DeviceChoice } from './device';
import { adoptShared, type ModelFileSet } from '../files/file-set';

const root = new URL('../../../tests/fixtures/families/', import.meta.url);
const webgpu: DeviceChoice = { device: 'webgpu', reason: 'Asked for.' };
const wasm: DeviceChoice = { device: 'wasm', reason: 'Asked for.' };

function adapter(bindingBytes: number, ...features: string[]) {
  const limits = { maxStorageBufferBindingSize: bindingBytes, maxBufferSize: bindingBytes };
  return { features: new Set(features), limits: limits as GPUSupportedLimits };
}
const ROOMY = 2 ** 30;

function model(family: string, config?: object): ModelFileSet {
  const bytes = (file: string) => new Uint8Array(readFileSync(new URL(`${family}/${file}`, root)));
  const configBytes = config ? new TextEncoder().encode(JSON.stringify(config)) : null;
  const golden = JSON.parse(new TextDecoder().decode(bytes('golden.json'))) as { files: string[] };
  const blobs = new Map([
    ['config.json', new Blob([configBytes ?? bytes('config.json')])],
    ['onnx/model_q4f16.onnx', new Blob([bytes('model.onnx')])],
    ...golden.files.map((file) => [`onnx/${file}`, new Blob([bytes(file)])] as const),
  ]);
  const about = { id: family, label: family, revision: null, bytes: 0, fromCache: true } as const;
  return adoptShared({ ...about, stored: 'memory', blobs });
}

/** Data types of the model's tensors. */
async function types(proto: Uint8Array): Promise<Set<ElementType>> {
  const { initializers } = await readOnnx(memorySource(proto));
  return new Set([...initializers.values()].map(({ dataType }) => dataType));
}

describe('decoderWeights', () => {
  it.each(['llama-optimum-f16', 'llama3-packed-f16', 'qwen3-separate-f16'])(
    'widens %s for WebGPU without half precision, and leaves its files alone',
    async (family) => {
      const files = model(family);
      const before = await contents(files);
      const { choice, f16, runtime } = await decoderWeights(files, webgpu, async () =>
        adapter(ROOMY),
      );
      expect({ device: choice.device, f16 }).toEqual({ device: 'webgpu', f16: false });
      expect(choice.reason).toMatch(/^Asked for\. .*float32 in memory.*shader-f16/);
      expect(await types(runtime.proto)).not.toContain('float16');
      expect(await contents(files)).toEqual(before);
    },
  );

  it('leaves half precision where it runs: on WebGPU that has it, and on WASM', async () => {
    for (const [choice, features] of [
      [webgpu, ['shader-f16']],
      [wasm, []],
    ] as const) {
      const found = await decoderWeights(model('llama-optimum-f16'), choice, async () =>
        adapter(ROOMY, ...features),
      );
      expect(found.choice).toBe(choice);
      expect(found.f16).toBe(true);
      expect(await types(found.runtime.proto)).toContain('float16');
    }
  });

  it('falls back to WASM and says why: a tensor too large, a node that nobody knows', async () => {
    const small = await decoderWeights(model('llama-optimum-f16'), webgpu, async () =>
      adapter(20_000),
    );
    expect(small.choice.device).toBe('wasm');
    expect(small.choice.reason).toMatch(/shader-f16.*would take \d+ bytes of 20000/);
    expect(small.f16).toBe(true);
    expect(await types(small.runtime.proto)).toContain('float16');

    // A configuration of another architecture: the graph is not understood.
    const config = JSON.parse(
      readFileSync(new URL('llama-optimum-f16/config.json', root), 'utf8'),
    ) as Record<string, unknown>;
    const strange = model('llama-optimum-f16', { ...config, num_hidden_layers: 1 });
    const unknown = await decoderWeights(strange, webgpu, async () => adapter(ROOMY));
    expect(unknown.choice.device).toBe('wasm');
    expect(unknown.choice.reason).toMatch(/cannot be float32 here: .*\w/);
  });

  it('refuses, with its reason, what runs on WebGPU only and cannot be widened', async () => {
    const opened = decoderWeights(model('llama3-packed-f16'), webgpu, async () => adapter(2000));
    await expect(opened).rejects.toThrow(/GatherBlockQuantized.*shader-f16/);
  });
});

async function contents(files: ModelFileSet): Promise<Buffer[]> {
  const sources = [...files.files.values()];
  return Promise.all(sources.map(async (file) => Buffer.from(await file.read(0, file.size))));
}
