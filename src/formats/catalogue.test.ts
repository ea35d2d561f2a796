import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { CATALOGUE } from './catalogue';
import { manifestId, parseManifest } from './manifest';
import { dtypeOf, onnxPath, parseModelSource } from './model-source';

const COMMIT = 'cc5cc01a65cc3ff17bdb73a7de33d879f62599b0';

describe('parseModelSource', () => {
  it.each([
    ['onnx-community/Qwen2.5-0.5B-Instruct', 'main', 'q4'],
    [' onnx-community/Qwen2.5-0.5B-Instruct@v1.0 ', 'v1.0', 'q4'],
    [`onnx-community/Qwen2.5-0.5B-Instruct@${COMMIT}`, COMMIT, 'q4'],
    ['https://huggingface.co/onnx-community/Qwen2.5-0.5B-Instruct', 'main', 'q4'],
    ['huggingface.co/onnx-community/Qwen2.5-0.5B-Instruct/', 'main', 'q4'],
    [`https://hf.co/onnx-community/Qwen2.5-0.5B-Instruct/tree/${COMMIT}/onnx`, COMMIT, 'q4'],
    ['https://huggingface.co/onnx-community/Qwen2.5-0.5B-Instruct/discussions/2', 'main', 'q4'],
    [
      'https://huggingface.co/onnx-community/Qwen2.5-0.5B-Instruct/blob/main/onnx/model_q4f16.onnx',
      'main',
      'q4f16',
    ],
    [
      'https://huggingface.co/onnx-community/Qwen2.5-0.5B-Instruct/tree/refs%2Fpr%2F2',
      'refs/pr/2',
      'q4',
    ],
  ])('reads %s', (text, revision, dtype) => {
    expect(parseModelSource(text)).toEqual({
      kind: 'hub',
      repo: 'onnx-community/Qwen2.5-0.5B-Instruct',
      revision,
      dtype,
    });
  });

  it.each([
    ['', /not the name/],
    ['qwen', /not the name/],
    ['a/b/c', /not the name/],
    ['../etc', /not the name/],
    ['a/..', /not the name/],
    ['a/b@c@d', /more than one @/],
    ['a/b@../main', /not a branch/],
    ['https://example.com/a/b', /not on huggingface/],
    ['http://huggingface.co/a/b', /not on huggingface/],
    ['https://huggingface.co.example.com/a/b', /not on huggingface/],
    ['https://huggingface.co/datasets/a/b', /datasets/],
    ['https://huggingface.co/', /not the name/],
    ['<b>a</b>/b', /not the name/],
  ])('refuses "%s" with a typed error', (text, message) => {
    expect(() => parseModelSource(text)).toThrow(
      expect.objectContaining({
        name: 'ModelSourceError',
        message: expect.stringMatching(message) as string,
      }),
    );
  });
});

it('names weights files as transformers.js does', () => {
  expect(onnxPath('q4f16')).toBe('onnx/model_q4f16.onnx');
  expect(dtypeOf('folder/onnx/model_quantized.onnx')).toBe('q8');
  expect(dtypeOf('model.onnx')).toBe('fp32');
  expect(dtypeOf('onnx/model_q4.onnx_data')).toBeNull();
});

describe('the catalogue', () => {
  it('names every model once, and hub models so that the field for them could read it', () => {
    const names = CATALOGUE.map(({ source }) => JSON.stringify(source));
    expect(new Set(names).size).toBe(names.length);
    for (const { source } of CATALOGUE) {
      if (source.kind !== 'hub') continue;
      const { repo, revision } = parseModelSource(`${source.repo}@${source.revision}`);
      expect({ repo, revision }).toEqual({ repo: source.repo, revision: source.revision });
    }
  });

  it('says of bundled models what their manifests say', async () => {
    const bundled = CATALOGUE.filter(({ source }) => source.kind === 'bundled');
    expect(bundled.length).toBeGreaterThan(0);
    for (const { role, source, modelId, bytes, parameters, licence } of bundled) {
      const name = source.kind === 'bundled' ? source.name : '';
      const file = new Uint8Array(readFileSync(`public/models/${name}/manifest.json`));
      const manifest = parseManifest(JSON.parse(new TextDecoder().decode(file)));
      expect(modelId).toBe(role === 'student' ? await manifestId(file) : undefined);
      const weights = manifest.files.find(({ path }) => path.endsWith('.onnx'));
      expect(bytes).toBe(weights?.bytes);
      expect(parameters).toBe(manifest.parameters);
      expect(licence.name).toBe(manifest.licence);
    }
  });

  it('pins to whole commits only, admits what is not pinned, and gives guards a verdict', () => {
    for (const { role, source, bytes, bytesExact, unverified, verdict, title } of CATALOGUE) {
      expect(verdict !== undefined, title).toBe(role === 'guard');
      if (bytes === null) expect(bytesExact, title).toBe(false);
      if (source.kind !== 'hub') continue;
      expect(source.revision, title).toMatch(/^([0-9a-f]{40}|main)$/);
      const admits = unverified.some((line) => line.startsWith('Revision'));
      expect(admits, title).toBe(source.revision === 'main');
    }
  });
});
