import { describe, expect, it } from 'vitest';
import { mapDecoder } from './decoder';
import { referenceLogits } from './decoder.reference';
import { relativeError } from '../relative-error';
import { UnsupportedModelError } from '../decoder/errors';
import { FIXTURE_TOKENS, type Fixture, loadFixture } from './fixtures.testing';
import type { OnnxNode } from './proto';

describe.each([
  // RoPE inside GQA; float32, int4 head, dense embedding, one file.
  { name: 'separate', tolerance: 2e-6 },
  // RotaryEmbedding nodes; float16 with external data.
  { name: 'rotary', tolerance: 5e-3 },
  // One q | k | v projection.
  { name: 'packed', tolerance: 2e-6 },
  // Embedding and head share one int4 table.
  { name: 'tied', tolerance: 2e-6 },
])('the genai structure "$name"', ({ name, tolerance }) => {
  it('maps to weights whose forward pass gives onnxruntime logits', async () => {
    const { model, config, files, logits } = await loadFixture(name);
    const decoder = mapDecoder(model, config);
    const reference = await referenceLogits(decoder, files, FIXTURE_TOKENS);
    expect(logits.length).toBe(reference.length);
    expect(relativeError(reference, logits)).toBeLessThan(tolerance);
  });

  it('has the shapes of config.json', async () => {
    const { model, config } = await loadFixture(name);
    const decoder = mapDecoder(model, config);
    expect(decoder.config).toEqual({
      architecture: 'llama',
      layers: 2,
      dim: 64,
      heads: 4,
      kvHeads: 2,
      headDim: 16,
      ffnDim: 96,
      vocabSize: 37,
      normEps: 1e-5,
      maxPositions: 32,
      ropeTheta: 10000,
      ropeScaling: new Map<string, unknown>([
        ['rope_theta', 10000],
        ['rope_type', 'default'],
      ]),
      activation: 'silu',
      qkNorm: false,
      outputNorms: false,
      attentionScale: 0.25,
      attentionSoftCap: null,
      logitSoftCap: null,
      embeddingScale: 1,
      windows: [null, null],
    });
    expect(decoder.layers.map((layer) => [layer.q.outFeatures, layer.k.outFeatures])).toEqual([
      [64, 32],
      [64, 32],
    ]);
    expect(decoder.rotary).toMatchObject({ kind: 'caches', positions: 32 });
    expect(decoder.embedding.kind).toBe(name === 'tied' ? 'int4' : 'dense');
  });
});

