/**
 * The protobuf wire format over a {@link ByteSource}: fields are located first and loaded when they
 * are wanted. No size found in the file is allocated before it is known to lie inside the file, and
 * a {@link Budget} ends the reading of files that are made of more parts than any decoder is.
 */
import { BinaryReader, type BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import type { ByteSource } from '../byte-source';
import { OnnxFormatError } from './errors';

/** A node larger than this is no node of a decoder (its tensors are initializers). */
const MAX_FIELD_BYTES = 64 * 2 ** 20;
const WINDOW_BYTES = 64 * 2 ** 10;
/** Longest tag plus length or value: 5 + 10 bytes. */
const MAX_HEAD_BYTES = 15;
/** Fields of all messages and values of all attributes: eighty layers of primitives have 300,000. */
const MAX_PARTS = 2 ** 19;
/** Values of tensors that are not raw data, which are kept in memory. */
const MAX_INLINE_BYTES = 256 * 2 ** 20;
/** PyTorch's names of nested modules have hundreds of bytes. */
const MAX_NAME_BYTES = 4096;

/** What one reading of a file may still take. */
export class Budget {
  private parts = 0;
  private inline = 0;

  /** @throws OnnxFormatError where the file has more parts than any decoder */
  takeParts(count: number): void {
    this.parts += count;
    if (this.parts <= MAX_PARTS) return;
    throw unreadable(`it has more than ${MAX_PARTS} parts, which no decoder has`);
  }

  /** Called before `bytes` are allocated. @throws OnnxFormatError */
  takeInline(bytes: number): void {
    this.inline += bytes;
    if (this.inline <= MAX_INLINE_BYTES) return;
    throw unreadable(
      `its tensors that are no raw data take more than ${MAX_INLINE_BYTES / 2 ** 20} MiB`,
    );
  }
}

export interface Field {
  number: number;
  wire: WireType;
  /** Where the value starts in the file. */
  offset: number;
  length: number;
}

export interface LoadedField extends Field {
  bytes: Uint8Array;
  /** That of the file. */
  budget: Budget;
}

export function unreadable(reason: string, options?: ErrorOptions): OnnxFormatError {
  return new OnnxFormatError(`This is not a readable ONNX file (${reason}).`, options);
}

/** The wire library reports malformed bytes as RangeError or Error with terse texts. */
function decode<T>(read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw unreadable(cause instanceof Error ? cause.message : 'malformed bytes', { cause });
  }
}

/** A small read-ahead over the file, as fields are many and short. */
export class FieldReader {
  private readonly budget = new Budget();
  private start = 0;
  private bytes = new Uint8Array(0);

  constructor(private readonly source: ByteSource) {}

  get size(): number {
    return this.source.size;
  }

  private async read(offset: number, length: number): Promise<Uint8Array> {
    if (length > WINDOW_BYTES) return this.source.read(offset, length);
    const held = this.held(offset, length);
    if (held) return held;
    const ahead = Math.min(WINDOW_BYTES, this.source.size - offset);
    this.bytes = new Uint8Array(await this.source.read(offset, ahead));
    this.start = offset;
    return this.bytes.subarray(0, length);
  }

  private held(offset: number, length: number): Uint8Array | null {
    const at = offset - this.start;
    const isHeld = at >= 0 && at + length <= this.bytes.byteLength;
    return isHeld ? this.bytes.subarray(at, at + length) : null;
  }

  /** The fields of the message that lies in [start, end), without their values. */
  async *fields(start: number, end: number): AsyncGenerator<Field> {
    let position = start;
    while (position < end) {
      this.budget.takeParts(1);
      const headBytes = Math.min(MAX_HEAD_BYTES, end - position);
      const head = this.held(position, headBytes) ?? (await this.read(position, headBytes));
      const field = readHead(head, position, end);
      yield field;
      position = field.offset + field.length;
    }
  }

  async load(field: Field): Promise<LoadedField> {
    const { number, wire, offset, length } = field;
    if (length > MAX_FIELD_BYTES) {
      throw unreadable(`a field of ${length} bytes that is no weight`);
    }
    const bytes = this.held(offset, length) ?? (await this.read(offset, length));
    // Name by name: spreading `field` takes most of the time of a file of very many parts.
    return { number, wire, offset, length, bytes, budget: this.budget };
  }
}

/** Lengths lie below 2³², tags too. */
const MAX_VARINT_BYTES = 5;
/** Of negative numbers. */
const MAX_VALUE_BYTES = 10;

