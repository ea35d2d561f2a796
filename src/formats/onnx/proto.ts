/**
 * Reads the parts of an ONNX ModelProto that a trainer needs (onnx.proto, IR versions 3 to 12).
 * The file is walked through a {@link ByteSource}: weights are located, never loaded, so that a
 * gigabyte file costs a few small reads. No size found in the file is allocated before it is known
 * to lie inside the file.
 */
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import type { ByteSource } from '../byte-source';
import { OnnxFormatError } from './errors';
import { DataType, type TensorRef, type TensorStorage, tensorBytes } from './tensor';

export type OnnxAttribute =
  | { kind: 'float'; value: number }
  | { kind: 'int'; value: number }
  | { kind: 'string'; value: string }
  | { kind: 'floats'; value: number[] }
  | { kind: 'ints'; value: number[] }
  | { kind: 'strings'; value: string[] }
  | { kind: 'tensor'; value: TensorRef }
  /** Graphs, types and sparse tensors, which no decoder needs. */
  | { kind: 'other' };

export interface OnnxNode {
  name: string;
  opType: string;
  /** '' is the standard operator set. */
  domain: string;
  /** Tensor names; '' stands for an absent optional input. */
  inputs: string[];
  outputs: string[];
  attributes: Map<string, OnnxAttribute>;
}

export interface OnnxValueInfo {
  name: string;
  /** TensorProto.DataType number; 0 where it is no tensor. */
  dataType: number;
  /** Numbers, or the names of free dimensions. */
  shape: (number | string)[];
}

export interface OnnxModel {
  irVersion: number;
  producerName: string;
  producerVersion: string;
  /** Version of each operator set by domain. */
  opsets: Map<string, number>;
  metadata: Map<string, string>;
  nodes: OnnxNode[];
  initializers: Map<string, TensorRef>;
  inputs: OnnxValueInfo[];
  outputs: OnnxValueInfo[];
}

/** A node larger than this is no node of a decoder (its tensors are initializers). */
const MAX_FIELD_BYTES = 64 * 2 ** 20;
const WINDOW_BYTES = 64 * 2 ** 10;
/** Longest tag plus length or value: 5 + 10 bytes. */
const MAX_HEAD_BYTES = 15;

interface Field {
  number: number;
  wire: WireType;
  /** Where the value starts in the file. */
  offset: number;
  length: number;
}

interface LoadedField extends Field {
  bytes: Uint8Array;
}

/** Parses the model's structure. Throws {@link OnnxFormatError}. */
export async function readOnnx(source: ByteSource): Promise<OnnxModel> {
  try {
    return await readModel(new Window(source));
  } catch (error) {
    // The wire reader reports malformed bytes as RangeError or Error with terse texts.
    if (error instanceof RangeError || (error instanceof Error && error.name === 'Error')) {
      throw new OnnxFormatError(`This is not a readable ONNX file (${error.message}).`);
    }
    throw error;
  }
}

async function readModel(file: Window): Promise<OnnxModel> {
  const model: OnnxModel = {
    irVersion: 0,
    producerName: '',
    producerVersion: '',
    opsets: new Map(),
    metadata: new Map(),
    nodes: [],
    initializers: new Map(),
    inputs: [],
    outputs: [],
  };
  let graphs = 0;
  for await (const field of file.fields(0, file.size)) {
    switch (field.number) {
      case 1:
        model.irVersion = int(await file.load(field));
        break;
      case 2:
        model.producerName = text(await file.load(field));
        break;
      case 3:
        model.producerVersion = text(await file.load(field));
        break;
      case 7:
        graphs++;
        await readGraph(file, field, model);
        break;
      case 8: {
        const [domain, version] = readOpset(await file.load(field));
        model.opsets.set(domain, version);
        break;
      }
      case 14: {
        const [key, value] = readEntry(await file.load(field));
        model.metadata.set(key, value);
        break;
      }
    }
  }
  if (graphs !== 1) {
    throw new OnnxFormatError('This is not a readable ONNX file (it has no graph).');
  }
  return model;
}

