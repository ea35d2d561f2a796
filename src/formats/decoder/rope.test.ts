import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { memorySource } from '../byte-source';
import { parseDecoderConfig } from './config';
import { mapDecoder } from '../onnx/decoder';
import { UnsupportedModelError } from './errors';
import { type OnnxNode, readOnnx } from '../onnx/proto';
import { ropeFrequencies } from './rope';
import { readRotary } from './weights';

const root = new URL('../../../tests/fixtures/families/', import.meta.url);
const load = (path: string) => new Uint8Array(readFileSync(new URL(path, root)));

async function open(name: string, external: string[] = []) {
  const model = memorySource(load(`${name}/model.onnx`));
  const config = JSON.parse(new TextDecoder().decode(load(`${name}/config.json`))) as Record<
    string,
    unknown
  >;
  const sources = external.map((file) => [file, memorySource(load(`${name}/${file}`))] as const);
  return { config, files: { model, external: new Map(sources) }, graph: await readOnnx(model) };
}

/** The largest difference to cosines of position · frequency. */
function distance(cos: Float32Array, frequencies: Float32Array): number {
  return cos.reduce((largest, value, i) => {
    const position = Math.floor(i / frequencies.length);
    const angle = position * frequencies[i % frequencies.length]!;
    return Math.max(largest, Math.abs(value - Math.cos(angle)));
  }, 0);
}

describe('frequencies from config.json', () => {
  it('are those that the exporter stored', async () => {
    const { config, files, graph } = await open('llama-optimum');
    const { rotary } = mapDecoder(graph, config);
    expect(rotary.kind).toBe('frequencies');
    const { cos } = await readRotary(rotary, files);
    expect(distance(cos, ropeFrequencies(parseDecoderConfig(config)))).toBeLessThan(1e-4);
  });

  it('have the scaling of Llama 3.2 that the exporter put into its caches', async () => {
    const parts = ['', '_1', '_2'].map((part) => `model_q4f16.onnx_data${part}`);
    const { config, files, graph } = await open('llama3-packed-f16', parts);
    const { cos } = await readRotary(mapDecoder(graph, config).rotary, files);
    // The caches are float16.
    expect(distance(cos, ropeFrequencies(parseDecoderConfig(config)))).toBeLessThan(1e-3);
    const unscaled = parseDecoderConfig({ ...config, rope_scaling: null });
    expect(distance(cos, ropeFrequencies(unscaled))).toBeGreaterThan(0.1);
  });

  it('serve a graph that computes its own', async () => {
    const { config, files, graph } = await open('llama-optimum');
    const stored = await readRotary(mapDecoder(graph, config).rotary, files);
    const reader = graph.nodes.find(
      (node) => node.opType === 'Expand' && node.name.includes('rotary_emb'),
    )!;
    const add = (name: string, dims: number[], values: number[]) =>
      graph.initializers.set(name, {
        ...{ name, dims, dataType: 'float32', byteLength: 4 * values.length },
        storage: { kind: 'inline', bytes: new Uint8Array(Float32Array.from(values).buffer) },
      });
    add('base', [], [10000]);
    add(
      'exponents',
      [1, 8, 1],
      [0, 1, 2, 3, 4, 5, 6, 7].map((i) => i / 8),
    );
    const node = (opType: string, inputs: string[], output: string): OnnxNode => ({
      ...{ name: `/rotary/${opType}`, opType, domain: '', inputs },
      ...{ outputs: [output], attributes: new Map() },
    });
    graph.nodes.push(node('Pow', ['base', 'exponents'], 'powers'));
    graph.nodes.push(node('Reciprocal', ['powers'], 'inverse'));
    reader.inputs[0] = 'inverse';
    const { rotary } = mapDecoder(graph, config);
    expect(rotary.kind).toBe('computed');
    const { cos, sin } = await readRotary(rotary, files);
    for (const [i, value] of stored.cos.entries()) expect(cos[i]).toBeCloseTo(value, 4);
    for (const [i, value] of stored.sin.entries()) expect(sin[i]).toBeCloseTo(value, 4);
  });

  it('refuse what is not known', async () => {
    const { config } = await open('llama-optimum');
    const frequencies = (changes: object) => () =>
      ropeFrequencies(parseDecoderConfig({ ...config, ...changes }));
    expect(frequencies({ rope_theta: undefined })).toThrow(UnsupportedModelError);
    expect(frequencies({ rope_scaling: { rope_type: 'yarn' } })).toThrow('"yarn"');
    expect(frequencies({ rope_scaling: { rope_type: 'llama3', factor: 0 } })).toThrow('factor 0');
    expect(frequencies({ rope_scaling: { type: 'default' } })).not.toThrow();
  });
});