describe('a graph or configuration that is not understood', () => {
  async function refusal(
    change: (fixture: Fixture, find: (part: string) => OnnxNode) => void,
    name = 'separate',
  ): Promise<string> {
    const fixture = await loadFixture(name);
    change(fixture, (part) => {
      const node = fixture.model.nodes.find((one) => one.name.includes(part));
      if (!node) throw new RangeError(part);
      return node;
    });
    try {
      mapDecoder(fixture.model, fixture.config);
    } catch (error) {
      expect(error).toBeInstanceOf(UnsupportedModelError);
      return (error as Error).message;
    }
    return 'was accepted';
  }

  it('names an extra node', async () => {
    const message = await refusal(({ model }) => {
      const extra = {
        name: '/model/probe',
        opType: 'Identity',
        domain: '',
        inputs: ['/model/layers.0/attn/q_proj/MatMul/output_0'],
        outputs: ['probe'],
        attributes: new Map(),
      };
      model.nodes.push(extra);
    });
    expect(message).toContain('"/model/probe" (Identity)');
  });

  it.each<[string, string, (node: OnnxNode) => void, string]>([
    ['an unknown activation', 'layers.1/mlp/act_fn/Sigmoid', (n) => (n.opType = 'Erf'), 'layer 1'],
    ['an attention soft-cap', 'layers.1/attn/GroupQuery', set('softcap', 50), 'softcap is 50'],
    ['a sliding window', 'layers.0/attn/GroupQuery', set('local_window_size', 16), 'is 16'],
    ['other head counts', 'layers.0/attn/GroupQuery', set('kv_num_heads', 1), 'is 1, not 2'],
    ['another attention scale', 'layers.0/attn/GroupQuery', set('scale', 1), '1/√16'],
    ['8-bit weights', 'layers.1/mlp/up_proj', set('bits', 8), '8-bit'],
    ['a wrong K', 'layers.1/mlp/down_proj', set('K', 64), 'down_proj'],
    ['another epsilon', 'layers.1/input_layernorm', set('epsilon', 1e-6), 'epsilon'],
    [
      'a name that contradicts the data flow',
      'layers.1/attn/k_proj',
      (n) => (n.name = '/model/layers.1/attn/v_proj/MatMul_Q4'),
      'as the k projection of layer 1',
    ],
    [
      'crossed caches',
      'layers.1/attn/GroupQuery',
      (n) => (n.inputs[3] = 'past_key_values.0.key'),
      'past_key_values.1.key',
    ],
    ['a reordered weight', 'layers.0/attn/o_proj', (n) => (n.inputs[4] = 'cos_cache'), 'g_idx'],
    [
      'a missing weight',
      'layers.0/attn/o_proj',
      (n) => (n.inputs[1] = 'nowhere'),
      '"nowhere" is no stored tensor',
    ],
    [
      'a skipped residual connection',
      'layers.0/post_attention_layernorm',
      (n) => (n.inputs[0] = n.inputs[1]!),
      'it combines',
    ],
  ])('%s', async (_, part, change, expected) => {
    expect(await refusal((_fixture, find) => change(find(part)))).toContain(expected);
  });

  it.each([
    ['model_type', 'phi3', 'model_type "phi3"'],
    ['model_type', 'gemma2', 'the factor 8 of embeddings'],
    ['model_type', 'qwen3', 'q and k norms'],
    ['hidden_act', 'gelu', 'hidden_act "gelu"'],
    ['num_hidden_layers', 1, 'LM head'],
    ['num_hidden_layers', 3, 'layer 2'],
    ['hidden_size', 128, '[37, 128]'],
    ['vocab_size', 38, '[38, 64]'],
    ['intermediate_size', 64, 'gate_proj'],
    ['num_attention_heads', 0, 'num_attention_heads 0'],
    ['num_attention_heads', 3, 'no multiple'],
    ['rms_norm_eps', undefined, 'rms_norm_eps'],
  ])('config.json with %s %s', async (field, value, expected) => {
    const message = await refusal(({ config }) => {
      config[field] = value;
    });
    expect(message).toContain(expected);
  });

  it('RoPE of neighbouring pairs and RoPE of a part of a head', async () => {
    const rotary = (name: string, value: number) =>
      refusal((_fixture, find) => set(name, value)(find('layers.1/attn/k_rotary')), 'rotary');
    expect(await rotary('interleaved', 1)).toContain('neighbouring pairs');
    expect(await rotary('rotary_embedding_dim', 8)).toContain('8 of 16');
  });
});

it('reads biases that are separate Add nodes', async () => {
  const { model, config, files } = await loadFixture('separate');
  const node = model.nodes.find((one) => one.name.includes('layers.0/attn/q_proj'))!;
  const target = node.outputs[0]!;
  node.outputs[0] = 'before bias';
  model.initializers.set('bias', {
    name: 'bias',
    dims: [64],
    dataType: 'float32',
    byteLength: 256,
    storage: { kind: 'inline', bytes: new Uint8Array(new Float32Array(64).fill(0.5).buffer) },
  });
  model.nodes.push({
    name: '/model/layers.0/attn/q_proj/Add',
    opType: 'Add',
    domain: '',
    inputs: ['before bias', 'bias'],
    outputs: [target],
    attributes: new Map(),
  });
  const plain = await loadFixture('separate');
  const decoder = mapDecoder(model, config);
  expect(decoder.layers[0]!.q.bias?.name).toBe('bias');
  expect(decoder.layers[0]!.k.bias).toBeUndefined();
  const logits = await referenceLogits(decoder, files, FIXTURE_TOKENS);
  expect(relativeError(logits, plain.logits)).toBeGreaterThan(1e-3);
});

function set(name: string, value: number): (node: OnnxNode) => void {
  return (node) => node.attributes.set(name, { kind: 'float', value });
}