async function readGraph(file: Window, graph: Field, model: OnnxModel): Promise<void> {
  assertDelimited(graph);
  for await (const field of file.fields(graph.offset, graph.offset + graph.length)) {
    switch (field.number) {
      case 1:
        model.nodes.push(readNode(await file.load(field)));
        break;
      case 5: {
        const tensor = await readInitializer(file, field);
        if (model.initializers.has(tensor.name)) {
          throw new OnnxFormatError(`The initializer "${tensor.name}" is there twice.`);
        }
        model.initializers.set(tensor.name, tensor);
        break;
      }
      case 11:
        model.inputs.push(readValueInfo(await file.load(field)));
        break;
      case 12:
        model.outputs.push(readValueInfo(await file.load(field)));
        break;
    }
  }
}

function readNode(message: LoadedField): OnnxNode {
  const node: OnnxNode = {
    name: '',
    opType: '',
    domain: '',
    inputs: [],
    outputs: [],
    attributes: new Map(),
  };
  for (const field of scan(message)) {
    if (field.number === 1) node.inputs.push(text(field));
    else if (field.number === 2) node.outputs.push(text(field));
    else if (field.number === 3) node.name = text(field);
    else if (field.number === 4) node.opType = text(field);
    else if (field.number === 5) node.attributes.set(...readAttribute(field));
    else if (field.number === 7) node.domain = text(field);
  }
  // 'ai.onnx' is another spelling of the standard operator set.
  if (node.domain === 'ai.onnx') node.domain = '';
  return node;
}

function readAttribute(message: LoadedField): [string, OnnxAttribute] {
  let name = '';
  let type = 0;
  let float = 0;
  let integer = 0;
  let string = '';
  let tensor: TensorRef | undefined;
  const floats: number[] = [];
  const integers: number[] = [];
  const strings: string[] = [];
  for (const field of scan(message)) {
    if (field.number === 1) name = text(field);
    else if (field.number === 2) float = floatsOf(field)[0] ?? 0;
    else if (field.number === 3) integer = int(field);
    else if (field.number === 4) string = text(field);
    else if (field.number === 5) tensor = readTensorProto(field);
    else if (field.number === 7) append(floats, floatsOf(field));
    else if (field.number === 8) append(integers, intsOf(field).map(Number));
    else if (field.number === 9) strings.push(text(field));
    else if (field.number === 20) type = int(field);
  }
  const values: Record<number, OnnxAttribute | undefined> = {
    1: { kind: 'float', value: float },
    2: { kind: 'int', value: integer },
    3: { kind: 'string', value: string },
    4: tensor && { kind: 'tensor', value: tensor },
    6: { kind: 'floats', value: floats },
    7: { kind: 'ints', value: integers },
    8: { kind: 'strings', value: strings },
  };
  return [name, values[type] ?? { kind: 'other' }];
}

/** TensorProto fields as they come, then checked and frozen into a {@link TensorRef}. */
class TensorBuilder {
  private name = '';
  private readonly dims: number[] = [];
  private dataType = 0;
  private raw: { offset: number; length: number } | undefined;
  private readonly external = new Map<string, string>();
  private isExternal = false;
  private readonly floats: number[] = [];
  private readonly integers: bigint[] = [];
  private readonly doubles: number[] = [];

  /** Takes raw_data (field 9) without its bytes. */
  accept(field: Field | LoadedField): void {
    if (field.number === 9) {
      assertDelimited(field);
      this.raw = { offset: field.offset, length: field.length };
      return;
    }
    if (!('bytes' in field)) return;
    if (field.number === 1) append(this.dims, intsOf(field).map(Number));
    else if (field.number === 2) this.dataType = int(field);
    else if (field.number === 4) append(this.floats, floatsOf(field));
    else if (field.number === 5 || field.number === 7 || field.number === 11)
      append(this.integers, intsOf(field));
    else if (field.number === 8) this.name = text(field);
    else if (field.number === 10) append(this.doubles, doublesOf(field));
    else if (field.number === 13) this.external.set(...readEntry(field));
    else if (field.number === 14) this.isExternal = int(field) === 1;
  }

  finish(): TensorRef {
    const { name, dims, dataType } = this;
    if (dims.some((dim) => !Number.isSafeInteger(dim) || dim < 0)) {
      throw new OnnxFormatError(`Tensor "${name}" has impossible dimensions [${dims.join(', ')}].`);
    }
    const byteLength = tensorBytes(name, dims, dataType);
    const storage = this.storage(byteLength);
    const found = storage.kind === 'inline' ? storage.bytes.byteLength : storage.length;
    if (found !== byteLength) {
      throw new OnnxFormatError(
        `Tensor "${name}" has ${found} bytes of data; its shape needs ${byteLength}.`,
      );
    }
    return { name, dims, dataType, byteLength, storage: withoutLength(storage) };
  }

