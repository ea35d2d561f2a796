/** TensorProto and StringStringEntryProto: what a tensor is and where its bytes lie. */
import { OnnxFormatError } from './errors';
import {
  type ElementType,
  tensorBytes,
  type TensorRef,
  type TensorStorage,
} from '../decoder/tensor';
import { elementTypeOf } from './data-type';
import {
  append,
  assertDelimited,
  countOf,
  decodeValues,
  type Field,
  type FieldReader,
  int,
  type LoadedField,
  name,
  numbersOf,
  scan,
  text,
  type Values,
} from './wire';

/** No runtime takes tensors of more dimensions. */
const MAX_RANK = 32;

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

/** One key and value, which may be as long as `read` lets it be. */
export function readEntry(message: LoadedField, read = text): [string, string] {
  let key = '';
  let value = '';
  for (const field of scan(message)) {
    if (field.number === 1) key = name(field);
    else if (field.number === 2) value = read(field);
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
  private readonly values: LoadedField[] = [];

  /** Takes raw_data (field 9) with its bytes only where they are few. */
  accept(field: Field | LoadedField): void {
    if (field.number === 9) {
      assertDelimited(field);
      this.raw = { offset: field.offset, length: field.length };
      if ('bytes' in field && field.length <= INLINE_BYTES) this.raw.bytes = field.bytes.slice();
      return;
    }
    if (!('bytes' in field)) return;
    if (field.number === 1) {
      append(this.dims, numbersOf(field, 'varint'));
      if (this.dims.length > MAX_RANK) {
        throw new OnnxFormatError(`A tensor has ${this.dims.length} dimensions.`);
      }
    } else if (field.number === 2) this.dataType = int(field);
    else if (VALUE_FIELDS.has(field.number)) this.values.push(field);
    else if (field.number === 8) this.name = name(field);
    else if (field.number === 13) this.external.set(...readEntry(field, name));
    else if (field.number === 14) this.isExternal = int(field) === 1;
  }

  finish(): TensorRef {
    const { name, dims, dataType } = this;
    if (dims.some((dim) => !Number.isSafeInteger(dim) || dim < 0)) {
      throw new OnnxFormatError(`Tensor "${name}" has impossible dimensions [${dims.join(', ')}].`);
    }
    const type = elementTypeOf(name, dataType);
    const byteLength = tensorBytes(dims, type);
    if (!Number.isSafeInteger(byteLength)) {
      throw new OnnxFormatError(`Tensor "${name}" has impossible dimensions [${dims.join(', ')}].`);
    }
    const storage = this.storage(type, byteLength);
    return { name, dims, dataType: type, byteLength, storage };
  }

  /** Before anything of that size is allocated. */
  private assertLength(found: number, byteLength: number): void {
    if (found === byteLength) return;
    throw new OnnxFormatError(
      `Tensor "${this.name}" has ${found} bytes of data; its shape needs ${byteLength}.`,
    );
  }

  private storage(type: ElementType, byteLength: number): TensorStorage {
    if (this.isExternal) {
      const number = (key: string, otherwise: number): number => {
        const written = this.external.get(key);
        const value = written === undefined ? otherwise : Number(written);
        if (!Number.isSafeInteger(value) || value < 0) {
          throw new OnnxFormatError(`Tensor "${this.name}" has an external ${key} of ${written}.`);
        }
        return value;
      };
      this.assertLength(number('length', byteLength), byteLength);
      const location = this.external.get('location') ?? '';
      return { kind: 'external', location, offset: number('offset', 0) };
    }
    if (this.raw) {
      const { bytes, length, offset } = this.raw;
      this.assertLength(length, byteLength);
      return bytes ? { kind: 'inline', bytes } : { kind: 'model', offset };
    }
    return { kind: 'inline', bytes: this.valueBytes(type, byteLength) };
  }

  /** The typed value fields as the little-endian bytes that raw_data would have held. */
  private valueBytes(type: ElementType, byteLength: number): Uint8Array {
    const { number, values, array } = typedAs(type);
    const fields = this.values.filter((field) => field.number === number);
    const count = fields.reduce((sum, field) => sum + countOf(field, values), 0);
    this.assertLength(count * array.BYTES_PER_ELEMENT, byteLength);
    fields[0]?.budget.takeInline(byteLength);
    const typed = new array(count);
    let at = 0;
    for (const field of fields) {
      decodeValues(field, (reader) => {
        if (values === 'float') typed[at++] = reader.float();
        else if (values === 'double') typed[at++] = reader.double();
        else if (typed instanceof BigInt64Array) typed[at++] = BigInt(reader.int64());
        else typed[at++] = reader.int32();
      });
    }
    return new Uint8Array(typed.buffer);
  }
}

/** float_data, int32_data, int64_data, double_data and uint64_data. */
const VALUE_FIELDS = new Set([4, 5, 7, 10, 11]);

interface Typed {
  number: number;
  values: Values;
  array:
    | Float32ArrayConstructor
    | Float64ArrayConstructor
    | BigInt64ArrayConstructor
    | Int32ArrayConstructor
    | Int16ArrayConstructor
    | Uint8ArrayConstructor;
}

/** Which field holds the values of a type, as onnx.proto says, and what they are in memory. */
function typedAs(dataType: ElementType): Typed {
  switch (dataType) {
    case 'float32':
      return { number: 4, values: 'float', array: Float32Array };
    case 'float64':
      return { number: 10, values: 'double', array: Float64Array };
    case 'int64':
      return { number: 7, values: 'varint', array: BigInt64Array };
    case 'uint64':
      return { number: 11, values: 'varint', array: BigInt64Array };
    case 'uint32':
      return { number: 11, values: 'varint', array: Int32Array };
    case 'int32':
      return { number: 5, values: 'varint', array: Int32Array };
    case 'float16':
    case 'bfloat16':
    case 'int16':
    case 'uint16':
      return { number: 5, values: 'varint', array: Int16Array };
    default:
      // Bytes, or two values of four bits in each.
      return { number: 5, values: 'varint', array: Uint8Array };
  }
}
