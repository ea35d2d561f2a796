/**
 * The protobuf wire format over a {@link ByteSource}: fields are located first and loaded when they
 * are wanted. No size found in the file is allocated before it is known to lie inside the file.
 */
import { BinaryReader, type BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import type { ByteSource } from '../byte-source';
import { OnnxFormatError } from './errors';

/** A node larger than this is no node of a decoder (its tensors are initializers). */
const MAX_FIELD_BYTES = 64 * 2 ** 20;
const WINDOW_BYTES = 64 * 2 ** 10;
/** Longest tag plus length or value: 5 + 10 bytes. */
const MAX_HEAD_BYTES = 15;

export interface Field {
  number: number;
  wire: WireType;
  /** Where the value starts in the file. */
  offset: number;
  length: number;
}

export interface LoadedField extends Field {
  bytes: Uint8Array;
}

/** A small read-ahead over the file, as fields are many and short. */
export class FieldReader {
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

export function* scan(message: LoadedField): Generator<LoadedField> {
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

export function assertDelimited(field: Field): void {
  if (field.wire !== WireType.LengthDelimited) throw wrongWire(field);
}

function wrongWire(field: Field): OnnxFormatError {
  return new OnnxFormatError(
    `This is not a readable ONNX file (field ${field.number} at byte ${field.offset} has wire ` +
      `type ${field.wire}).`,
  );
}

const utf8 = new TextDecoder();

export function text(field: LoadedField): string {
  assertDelimited(field);
  return utf8.decode(field.bytes);
}

/** One varint as a number; beyond 2⁵³ it is rounded. */
export function int(field: LoadedField): number {
  if (field.wire !== WireType.Varint) throw wrongWire(field);
  return Number(new BinaryReader(field.bytes).int64());
}

/** Repeated varints, packed or one by one. */
export function intsOf(field: LoadedField): bigint[] {
  if (field.wire !== WireType.Varint) assertDelimited(field);
  const reader = new BinaryReader(field.bytes);
  const values: bigint[] = [];
  while (reader.pos < reader.len) values.push(BigInt(reader.int64()));
  return values;
}

export function floatsOf(field: LoadedField): number[] {
  if (field.wire !== WireType.Bit32) assertDelimited(field);
  const reader = new BinaryReader(field.bytes);
  const values: number[] = [];
  while (reader.pos < reader.len) values.push(reader.float());
  return values;
}

export function doublesOf(field: LoadedField): number[] {
  if (field.wire !== WireType.Bit64) assertDelimited(field);
  const reader = new BinaryReader(field.bytes);
  const values: number[] = [];
  while (reader.pos < reader.len) values.push(reader.double());
  return values;
}

/** `push(...values)` overflows the stack on long arrays. */
export function append<T>(target: T[], values: readonly T[]): void {
  for (const value of values) target.push(value);
}

/** Writes a field as it was read, its number and wire type included. */
export function writeField(to: BinaryWriter, { number, wire, bytes }: LoadedField): void {
  to.tag(number, wire);
  if (wire === WireType.LengthDelimited) to.bytes(bytes);
  else to.raw(bytes);
}