  private storage(byteLength: number): SizedStorage {
    if (this.isExternal) {
      const number = (key: string, otherwise: number): number => {
        const written = this.external.get(key);
        const value = written === undefined ? otherwise : Number(written);
        if (!Number.isSafeInteger(value) || value < 0) {
          throw new OnnxFormatError(`Tensor "${this.name}" has an external ${key} of ${written}.`);
        }
        return value;
      };
      const location = this.external.get('location') ?? '';
      return {
        kind: 'external',
        location,
        offset: number('offset', 0),
        length: number('length', byteLength),
      };
    }
    if (this.raw) return { kind: 'model', offset: this.raw.offset, length: this.raw.length };
    return { kind: 'inline', bytes: this.valueBytes() };
  }

  /** The typed value fields as the little-endian bytes that raw_data would have held. */
  private valueBytes(): Uint8Array {
    const { integers, dataType } = this;
    if (this.floats.length > 0) return new Uint8Array(Float32Array.from(this.floats).buffer);
    if (this.doubles.length > 0) return new Uint8Array(Float64Array.from(this.doubles).buffer);
    switch (dataType) {
      case DataType.int64:
      case DataType.uint64:
        return new Uint8Array(BigInt64Array.from(integers).buffer);
      case DataType.int32:
      case DataType.uint32:
        return new Uint8Array(Int32Array.from(integers, Number).buffer);
      case DataType.float16:
      case DataType.bfloat16:
      case DataType.int16:
      case DataType.uint16:
        return new Uint8Array(Int16Array.from(integers, Number).buffer);
      default:
        return Uint8Array.from(integers, (value) => Number(value) & 0xff);
    }
  }
}

type SizedStorage =
  | { kind: 'model'; offset: number; length: number }
  | { kind: 'external'; location: string; offset: number; length: number }
  | { kind: 'inline'; bytes: Uint8Array };

function withoutLength(storage: SizedStorage): TensorStorage {
  switch (storage.kind) {
    case 'model':
      return { kind: 'model', offset: storage.offset };
    case 'external':
      return { kind: 'external', location: storage.location, offset: storage.offset };
    case 'inline':
      return storage;
  }
}

async function readInitializer(file: Window, message: Field): Promise<TensorRef> {
  assertDelimited(message);
  const builder = new TensorBuilder();
  for await (const field of file.fields(message.offset, message.offset + message.length)) {
    builder.accept(field.number === 9 ? field : await file.load(field));
  }
  return builder.finish();
}

function readTensorProto(message: LoadedField): TensorRef {
  const builder = new TensorBuilder();
  for (const field of scan(message)) builder.accept(field);
  return builder.finish();
}

function readValueInfo(message: LoadedField): OnnxValueInfo {
  const info: OnnxValueInfo = { name: '', dataType: 0, shape: [] };
  for (const field of scan(message)) {
    if (field.number === 1) info.name = text(field);
    if (field.number !== 2) continue;
    for (const type of scan(field)) {
      if (type.number !== 1) continue;
      for (const tensor of scan(type)) {
        if (tensor.number === 1) info.dataType = int(tensor);
        if (tensor.number !== 2) continue;
        for (const dim of scan(tensor)) info.shape.push(readDimension(dim));
      }
    }
  }
  return info;
}

function readDimension(message: LoadedField): number | string {
  let value: number | string = '';
  for (const field of scan(message)) {
    if (field.number === 1) value = int(field);
    else if (field.number === 2) value = text(field);
  }
  return value;
}

function readOpset(message: LoadedField): [string, number] {
  let domain = '';
  let version = 0;
  for (const field of scan(message)) {
    if (field.number === 1) domain = text(field);
    else if (field.number === 2) version = int(field);
  }
  return [domain, version];
}

function readEntry(message: LoadedField): [string, string] {
  let key = '';
  let value = '';
  for (const field of scan(message)) {
    if (field.number === 1) key = text(field);
    else if (field.number === 2) value = text(field);
  }
  return [key, value];
}

/* ---------- the wire ---------- */

/** A small read-ahead over the file, as fields are many and short. */
class Window {
  private start = 0;
  private bytes = new Uint8Array(0);

  constructor(private readonly source: ByteSource) {}

