/** TensorProto and StringStringEntryProto: what a tensor is and where its bytes lie. */
import { OnnxFormatError } from './errors';
import { DataType, type TensorRef, type TensorStorage, tensorBytes } from '../decoder/tensor';
import {
  append,
  assertDelimited,
  doublesOf,
  type Field,
  type FieldReader,
  floatsOf,
  int,
  intsOf,
  type LoadedField,
  scan,
  text,
} from './wire';

/** Raw data of at most this is kept: scalars and shapes, which a graph is read by. */
const INLINE_BYTES = 64;

/** A top-level tensor, without loading its data unless that is tiny. */
export async function readInitializer(file: FieldReader, message: Field): Promise<TensorRef> {
  assertDelimited(message);
  const builder = new TensorBuilder();
  for await (const field of file.fields(message.offset, message.offset + message.length)) {
    const large = field.number === 9 && 'length' in field && field.length > INLINE_BYTES;
    builder.accept(large ? field : await file.load(field));
  }
  return builder.finish();
}

/** A tensor inside a message that is loaded already. */
export function readTensorProto(message: LoadedField): TensorRef {
  const builder = new TensorBuilder();
  for (const field of scan(message)) builder.accept(field);
  return builder.finish();
}

/** One key and value. */
export function readEntry(message: LoadedField): [string, string] {
  let key = '';
  let value = '';
  for (const field of scan(message)) {
    if (field.number === 1) key = text(field);
    else if (field.number === 2) value = text(field);
  }
  return [key, value];
}

/** TensorProto fields as they come, then checked and frozen into a {@link TensorRef}. */
class TensorBuilder {
  private name = '';
  private readonly dims: number[] = [];
  private dataType = 0;
  private raw: { offset: number; length: number; bytes?: Uint8Array } | undefined;
  private readonly external = new Map<string, string>();
  private isExternal = false;
  private readonly floats: number[] = [];
  private readonly integers: bigint[] = [];
  private readonly doubles: number[] = [];

  /** Takes raw_data (field 9) with its bytes only where they are few. */
  accept(field: Field | LoadedField): void {
    if (field.number === 9) {
      assertDelimited(field);
      this.raw = { offset: field.offset, length: field.length };
      if ('bytes' in field && field.length <= INLINE_BYTES) this.raw.bytes = field.bytes.slice();
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
    if (this.raw?.bytes) return { kind: 'inline', bytes: this.raw.bytes };
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
