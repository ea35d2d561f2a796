import { describe, expect, it } from 'vitest';
import { nestedLists } from '../hostile.testing';
import { UnsupportedModelError } from './errors';
import { parseDecoderConfig } from './config';
import { ARCHITECTURES } from './families';

const BASE = {
  hidden_size: 64,
  num_attention_heads: 4,
  num_hidden_layers: 4,
  intermediate_size: 96,
  vocab_size: 37,
  rms_norm_eps: 1e-5,
  max_position_embeddings: 64,
  head_dim: 16,
};
const config = (model_type: string, fields: object = {}) =>
  parseDecoderConfig({ ...BASE, model_type, ...fields });
const windows = (model_type: string, fields: object) => config(model_type, fields).windows;

const [FULL, SLIDING] = ['full_attention', 'sliding_attention'];
const none = [null, null, null, null];

describe('the windows of layers', () => {
  // What transformers 5 makes of each.
  it.each<[string, object, (number | null)[]]>([
    ['llama', {}, none],
    ['llama', { sliding_window: 8, use_sliding_window: true, max_window_layers: 0 }, none],
    ['llama', { sliding_window: 8, layer_types: [SLIDING, SLIDING, FULL, FULL] }, none],
    ['gemma2', { sliding_window: 8 }, [8, null, 8, null]],
    ['gemma2', {}, [4096, null, 4096, null]],
    ['gemma2', { sliding_window: null }, none],
    ['gemma2', { sliding_window: 8, use_sliding_window: false }, [8, null, 8, null]],
    [
      'gemma2',
      { sliding_window: 8, layer_types: [FULL, FULL, FULL, SLIDING] },
      [...none.slice(1), 8],
    ],
    ['gemma2', { sliding_window: 8, sliding_window_pattern: 3 }, [8, null, 8, null]],
    ...['qwen2', 'qwen3'].flatMap((family): [string, object, (number | null)[]][] => {
      const used = { sliding_window: 8, use_sliding_window: true };
      return [
        [family, {}, none],
        [family, { sliding_window: 8, max_window_layers: 0 }, none],
        [family, { ...used, use_sliding_window: false, max_window_layers: 0 }, none],
        [family, { ...used, use_sliding_window: null, max_window_layers: 0 }, none],
        [family, { ...used, max_window_layers: 2 }, [null, null, 8, 8]],
        [family, { ...used, max_window_layers: 0 }, [8, 8, 8, 8]],
        [family, { ...used, max_window_layers: 4 }, none],
        [family, used, none],
        [family, { use_sliding_window: true, max_window_layers: 3 }, [null, null, null, 4096]],
        [family, { ...used, sliding_window: null, max_window_layers: 0 }, none],
        [family, { ...used, layer_types: [SLIDING, FULL, FULL, SLIDING] }, [8, null, null, 8]],
        [family, { ...used, use_sliding_window: false, layer_types: Array(4).fill(SLIDING) }, none],
        [family, { ...used, max_window_layers: 0, layer_types: Array(4).fill(FULL) }, none],
        [family, { ...used, max_window_layers: 1, layer_types: null }, [null, 8, 8, 8]],
      ];
    }),
  ])('of %s with %j are %j', (family, fields, expected) => {
    expect(windows(family, fields)).toEqual(expected);
  });

  it('more than 28 layers of Qwen have windows from the 28th on', () => {
    const fields = { sliding_window: 8, use_sliding_window: true, num_hidden_layers: 30 };
    expect(windows('qwen2', fields)).toEqual([...Array<null>(28).fill(null), 8, 8]);
  });

  it.each<[object, RegExp]>([
    [{ sliding_window: '8' }, /sliding_window "8"/],
    [{ sliding_window: 0 }, /sliding_window 0/],
    [{ sliding_window: 8.5 }, /sliding_window 8\.5/],
    [{ use_sliding_window: 'yes' }, /use_sliding_window "yes"/],
    [{ max_window_layers: '1' }, /max_window_layers "1"/],
    [{ layer_types: [SLIDING] }, /layer_types \["sliding_attention"\] for 4 layers/],
    [{ layer_types: 'sliding' }, /layer_types "sliding" for 4/],
    [{ layer_types: Array(4).fill('linear_attention') }, /a layer type "linear_attention"/],
  ])('are refused where config.json says %j', (fields, message) => {
    const used = { use_sliding_window: true, sliding_window: 8 };
    expect(() => windows('qwen2', { ...used, ...fields })).toThrow(message);
    expect(() => windows('qwen2', { ...used, ...fields })).toThrow(UnsupportedModelError);
  });
});

describe('fields that are left out', () => {
  it('have the values of Gemma 2', () => {
    const { head_dim, ...rest } = BASE;
    expect(head_dim).toBe(16);
    const parsed = parseDecoderConfig({ ...rest, model_type: 'gemma2' });
    expect(parsed).toMatchObject({
      headDim: 256,
      attentionScale: 1 / 16,
      attentionSoftCap: 50,
      logitSoftCap: 30,
      activation: 'gelu-tanh',
      embeddingScale: 8,
    });
    const off = { attn_logit_softcapping: null, final_logit_softcapping: null };
    expect(config('gemma2', off)).toMatchObject({ attentionSoftCap: null, logitSoftCap: null });
  });

  it('have the values of Qwen 3', () => {
    const fields = { ...BASE, head_dim: undefined, model_type: 'qwen3' };
    expect(parseDecoderConfig(fields)).toMatchObject({ headDim: 128, qkNorm: true });
  });
});

describe('a config.json of strange values', () => {
  const fields = [
    ...Object.keys(BASE),
    'model_type',
    'num_key_value_heads',
    'hidden_act',
    'hidden_activation',
    'sliding_window',
    'layer_types',
    'use_sliding_window',
    'max_window_layers',
    'attn_logit_softcapping',
    'query_pre_attn_scalar',
    'rope_theta',
    'rope_scaling',
    'rope_parameters',
  ];
  const strange: unknown[] = [
    nestedLists(20_000),
    { toString: 1, valueOf: 1, toJSON: 1 },
    'x'.repeat(2 ** 20),
    [],
    -1,
    0,
    1e308,
    1.5,
    2 ** 24,
    true,
    null,
  ];

  it.each(fields)('in %s is read or refused in a sentence', (field) => {
    for (const family of ARCHITECTURES) {
      for (const value of strange) {
        try {
          config(family, { use_sliding_window: true, [field]: value });
        } catch (error) {
          expect(error).toBeInstanceOf(UnsupportedModelError);
          expect((error as Error).message.length).toBeLessThan(400);
        }
      }
    }
  });

  it('takes no memory for layers that no model has', () => {
    expect(() => config('llama', { num_hidden_layers: 2 ** 24 })).toThrow(
      'num_hidden_layers 16777216',
    );
  });

  it('is refused where it is no object', () => {
    for (const json of [null, 1, 'text', [], nestedLists(20_000)]) {
      expect(() => parseDecoderConfig(json)).toThrow(UnsupportedModelError);
    }
  });
});
