import { mkdtempSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readTensor } from '../formats/decoder/tensor';
import { sha256Hex } from '../formats/manifest';
import { relocated } from '../formats/onnx/altered.testing';
import { externalDataOf, load } from '../formats/onnx/families.testing';
import { readOnnx } from '../formats/onnx/proto';
import { runtimeLogits } from '../formats/onnx/runtime.testing';
import { FileError, modelFiles, openModel, runtimeFiles } from './node-files';

const NAME = 'llama3-packed-f16';
const DATA = 'model_q4f16.onnx_data';

/** A models folder with one model of these files; the manifest lists all but those in `unlisted`. */
async function write(
  files: Record<string, Uint8Array<ArrayBuffer>>,
  unlisted: readonly string[] = [],
): Promise<string> {
  const models = mkdtempSync(join(tmpdir(), 'models-'));
  const listed: object[] = [];
  for (const [path, bytes] of Object.entries(files)) {
    await mkdir(dirname(join(models, 'tiny', path)), { recursive: true });
    writeFileSync(join(models, 'tiny', path), bytes);
    const sha256 = await sha256Hex(bytes);
    if (!unlisted.includes(path)) listed.push({ path, sha256, bytes: bytes.byteLength });
  }
  const manifest = {
    ...{ id: 'tiny', kind: 'student', version: '1', files: listed, parameters: 1, licence: 'MIT' },
    ...{ command: 'make', versions: {}, scores: {} },
  };
  writeFileSync(join(models, 'tiny', 'manifest.json'), JSON.stringify(manifest));
  return models;
}

async function renamed(
  location: string,
  first = location,
): Promise<Record<string, Uint8Array<ArrayBuffer>>> {
  const files: Record<string, Uint8Array<ArrayBuffer>> = {
    'onnx/model_q4.onnx': relocated((await load(NAME)).bytes, { [DATA]: location }),
  };
  for (const { path, data } of externalDataOf(NAME)) {
    files[`onnx/${path === DATA ? first : path}`] = new Uint8Array(data);
  }
  return files;
}

describe('a model on the disk with external data', () => {
  it('has them under the names that its weights say', async () => {
    const models = await write(await renamed('./weights/0.bin', 'weights/0.bin'));
    const folder = await openModel(models, 'tiny');
    const { files, close } = await modelFiles(folder);
    expect([...files.external.keys()].sort()).toEqual([
      './weights/0.bin',
      `${DATA}_1`,
      `${DATA}_2`,
    ]);
    const family = await load(NAME);
    const graph = await readOnnx(files.model);
    for (const [name, tensor] of graph.initializers) {
      const expected = await readTensor(family.model.initializers.get(name)!, family.files);
      expect(Buffer.compare(await readTensor(tensor, files), expected)).toBe(0);
    }
    await close();
    const { model, externalData } = await runtimeFiles(folder);
    const logits = await runtimeLogits(model, family.config, family.ids, externalData);
    expect(logits).toEqual(
      await runtimeLogits(family.bytes, family.config, family.ids, externalDataOf(NAME)),
    );
  });

  it('opens nothing that its manifest does not list, nor outside its folder', async () => {
    const listed = await openModel(await write(await renamed('w.bin'), ['onnx/w.bin']), 'tiny');
    await expect(modelFiles(listed)).rejects.toThrow(FileError);
    await expect(modelFiles(listed)).rejects.toThrow('no onnx/w.bin in its manifest');
    const outside = await openModel(await write(await renamed('../../secret', 'w.bin')), 'tiny');
    await expect(modelFiles(outside)).rejects.toThrow(
      'which is no file in the folder of the model',
    );
  });

  it('says which tensor a short file cuts', async () => {
    const files = await renamed(DATA);
    files[`onnx/${DATA}_2`] = files[`onnx/${DATA}_2`]!.slice(0, -1);
    const folder = await openModel(await write(files), 'tiny');
    await expect(modelFiles(folder)).rejects.toThrow(
      /ends at byte .* of "model_q4f16.onnx_data_2"/,
    );
  });

  it('is refused in words where its manifest is not JSON', async () => {
    const models = await write({ 'config.json': new TextEncoder().encode('{}') });
    writeFileSync(join(models, 'tiny', 'manifest.json'), '<html>');
    await expect(openModel(models, 'tiny')).rejects.toThrow(FileError);
  });
});
