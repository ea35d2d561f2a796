// What is read of a folder before a site has it: on the models that ship, and on every fixture.
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { dataFiles, inspectWeights } from './inspect';

const root = resolve(import.meta.dirname, '../..');
const families = join(root, 'tests/fixtures/families');

describe('the weights of a folder', () => {
  test.each(['pocket', 'class'])('%s has as many as its manifest says', async (name) => {
    const folder = join(root, 'public/models', name);
    const text = readFileSync(join(folder, 'manifest.json'), 'utf8');
    const { parameters } = JSON.parse(text) as { parameters: number };
    expect(await inspectWeights(folder, 'onnx/model_q4.onnx')).toBe(parameters);
  });

  test.each(readdirSync(families).filter((name) => !name.endsWith('.md')))(
    '%s has as many as its configuration makes, however it was exported',
    async (name) => {
      const text = readFileSync(join(families, name, 'config.json'), 'utf8');
      const config = JSON.parse(text) as Record<string, number> & { model_type: string };
      const { hidden_size: dim = 0, intermediate_size: ffn = 0, head_dim: head = 0 } = config;
      const queries = (config.num_attention_heads ?? 0) * head;
      const keys = (config.num_key_value_heads ?? 0) * head;
      const layer = 2 * dim * (queries + keys) + 3 * dim * ffn + 2 * dim;
      const more: Record<string, number> = {
        llama: 0,
        qwen2: queries + 2 * keys,
        qwen3: 2 * head,
        gemma2: 2 * dim,
      };
      // Every fixture's head is its embedding.
      const around = (config.vocab_size ?? 0) * dim + dim;
      const layers = (config.num_hidden_layers ?? 0) * (layer + more[config.model_type]!);
      expect(await inspectWeights(join(families, name), 'model.onnx')).toBe(around + layers);
    },
  );

  test('are in the files that the graph names', async () => {
    expect(await dataFiles(join(families, 'llama3-packed-f16'), 'model.onnx')).toEqual([
      'model_q4f16.onnx_data',
      'model_q4f16.onnx_data_1',
      'model_q4f16.onnx_data_2',
    ]);
  });
});
