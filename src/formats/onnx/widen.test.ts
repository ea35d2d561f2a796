/** Half-precision fixtures as float32, in onnxruntime's WASM build and in the engine's mapper. */
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { describe, expect, it } from 'vitest';
import { memorySource } from '../byte-source';
import { mapDecoder } from './decoder';
import { WideningError } from './errors';
import {
  distance,
  externalDataOf,
  type Family,
  load,
  logitsError,
  NAMES,
} from './families.testing';
import { readOnnx } from './proto';
import { runtimeLogits } from './runtime.testing';
import { readFloats, readTensor } from '../decoder/tensor';
import { OnnxType } from './data-type';
import { planChunks } from './tensor-chunks';
import { widen, type Widened } from './widen';

const HALF = ['llama-optimum-f16', 'llama3-packed-f16', 'qwen3-separate-f16'];
const ROOM = { tensorBytes: 2 ** 30, totalBytes: 2 ** 31 };
/** MODELS.md: a runtime that computes in half precision, and one that does not. */
const F16_TOLERANCE = 5e-3;
const F32_TOLERANCE = 1e-4;

function filesOf({ proto, chunks }: Widened): Family['files'] {
  const external = new Map(chunks.map(({ path, data }) => [path, memorySource(data)]));
  return { model: memorySource(proto), external };
}

it('knows every half-precision fixture', async () => {
  const families = await Promise.all(NAMES.map(async (name) => ({ name, ...(await load(name)) })));
  expect(families.filter(({ f16 }) => f16).map(({ name }) => name)).toEqual(HALF);
});

describe.each(HALF)('%s', (name) => {
  it('says in float32 what it says in half precision, and what PyTorch says', async () => {
    const family = await load(name);
    const { bytes, config, files, ids } = family;
    const half = await runtimeLogits(bytes, config, ids, externalDataOf(name));
    const { proto, chunks } = await widen(files, ROOM);
    const wide = await runtimeLogits(proto, config, ids, chunks);
    expect(distance(wide, half)).toBeLessThan(F16_TOLERANCE);
    expect(distance(wide, family.logits)).toBeLessThan(F32_TOLERANCE);
    // The runtime did compute in half precision before.
    expect(distance(half, family.logits)).toBeGreaterThan(distance(wide, family.logits));
  });

  it('has no float16 left, and else the same tensors, nodes, inputs and outputs', async () => {
    const family = await load(name);
    const widened = await widen(family.files, ROOM);
    const files = filesOf(widened);
    const model = await readOnnx(files.model);
    const to = (type: number) => (type === OnnxType.float16 ? OnnxType.float32 : type);
    expect(model.nodes.map((node) => node.name)).toEqual(family.model.nodes.map((n) => n.name));
    for (const part of ['inputs', 'outputs'] as const) {
      const expected = family.model[part].map((info) => ({ ...info, dataType: to(info.dataType) }));
      expect(model[part]).toEqual(expected);
    }
    for (const { attributes } of model.nodes) {
      for (const [key, attribute] of attributes) {
        if (key === 'to') expect(attribute).not.toEqual({ kind: 'int', value: OnnxType.float16 });
        if (attribute.kind === 'tensor') expect(attribute.value.dataType).not.toBe('float16');
      }
    }
    expect([...model.initializers.keys()]).toEqual([...family.model.initializers.keys()]);
    for (const [key, ref] of family.model.initializers) {
      const found = model.initializers.get(key)!;
      expect(found.dims).toEqual(ref.dims);
      const half = ref.dataType === 'float16';
      expect(found.dataType).toBe(half ? 'float32' : ref.dataType);
      if (half) {
        expect(await readFloats(found, files)).toEqual(await readFloats(ref, family.files));
      } else {
        const before = await readTensor(ref, family.files);
        expect(Buffer.compare(await readTensor(found, files), before)).toBe(0);
      }
    }
    // The engine reads the same model in it.
    expect(await logitsError({ ...family, model, files })).toBeLessThan(F32_TOLERANCE);
    expect(mapDecoder(model, family.config).layers).toHaveLength(
      mapDecoder(family.model, family.config).layers.length,
    );
  });
});

describe('widen', () => {
  it('leaves a float32 model as it is, in chunks', async () => {
    const { bytes, config, files, ids } = await load('qwen2-optimum');
    const { proto, chunks } = await widen(files, ROOM);
    const expected = await runtimeLogits(bytes, config, ids);
    expect(await runtimeLogits(proto, config, ids, chunks)).toEqual(expected);
  });

  it('refuses with numbers what is too large, before it takes memory', async () => {
    const { files } = await load('llama-optimum-f16');
    const small = { ...ROOM, tensorBytes: 20_000 };
    await expect(widen(files, small)).rejects.toThrow(/would take \d+ bytes of 20000/);
    await expect(widen(files, { ...ROOM, totalBytes: 1000 })).rejects.toThrow(WideningError);
  });

  it.each([
    ['a graph in an attribute', 6, null],
    ['a list of tensors in an attribute', 10, null],
    ['a type in an attribute of another operator', 3, 'dtype'],
  ] as const)('names the node that keeps %s', async (_, number, attribute) => {
    const part = new BinaryWriter();
    part.tag(1, WireType.LengthDelimited).string(attribute ?? 'body');
    if (number === 3) part.tag(3, WireType.Varint).int64(OnnxType.float16);
    else part.tag(number, WireType.LengthDelimited).bytes(new Uint8Array());
    const node = new BinaryWriter();
    node.tag(3, WireType.LengthDelimited).string('/strange');
    node.tag(4, WireType.LengthDelimited).string('Strange');
    node.tag(5, WireType.LengthDelimited).bytes(part.finish());
    const graph = new BinaryWriter().tag(1, WireType.LengthDelimited).bytes(node.finish());
    const model = new BinaryWriter().tag(7, WireType.LengthDelimited).bytes(graph.finish());
    const files = { model: memorySource(new Uint8Array(model.finish())), external: new Map() };
    const refused = widen(files, ROOM);
    await expect(refused).rejects.toThrow(WideningError);
    await expect(refused).rejects.toThrow('"/strange" (Strange)');
  });
});

describe('planChunks', () => {
  it('begins a chunk where the next tensor does not fit; one that never fits has its own', async () => {
    const { model } = await load('llama-optimum-f16');
    const [a, b, c, d] = [...model.initializers.values()] as [never, never, never, never];
    const sizes = new Map([
      [a, 100],
      [b, 30],
      [c, 500],
      [d, 10],
    ]);
    const { places, chunks } = planChunks([a, b, c, d], (ref) => sizes.get(ref as never)!, 160);
    expect(chunks.map(({ size }) => size)).toEqual([158, 500, 10]);
    expect([...places.values()].map(({ offset }) => offset)).toEqual([0, 128, 0, 0]);
  });
});
