import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { relocated } from '../../formats/onnx/altered.testing';
import { externalDataOf, load } from '../../formats/onnx/families.testing';
import { runtimeLogits } from '../../formats/onnx/runtime.testing';
import { adoptShared, type ModelFileSet } from '../files/file-set';
import { findWeights, runtimeWeights } from './model-weights';
import { openRequested } from '../files/open-request';

const root = new URL('../../../tests/fixtures/families/', import.meta.url);
const bytes = (path: string) => new Uint8Array(readFileSync(new URL(path, root)));

/** A model of these files, by path. */
function model(files: Record<string, Uint8Array<ArrayBuffer>>): ModelFileSet {
  const blobs = new Map(Object.entries(files).map(([path, data]) => [path, new Blob([data])]));
  const size = Object.values(files).reduce((sum, data) => sum + data.length, 0);
  return adoptShared({
    id: '0123456789abcdef',
    label: 'a model',
    revision: null,
    bytes: size,
    fromCache: true,
    stored: 'memory',
    blobs,
  });
}
const single = (family: string) => model({ 'onnx/model_q4.onnx': bytes(`${family}/model.onnx`) });

describe('findWeights', () => {
  it.each([
    ['smollm2-separate', false, null],
    ['llama-optimum', false, null],
    ['llama-optimum-f16', true, null],
    ['llama-shared-table', false, 'GatherBlockQuantized'],
    ['llama-unpacked-table', false, null],
  ] as const)(
    'says of %s whether it is half-precision and where it runs',
    async (family, f16, op) => {
      const { path, f16: isHalf, webgpuOnly } = await findWeights(single(family));
      expect({ path, isHalf, webgpuOnly }).toEqual({
        path: 'onnx/model_q4.onnx',
        isHalf: f16,
        webgpuOnly: op,
      });
    },
  );

  it('names query norms that only the WebGPU build reads, whichever operator comes first', async () => {
    const { webgpuOnly } = await findWeights(single('qwen3-packed'));
    expect(webgpuOnly).toMatch(/GatherBlockQuantized|GroupQueryAttention with query norms/);
  });

  it('finds every chunk of external data, and names one that is not there', async () => {
    const files: Record<string, Uint8Array<ArrayBuffer>> = {
      'onnx/model_q4f16.onnx': bytes('llama3-packed-f16/model.onnx'),
    };
    const golden = JSON.parse(new TextDecoder().decode(bytes('llama3-packed-f16/golden.json'))) as {
      files: string[];
    };
    for (const file of golden.files) files[`onnx/${file}`] = bytes(`llama3-packed-f16/${file}`);
    const found = await findWeights(model(files));
    expect([...found.files.external.keys()].sort()).toEqual([...golden.files].sort());
    expect(found.f16).toBe(true);
    const { externalData } = await runtimeWeights(model(files), found);
    expect(externalData.map(({ path }) => path).sort()).toEqual([...golden.files].sort());
    delete files[`onnx/${golden.files[1]}`];
    await expect(findWeights(model(files))).rejects.toThrow(golden.files[1]);
  });

  it('says of data that end too early which tensor they cut, before anything is read', async () => {
    const files: Record<string, Uint8Array<ArrayBuffer>> = {
      'onnx/model_q4f16.onnx': bytes('llama3-packed-f16/model.onnx'),
    };
    for (const end of ['', '_1', '_2']) {
      const whole = bytes(`llama3-packed-f16/model_q4f16.onnx_data${end}`);
      files[`onnx/model_q4f16.onnx_data${end}`] = end === '_1' ? whole.slice(0, -1) : whole;
    }
    await expect(findWeights(model(files))).rejects.toMatchObject({
      name: 'ByteSourceError',
      message: expect.stringMatching(/ends at byte \d+ of "model_q4f16.onnx_data_1"/) as string,
    });
  });

  it('refuses a choice between several weights, and a model without any', async () => {
    const two = model({
      'onnx/model_q4.onnx': bytes('llama-optimum/model.onnx'),
      'onnx/model.onnx': bytes('llama-optimum/model.onnx'),
    });
    await expect(findWeights(two)).rejects.toThrow(/several weights/);
    await expect(findWeights(model({}))).rejects.toThrow(/no \.onnx/);
  });
});

describe('runtimeWeights', () => {
  it('gives external data under the names that the file has for them', async () => {
    const name = 'llama3-packed-f16';
    const family = await load(name);
    const expected = await runtimeLogits(
      family.bytes,
      family.config,
      family.ids,
      externalDataOf(name),
    );
    const [first, second, third] = externalDataOf(name).sort((a, b) => (a.path < b.path ? -1 : 1));
    const locations = {
      [first!.path]: 'weights of mine.data',
      [second!.path]: './weights/0.bin',
      [third!.path]: 'part.0',
    };
    const files = model({
      'onnx/model_q4f16.onnx': relocated(family.bytes, locations),
      'onnx/weights of mine.data': new Uint8Array(first!.data),
      'onnx/weights/0.bin': new Uint8Array(second!.data),
      'onnx/part.0': new Uint8Array(third!.data),
    });
    const { proto, externalData } = await runtimeWeights(files, await findWeights(files));
    expect(externalData.map(({ path }) => path)).toEqual(Object.values(locations));
    expect(await runtimeLogits(proto, family.config, family.ids, externalData)).toEqual(expected);
  });

  it('gives a single file as a small model and itself', async () => {
    const whole = bytes('llama-optimum/model.onnx');
    const files = single('llama-optimum');
    const { proto, externalData } = await runtimeWeights(files, await findWeights(files));
    expect(proto.length).toBeLessThan(whole.length * 0.6);
    expect(externalData).toEqual([{ path: 'model_q4.onnx_data', data: whole }]);
  });
});

describe('openRequested', () => {
  it('adopts what another worker has opened, and pins its commit', async () => {
    const commit = 'b8a5c0f183b78c55955a5364f610c36668b5e681';
    const shared = { ...single('llama-optimum').share(), revision: commit };
    const source = { kind: 'hub', repo: 'o/n', revision: 'main', dtype: 'q4' } as const;
    const { files, about } = await openRequested(
      { source, baseUrl: 'http://nowhere.invalid/', shared },
      new AbortController().signal,
      () => undefined,
    );
    expect(about).toMatchObject({ text: `hub:o/n@${commit}/q4`, stored: 'memory' });
    const file = files.files.get('onnx/model_q4.onnx')!;
    const whole = bytes('llama-optimum/model.onnx');
    expect(Buffer.compare(await file.read(0, file.size), whole)).toBe(0);
  });
});
