/** Every family and export structure of tools/models/fixtures, mapped without a GPU. */
import { describe, expect, it } from 'vitest';
import { mapDecoder } from './decoder';
import { UnsupportedModelError } from '../decoder/errors';
import { load, logitsError, NAMES } from './families.testing';
import type { OnnxNode } from './proto';
import { readFloats, type TensorRef } from '../decoder/tensor';
import { readInt4 } from '../decoder/weights';

it('there is a fixture for each structure', () => {
  expect(NAMES.length).toBe(17);
});

describe.each(NAMES)('%s', (name) => {
  it('maps to weights whose forward pass gives the logits of PyTorch', async () => {
    expect(await logitsError(await load(name))).toBeLessThan(1e-5);
  });

  it('names a node of an unknown operator', async () => {
    const { model, config } = await load(name);
    // One node after another becomes something that nobody knows; none may be overlooked.
    const changed = model.nodes.filter((node) => node.opType !== 'Constant');
    for (let i = 0; i < changed.length; i += 7) {
      const node = changed[i]!;
      const { opType } = node;
      node.opType = 'Mystery';
      expect(() => mapDecoder(model, config), `${node.name} (${opType})`).toThrow(
        UnsupportedModelError,
      );
      node.opType = opType;
    }
    const extra: OnnxNode = {
      ...{ name: 'stranger', opType: 'Erf', domain: '' },
      ...{ inputs: ['input_ids'], outputs: ['nowhere'], attributes: new Map() },
    };
    model.nodes.push({ ...extra, inputs: ['logits'] });
    expect(() => mapDecoder(model, config)).toThrow('"stranger" (Erf)');
  });

  it('names the projection whose block size does not fit its scales', async () => {
    const { model, config } = await load(name);
    const node = model.nodes.find(({ name }) => name.includes('layers.1/mlp/down_proj'))!;
    node.attributes.set('block_size', { kind: 'int', value: 16 });
    expect(() => mapDecoder(model, config)).toThrow('down_proj');
  });
});

it('weights may have negative scales', async () => {
  const { model, files, config } = await load('llama-optimum');
  const { layers } = mapDecoder(model, config);
  const { q } = layers[0]!;
  if (q.kind !== 'int4') throw new RangeError('q is not int4');
  const { scales } = await readInt4(q, files);
  expect(scales.some((scale) => scale < 0)).toBe(true);
  expect(scales.some((scale) => scale > 0)).toBe(true);
});

describe('zero points', () => {
  const NAME = 'llama-shared-table';

  it('that embedding and head share change the logits when they are left out', async () => {
    const family = await load(NAME);
    for (const node of family.model.nodes) {
      if (node.opType === 'GatherBlockQuantized') node.inputs.length = 3;
      if (node.outputs[0] === 'logits') node.inputs.length = 3;
    }
    // Without zero points 8 stands for zero: readable, and another model.
    expect(await logitsError(family)).toBeGreaterThan(0.1);
  });

  it('that are named and missing are named in the error', async () => {
    const { model, config } = await load(NAME);
    model.initializers.delete('model_embed_tokens_weight_zp');
    expect(() => mapDecoder(model, config)).toThrow('model_embed_tokens_weight_zp');
  });

  it('are of the same table in embedding and head', async () => {
    const { model, config } = await load(NAME);
    const { embedding, head } = mapDecoder(model, config);
    if (embedding.kind !== 'int4' || head.kind !== 'int4') throw new RangeError('not int4');
    const same = (a?: TensorRef, b?: TensorRef) => a !== undefined && a === b;
    expect(same(embedding.table.data, head.data)).toBe(true);
    expect(same(embedding.table.scales, head.scales)).toBe(true);
    expect(same(embedding.table.zeroPoints, head.zeroPoints)).toBe(true);
  });
});

it('a "+1" of norm weights may be a node of its own', async () => {
  const family = await load('gemma2-optimum');
  const { model, files } = family;
  const weigh = model.nodes.filter((node) => /layernorm\/Mul_1$/.test(node.name));
  expect(weigh.length).toBe(8);
  for (const node of weigh) {
    const index = node.inputs.findIndex((name) => model.initializers.has(name));
    const stored = model.initializers.get(node.inputs[index]!)!;
    const values = (await readFloats(stored, files)).map((value) => value - 1);
    const add = (name: string, dims: number[], floats: Float32Array<ArrayBuffer>) =>
      model.initializers.set(name, {
        ...{ name, dims, dataType: stored.dataType, byteLength: floats.byteLength },
        storage: { kind: 'inline', bytes: new Uint8Array(floats.buffer) },
      });
    add(`${node.name} less one`, [values.length], Float32Array.from(values));
    add(`${node.name} one`, [], Float32Array.of(1));
    model.nodes.push({
      ...{ name: `${node.name}/Add`, opType: 'Add', domain: '', attributes: new Map() },
      ...{ inputs: [`${node.name} less one`, `${node.name} one`], outputs: [`${node.name} sum`] },
    });
    node.inputs[index] = `${node.name} sum`;
  }
  expect(mapDecoder(model, family.config).layers[0]!.inputNorm.offset).toBe(1);
  expect(await logitsError(family)).toBeLessThan(1e-5);
});

