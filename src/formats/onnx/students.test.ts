import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { memorySource } from '../byte-source';
import { mapDecoder } from './decoder';
import { referenceLogits } from './decoder.reference';
import { readOnnx } from './proto';

const root = new URL('../../../', import.meta.url);

function load(path: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(new URL(path, root)));
}

function loadJson(path: string): unknown {
  return JSON.parse(new TextDecoder().decode(load(path)));
}

describe.each([
  { student: 'pocket', dim: 128, layers: 4 },
  { student: 'class', dim: 256, layers: 6 },
])('the bundled student $student', ({ student, dim, layers }) => {
  const files = {
    model: memorySource(load(`public/models/${student}/onnx/model_q4.onnx`)),
    external: new Map(),
  };
  const open = async () =>
    mapDecoder(await readOnnx(files.model), loadJson(`public/models/${student}/config.json`));

  it('is understood node by node, with exact int4 products', async () => {
    const decoder = await open();
    expect(decoder.config).toMatchObject({ architecture: 'llama', dim, layers });
    const linears = decoder.layers.flatMap(({ q, k, v, o, gate, up, down }) => [
      ...[q, k, v, o],
      ...[gate, up, down],
    ]);
    for (const linear of [decoder.head, ...linears]) {
      expect(linear).toMatchObject({ kind: 'int4', blockSize: 32, accuracyLevel: 0 });
    }
  });

  it('gives the logits that PyTorch gives on its dequantised weights', async () => {
    const golden = loadJson(`tests/fixtures/${student}/golden.json`) as { ids: number[] };
    const expected = new Float32Array(load(`tests/fixtures/${student}/logits.f32`).buffer);
    const logits = await referenceLogits(await open(), files, golden.ids);
    // The wider student's golden has the last positions only.
    const last = logits.subarray(-expected.length);
    expect(last.length).toBe(expected.length);
    let difference = 0;
    let size = 0;
    for (const [i, value] of expected.entries()) {
      difference += (last[i]! - value) ** 2;
      size += value ** 2;
    }
    expect(Math.sqrt(difference / size)).toBeLessThan(1e-6);
  });
});