/** By hand: a reader object for each of a million fields takes seconds. */
function readHead(head: Uint8Array, position: number, end: number): Field {
  const tagBytes = varintBytes(head, 0, MAX_VARINT_BYTES);
  const tag = varint(head, 0, tagBytes);
  const number = Math.floor(tag / 8);
  const wire = tag % 8;
  if (number === 0 || tag >= 2 ** 32) throw unreadable(`illegal tag ${tag} at byte ${position}`);
  let headBytes = tagBytes;
  let length: number;
  if (wire === WireType.LengthDelimited) {
    headBytes += varintBytes(head, tagBytes, MAX_VARINT_BYTES);
    length = varint(head, tagBytes, headBytes);
  } else if (wire === WireType.Varint) {
    length = varintBytes(head, tagBytes, MAX_VALUE_BYTES);
  } else if (wire === WireType.Bit32) length = 4;
  else if (wire === WireType.Bit64) length = 8;
  else throw unreadable(`wire type ${wire} at byte ${position}`);
  const offset = position + headBytes;
  if (offset + length > end) {
    throw unreadable(
      `it is cut or damaged: a field at byte ${position} ends at ${offset + length}, beyond ${end}`,
    );
  }
  return { number, wire, offset, length };
}

/** How many bytes the varint at `start` has. */
function varintBytes(bytes: Uint8Array, start: number, most: number): number {
  for (let i = 0; i < most && start + i < bytes.byteLength; i++) {
    if (bytes[start + i]! < 0x80) return i + 1;
  }
  throw unreadable('it is cut or damaged: a number does not end');
}

/** The varint in [start, end), below 2³⁵. */
function varint(bytes: Uint8Array, start: number, end: number): number {
  let value = 0;
  for (let i = end - 1; i >= start; i--) value = value * 128 + (bytes[i]! & 0x7f);
  return value;
}

export function* scan(message: LoadedField): Generator<LoadedField> {
  assertDelimited(message);
  const { bytes, offset: base, budget } = message;
  let position = 0;
  while (position < bytes.byteLength) {
    budget.takeParts(1);
    const head = bytes.subarray(position, position + MAX_HEAD_BYTES);
    const field = readHead(head, base + position, base + bytes.byteLength);
    const start = field.offset - base;
    position = start + field.length;
    const { number, wire, offset, length } = field;
    yield { number, wire, offset, length, bytes: bytes.subarray(start, position), budget };
  }
}

export function assertDelimited(field: Field): void {
  if (field.wire !== WireType.LengthDelimited) throw wrongWire(field);
}

function wrongWire({ number, offset, wire }: Field): OnnxFormatError {
  return unreadable(`field ${number} at byte ${offset} has wire type ${wire}`);
}

const utf8 = new TextDecoder();

export function text(field: LoadedField): string {
  assertDelimited(field);
  return utf8.decode(field.bytes);
}

/** A text that may stand in a sentence: of a node, a tensor, an operator, a file. */
export function name(field: LoadedField): string {
  if (field.length > MAX_NAME_BYTES) throw unreadable(`it has a name of ${field.length} bytes`);
  return text(field);
}

/** One varint as a number; beyond 2⁵³ it is rounded. */
export function int(field: LoadedField): number {
  if (field.wire !== WireType.Varint) throw wrongWire(field);
  return decode(() => Number(new BinaryReader(field.bytes).int64()));
}

/** How values of a repeated field lie, packed or one by one. */
const WIRES = {
  varint: { wire: WireType.Varint, bytes: null },
  float: { wire: WireType.Bit32, bytes: 4 },
  double: { wire: WireType.Bit64, bytes: 8 },
} as const;
export type Values = keyof typeof WIRES;

/** How many values a field of a repeated number has, without decoding them. */
export function countOf(field: LoadedField, values: Values): number {
  const { wire, bytes: each } = WIRES[values];
  if (field.wire !== wire) assertDelimited(field);
  const { bytes } = field;
  if (each !== null) {
    if (bytes.byteLength % each !== 0) throw unreadable('a list of numbers ends inside one');
    return bytes.byteLength / each;
  }
  let count = 0;
  for (let i = 0; i < bytes.byteLength; i++) if (bytes[i]! < 0x80) count++;
  if (bytes.byteLength > 0 && bytes.at(-1)! >= 0x80) {
    throw unreadable('a list of numbers ends inside one');
  }
  return count;
}

/** The numbers of a repeated field of an attribute or a shape, which are few. */
export function numbersOf(field: LoadedField, values: 'varint' | 'float'): number[] {
  const count = countOf(field, values);
  field.budget.takeParts(count);
  const reader = new BinaryReader(field.bytes);
  return decode(() =>
    Array.from({ length: count }, () =>
      values === 'float' ? reader.float() : Number(reader.int64()),
    ),
  );
}

/** Hands every value of a repeated number field to `take`. */
export function decodeValues(field: LoadedField, take: (reader: BinaryReader) => void): void {
  const reader = new BinaryReader(field.bytes);
  decode(() => {
    while (reader.pos < reader.len) take(reader);
  });
}

/** `push(...values)` overflows the stack on long arrays. */
export function append<T>(target: T[], values: readonly T[]): void {
  for (const value of values) target.push(value);
}

/** Writes a field as it was read, its number and wire type included. */
export function writeField(
  to: BinaryWriter,
  { number, wire, bytes }: Pick<LoadedField, 'number' | 'wire' | 'bytes'>,
): void {
  to.tag(number, wire);
  if (wire === WireType.LengthDelimited) to.bytes(bytes);
  else to.raw(bytes);
}
