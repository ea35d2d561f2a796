/** Ways to write a decoder's file differently. */
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { float32ToFloat16 } from '../float16';
import type { Family } from './families.testing';
import type { OnnxNode } from './proto';
import { type ElementType, readFloats, readTensor, type TensorRef } from '../decoder/tensor';
import { OnnxType } from './data-type';

export function isQuantised(node: OnnxNode): boolean {
  return node.opType === 'MatMulNBits';
}

/** Nodes whose weights are quantised: linear layers and embedding tables. */
export function quantisedNodes({ model }: Family): OnnxNode[] {
  return model.nodes.filter((node) => isQuantised(node) || node.opType === 'GatherBlockQuantized');
}

export function attribute(node: OnnxNode, name: string): number {
  const found = node.attributes.get(name);
  if (found?.kind !== 'int') throw new RangeError(`${node.name} has no ${name}.`);
  return found.value;
}

export function inline(
  name: string,
  dims: readonly number[],
  dataType: ElementType,
  values: ArrayBufferView,
): TensorRef {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return { name, dims, dataType, byteLength: bytes.length, storage: { kind: 'inline', bytes } };
}

/** The initializer behind a node's input, also behind Reshape. */
export function stored({ model }: Family, node: OnnxNode, index: number): TensorRef {
  const name = node.inputs[index] ?? '';
  const source = model.nodes.find((one) => one.outputs.includes(name));
  const found = model.initializers.get(source?.inputs[0] ?? name);
  if (!found) throw new RangeError(`${node.name} has no stored input ${index}.`);
  return found;
}

/** Puts another tensor where `ref` is, for all that read it. */
export function replace({ model }: Family, ref: TensorRef, by: Partial<TensorRef>): void {
  model.initializers.set(ref.name, { ...ref, ...by });
}

/** The same weights with scales of half precision. */
export async function halveScales(family: Family): Promise<void> {
  for (const node of quantisedNodes(family)) {
    const ref = stored(family, node, 2);
    if (ref.dataType !== 'float32') continue;
    const half = float32ToFloat16(await readFloats(ref, family.files));
    replace(family, ref, inline(ref.name, ref.dims, 'float16', half));
  }
}

/** Another name for every initializer. */
export function renameInitializers({ model }: Family): void {
  const renamed = new Map([...model.initializers.keys()].map((key, i) => [key, `tensor ${i}`]));
  for (const node of model.nodes) {
    node.inputs = node.inputs.map((input) => renamed.get(input) ?? input);
  }
  const tensors = [...model.initializers];
  model.initializers.clear();
  for (const [key, ref] of tensors) {
    const name = renamed.get(key)!;
    model.initializers.set(name, { ...ref, name });
  }
}

export function shuffleInitializers({ model }: Family, random: () => number): void {
  const order = [...model.initializers].map((entry) => ({ entry, key: random() }));
  model.initializers.clear();
  for (const { entry } of order.sort((a, b) => a.key - b.key)) model.initializers.set(...entry);
}

/** Another order in which every node still comes after those that it reads. */
export function shuffleNodes({ model }: Family, random: () => number): void {
  const { nodes } = model;
  const producers = new Map(nodes.flatMap((node) => node.outputs.map((name) => [name, node])));
  const placed = new Set<OnnxNode>();
  const left = new Set(nodes);
  const order: OnnxNode[] = [];
  while (left.size > 0) {
    const ready = [...left].filter((node) =>
      node.inputs.every((input) => {
        // '' is an input or an output that is not there.
        const producer = input === '' ? undefined : producers.get(input);
        return producer === undefined || placed.has(producer);
      }),
    );
    const next = ready[Math.floor(random() * ready.length)];
    if (next === undefined) throw new RangeError('The nodes are a circle.');
    placed.add(next);
    left.delete(next);
    order.push(next);
  }
  nodes.splice(0, nodes.length, ...order);
}

/** Puts a node of one input between a tensor and all that read it. */
export function insertBehind({ model }: Family, tensor: string, opType: string): OnnxNode {
  const attributes: OnnxNode['attributes'] = new Map();
  if (opType === 'Cast') attributes.set('to', { kind: 'int', value: OnnxType.float32 });
  const node: OnnxNode = {
    ...{ name: `/inserted/${opType}`, opType, domain: '', attributes },
    ...{ inputs: [tensor], outputs: ['/inserted/output_0'] },
  };
  for (const reader of model.nodes) {
    reader.inputs = reader.inputs.map((input) => (input === tensor ? node.outputs[0]! : input));
  }
  model.nodes.push(node);
  return node;
}

/**
 * Every pair of blocks of 32 gets one scale and one zero point: returns the family written in blocks
 * of 32, and written in blocks of 64.
 */