  get size(): number {
    return this.source.size;
  }

  private async read(offset: number, length: number): Promise<Uint8Array> {
    if (length > WINDOW_BYTES) return this.source.read(offset, length);
    const held = offset >= this.start && offset + length <= this.start + this.bytes.byteLength;
    if (!held) {
      const ahead = Math.min(WINDOW_BYTES, this.source.size - offset);
      this.bytes = new Uint8Array(await this.source.read(offset, ahead));
      this.start = offset;
    }
    return this.bytes.subarray(offset - this.start, offset - this.start + length);
  }

  /** The fields of the message that lies in [start, end), without their values. */
  async *fields(start: number, end: number): AsyncGenerator<Field> {
    let position = start;
    while (position < end) {
      const head = await this.read(position, Math.min(MAX_HEAD_BYTES, end - position));
      const field = readHead(head, position, end);
      yield field;
      position = field.offset + field.length;
    }
  }

  async load(field: Field): Promise<LoadedField> {
    if (field.length > MAX_FIELD_BYTES) {
      throw new OnnxFormatError(
        `This is not a readable ONNX file (a field of ${field.length} bytes that is no weight).`,
      );
    }
    return { ...field, bytes: await this.read(field.offset, field.length) };
  }
}

function readHead(head: Uint8Array, position: number, end: number): Field {
  const reader = new BinaryReader(head);
  const [number, wire] = reader.tag();
  let length: number;
  let offset = position;
  if (wire === WireType.LengthDelimited) {
    length = reader.uint32();
    offset += reader.pos;
  } else if (wire === WireType.StartGroup || wire === WireType.EndGroup) {
    throw new OnnxFormatError('This is not a readable ONNX file (it has group fields).');
  } else {
    offset += reader.pos;
    const valueStart = reader.pos;
    reader.skip(wire, number);
    length = reader.pos - valueStart;
  }
  if (offset + length > end) {
    throw new OnnxFormatError(
      `The ONNX file is cut or damaged: a field at byte ${position} ends at ${offset + length}, ` +
        `beyond ${end}.`,
    );
  }
  return { number, wire, offset, length };
}

function* scan(message: LoadedField): Generator<LoadedField> {
  assertDelimited(message);
  const { bytes, offset: base } = message;
  let position = 0;
  while (position < bytes.byteLength) {
    const head = bytes.subarray(position, position + MAX_HEAD_BYTES);
    const field = readHead(head, base + position, base + bytes.byteLength);
    const start = field.offset - base;
    position = start + field.length;
    yield { ...field, bytes: bytes.subarray(start, position) };
  }
}

function assertDelimited(field: Field): void {
  if (field.wire !== WireType.LengthDelimited) throw wrongWire(field);
}

function wrongWire(field: Field): OnnxFormatError {
  return new OnnxFormatError(
    `This is not a readable ONNX file (field ${field.number} at byte ${field.offset} has wire ` +
      `type ${field.wire}).`,
  );
}

const utf8 = new TextDecoder();

function text(field: LoadedField): string {
  assertDelimited(field);
  return utf8.decode(field.bytes);
}

/** One varint as a number; beyond 2⁵³ it is rounded. */
function int(field: LoadedField): number {
  if (field.wire !== WireType.Varint) throw wrongWire(field);
  return Number(new BinaryReader(field.bytes).int64());
}

/** Repeated varints, packed or one by one. */
function intsOf(field: LoadedField): bigint[] {
  if (field.wire !== WireType.Varint) assertDelimited(field);
  const reader = new BinaryReader(field.bytes);
  const values: bigint[] = [];
  while (reader.pos < reader.len) values.push(BigInt(reader.int64()));
  return values;
}

function floatsOf(field: LoadedField): number[] {
  if (field.wire !== WireType.Bit32) assertDelimited(field);
  const reader = new BinaryReader(field.bytes);
  const values: number[] = [];
  while (reader.pos < reader.len) values.push(reader.float());
  return values;
}

function doublesOf(field: LoadedField): number[] {
  if (field.wire !== WireType.Bit64) assertDelimited(field);
  const reader = new BinaryReader(field.bytes);
  const values: number[] = [];
  while (reader.pos < reader.len) values.push(reader.double());
  return values;
}

/** `push(...values)` overflows the stack on long arrays. */
function append<T>(target: T[], values: readonly T[]): void {
  for (const value of values) target.push(value);
}
