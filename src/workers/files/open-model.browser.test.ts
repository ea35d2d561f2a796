// Bundled models and folders by the common way in, on a page; hub models are in hub*.browser.test.ts.
import { expect, test } from 'vitest';
import configUrl from '../../../tests/fixtures/families/llama-optimum/config.json?url';
import weightsUrl from '../../../tests/fixtures/families/llama-optimum/model.onnx?url';
import { manifestId, parseManifest, sha256Hex } from '../../formats/manifest';
import { adoptShared, openModel, readFile, readJson } from './open-model';

const baseUrl = new URL('/', location.href).href;

test('a bundled model comes with the id of its manifest and the bytes that it lists', async () => {
  const bytes = new Uint8Array(
    await (await fetch(`${baseUrl}models/guard/manifest.json`)).arrayBuffer(),
  );
  const manifest = parseManifest(JSON.parse(new TextDecoder().decode(bytes)));
  const set = await openModel({ kind: 'bundled', name: 'guard' }, { baseUrl });
  expect(set).toMatchObject({
    id: await manifestId(bytes),
    label: 'guard',
    revision: null,
    stored: 'cache',
  });
  expect([...set.files.keys()]).toEqual(manifest.files.map(({ path }) => path));
  const listed = manifest.files.find(({ path }) => path.endsWith('.onnx'))!;
  const weights = await readFile(set, listed.path);
  expect(await sha256Hex(weights as Uint8Array<ArrayBuffer>)).toBe(listed.sha256);
  expect(await readJson(set, 'config.json')).toHaveProperty('id2label');

  const adopted = adoptShared(structuredClone(set.share()));
  expect(adopted.id).toBe(set.id);
  expect(await readFile(adopted, listed.path)).toEqual(weights);
  await expect(readFile(set, 'missing.json')).rejects.toMatchObject({ name: 'DownloadError' });
});

test('a folder is read where it lies', async () => {
  const file = async (url: string, name: string) =>
    new File([await (await fetch(url)).arrayBuffer()], name);
  const weights = await file(weightsUrl, 'model_q4.onnx');
  const folder = [
    weights,
    await file(configUrl, 'config.json'),
    new File(['{}'], 'tokenizer.json'),
    new File(['{}'], 'tokenizer_config.json'),
  ];
  const set = await openModel({ kind: 'folder', name: 'mine' }, { baseUrl, folder });
  expect(set).toMatchObject({ label: 'mine', stored: 'folder', fromCache: true });
  expect(set.share().blobs.get('onnx/model_q4.onnx')).toBe(weights);
  const source = set.files.get('onnx/model_q4.onnx')!;
  expect(await source.read(100, 50)).toEqual(
    new Uint8Array(await weights.slice(100, 150).arrayBuffer()),
  );
});