describe('what primitive operators may not do', () => {
  async function refusal(name: string, change: (node: OnnxNode) => void, part: string) {
    const { model, config } = await load(name);
    const node = model.nodes.find((one) => one.name.endsWith(part));
    if (!node) throw new RangeError(part);
    change(node);
    try {
      mapDecoder(model, config);
    } catch (error) {
      expect(error).toBeInstanceOf(UnsupportedModelError);
      return (error as Error).message;
    }
    return 'was accepted';
  }
  const ints = (name: string, value: number[]) => (node: OnnxNode) =>
    node.attributes.set(name, { kind: 'ints', value });

  it.each<[string, string, string, (node: OnnxNode) => void, string]>([
    [
      'average another axis',
      'llama-optimum',
      'layers.0/input_layernorm/ReduceMean',
      ints('axes', [1]),
      'ReduceMean',
    ],
    [
      'take no root',
      'qwen3-optimum',
      'layers.1/self_attn/q_norm/Sqrt',
      (n) => (n.opType = 'Exp'),
      'q_norm',
    ],
    [
      'turn other axes',
      'llama-optimum',
      'layers.0/self_attn/Transpose_2',
      ints('perm', [0, 1, 2, 3]),
      'Transpose_2',
    ],
    [
      'rotate without a sign',
      'llama-optimum',
      'layers.0/self_attn/Neg',
      (n) => (n.opType = 'Abs'),
      'layers.0',
    ],
    [
      'swap sine and cosine',
      'llama-optimum',
      'rotary_emb/Sin',
      (n) => (n.opType = 'Cos'),
      'rotary_emb/Sin',
    ],
    [
      'mix caches of layers',
      'llama-optimum',
      'layers.1/self_attn/Concat_6',
      (n) => (n.inputs[0] = 'past_key_values.0.value'),
      'past_key_values.1.value',
    ],
    [
      'skip a residual',
      'llama-optimum',
      'layers.1/Add_1',
      (n) => (n.inputs[0] = n.inputs[1]!),
      'layers.1/Add_1',
    ],
    [
      'have another gate',
      'gemma2-optimum',
      'layers.0/mlp/act_fn/Tanh',
      (n) => (n.opType = 'Erf'),
      'layer 0',
    ],
    [
      'have no last factor',
      'gemma2-optimum',
      'layers.0/mlp/act_fn/Mul_5',
      (n) => (n.inputs[0] = n.inputs[1]!),
      'Mul_5',
    ],
  ])('%s', async (_, name, part, change, expected) => {
    expect(await refusal(name, change, part)).toContain(expected);
  });
});

describe('a window of upper layers', () => {
  const fields = { sliding_window: 8, use_sliding_window: true, max_window_layers: 1 };
  const upper = ({ model }: Awaited<ReturnType<typeof load>>) =>
    model.nodes.filter(({ opType }) => opType === 'GroupQueryAttention').at(-1)!;

  it.each(['qwen2-packed', 'qwen3-separate-f16'])('is read as %s has it', async (name) => {
    const family = await load(name);
    upper(family).attributes.set('local_window_size', { kind: 'int', value: 8 });
    const { layer_types: types, ...config } = family.config;
    expect(types).toBeDefined();
    const { windows } = mapDecoder(family.model, { ...config, ...fields }).config;
    expect(windows).toEqual([...windows.slice(1).map(() => null), 8]);
  });

  it('is taken from config.json where the graph computes its mask', async () => {
    const { model, config } = await load('qwen2-optimum');
    const { windows } = mapDecoder(model, { ...config, ...fields, layer_types: undefined }).config;
    expect(windows).toEqual([null, 8]);
  });

  it.each([
    [{ use_sliding_window: false }, 'by config.json no layer has a window'],
    [{ sliding_window: 16 }, 'by config.json windows are of 16'],
  ])('is refused for a true reason where config.json says %j', async (change, reason) => {
    const family = await load('qwen2-packed');
    upper(family).attributes.set('local_window_size', { kind: 'int', value: 8 });
    const config = { ...family.config, ...fields, layer_types: undefined, ...change };
    expect(() => mapDecoder(family.model, config)).toThrow(`local_window_size is 8; ${reason}`);
  });
});