export async function widenBlocks(narrow: Family, wide: Family): Promise<void> {
  const done = new Set<string>();
  const wideNodes = new Map(wide.model.nodes.map((node) => [node.name, node]));
  for (const node of quantisedNodes(narrow)) {
    const twin = wideNodes.get(node.name)!;
    if (attribute(node, 'block_size') !== 32) throw new RangeError('Blocks of 32 are expected.');
    twin.attributes.set('block_size', { kind: 'int', value: 64 });
    const [data, scales] = [
      stored(narrow, node, isQuantised(node) ? 1 : 0),
      stored(narrow, node, 2),
    ];
    if (done.has(data.name)) continue;
    done.add(data.name);
    const bytes = await readTensor(data, narrow.files);
    const values = await readFloats(scales, narrow.files);
    const rows = data.dims[0]!;
    const blocks = values.length / rows;
    const halved = Math.ceil(blocks / 2);
    const wideScales = new Float32Array(rows * halved);
    const wideData = new Uint8Array(rows * halved * 32).fill(0x5a);
    for (let row = 0; row < rows; row++) {
      wideData.set(bytes.subarray(row * blocks * 16, (row + 1) * blocks * 16), row * halved * 32);
      for (let block = 0; block < blocks; block++) {
        const scale = values[row * blocks + (block & ~1)]!;
        values[row * blocks + block] = scale;
        wideScales[row * halved + (block >> 1)] = scale;
      }
    }
    replace(narrow, scales, inline(scales.name, [rows, blocks], 'float32', values));
    replace(wide, scales, inline(scales.name, [rows, halved], 'float32', wideScales));
    const dims = isQuantised(node) ? [rows, halved, 32] : [rows, halved * 32];
    replace(wide, data, inline(data.name, dims, 'uint8', wideData));
    if (!node.inputs[3]) continue;
    const zeros = stored(narrow, node, 3);
    const packed = await readTensor(zeros, narrow.files);
    const stride = Math.ceil(blocks / 2);
    const wideStride = Math.ceil(halved / 2);
    const wideZeros = new Uint8Array(rows * wideStride);
    const narrowZeros = packed.map((byte) => (byte & 15) * 17);
    for (let row = 0; row < rows; row++) {
      for (let block = 0; block < halved; block++) {
        const zero = narrowZeros[row * stride + block]! & 15;
        wideZeros[row * wideStride + (block >> 1)]! |= zero << (4 * (block & 1));
      }
    }
    replace(narrow, zeros, inline(zeros.name, [rows, stride], 'uint8', narrowZeros));
    replace(wide, zeros, inline(zeros.name, [rows, wideStride], 'uint8', wideZeros));
  }
}

type Rewrite = (field: number, bytes: Uint8Array, writer: BinaryWriter) => boolean;

/** Copies a message; `rewrite` may write a length-delimited field itself. */
function copyMessage(bytes: Uint8Array, rewrite: Rewrite): Uint8Array {
  const reader = new BinaryReader(bytes);
  const writer = new BinaryWriter();
  while (reader.pos < reader.len) {
    const start = reader.pos;
    const [field, wire] = reader.tag();
    if (wire === WireType.LengthDelimited && rewrite(field, reader.bytes(), writer)) continue;
    if (wire !== WireType.LengthDelimited) reader.skip(wire, field);
    writer.raw(bytes.subarray(start, reader.pos));
  }
  return writer.finish();
}

function nested(writer: BinaryWriter, field: number, bytes: Uint8Array): true {
  writer.tag(field, WireType.LengthDelimited).bytes(bytes);
  return true;
}

/** The file with its graph's messages of one field changed. */
function rewriteGraph(file: Uint8Array, field: number, change: (bytes: Uint8Array) => Uint8Array) {
  return copyMessage(file, (top, graph, writer) => {
    if (top !== 7) return false;
    const copy = copyMessage(graph, (number, bytes, inner) =>
      number === field ? nested(inner, field, change(bytes)) : false,
    );
    return nested(writer, 7, copy);
  });
}

/** Initializers in float_data, int32_data and int64_data instead of raw_data. */
export function typeFields(file: Uint8Array): Uint8Array {
  return rewriteGraph(file, 5, (tensor) => {
    const reader = new BinaryReader(tensor);
    let dataType = 0;
    while (reader.pos < reader.len) {
      const [field, wire] = reader.tag();
      if (field === 2) dataType = reader.int32();
      else reader.skip(wire, field);
    }
    return copyMessage(tensor, (field, raw, writer) => {
      if (field !== 9) return false;
      const copy = raw.slice();
      if (dataType === OnnxType.float32) return nested(writer, 4, copy);
      const values = new BinaryWriter();
      if (dataType === OnnxType.int64) {
        for (const value of new BigInt64Array(copy.buffer)) values.int64(value);
        return nested(writer, 7, values.finish());
      }
      const half = dataType === OnnxType.float16;
      for (const value of half ? new Uint16Array(copy.buffer) : copy) values.int32(value);
      return nested(writer, 5, values.finish());
    });
  });
}

/** The standard operators' domain by its longer name. */
export function spellDomain(file: Uint8Array): Uint8Array {
  return rewriteGraph(file, 1, (node) => {
    let domain = '';
    const copy = copyMessage(node, (field, bytes) => {
      if (field === 7) domain = new TextDecoder().decode(bytes);
      return false;
    });
    if (domain !== '') return copy;
    const writer = new BinaryWriter();
    writer.raw(copy).tag(7, WireType.LengthDelimited).string('ai.onnx');
    return writer.finish();
  });
}

/** The file with other locations of external data, by the ones that it has. */
export function relocated(
  file: Uint8Array,
  locations: Readonly<Record<string, string>>,
): Uint8Array<ArrayBuffer> {
  const utf8 = new TextDecoder();
  const changed = rewriteGraph(file, 5, (tensor) =>
    copyMessage(tensor, (field, entry, writer) => {
      if (field !== 13) return false;
      const copy = copyMessage(entry, (number, value, inner) => {
        const location = number === 2 ? locations[utf8.decode(value)] : undefined;
        if (location === undefined) return false;
        return nested(inner, 2, new TextEncoder().encode(location));
      });
      return nested(writer, 13, copy);
    }),
  );
  return new Uint8Array(changed);
}
