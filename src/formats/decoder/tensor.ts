import { type ByteSource, ByteSourceError } from '../byte-source';
import { float16ToFloat32 } from '../float16';
import { TensorError } from './errors';

/** Bits of one element, by the types that appear in decoder files. */
const BITS = {
  float32: 32,
  uint8: 8,
  int8: 8,
  uint16: 16,
  int16: 16,
  int32: 32,
  int64: 64,
  bool: 8,
  float16: 16,
  float64: 64,
  uint32: 32,
  uint64: 64,
  bfloat16: 16,
  uint4: 4,
  int4: 4,
} as const;

/** Type of a tensor's elements. */
export type ElementType = keyof typeof BITS;
export const ELEMENT_TYPES = Object.keys(BITS) as ElementType[];

/** Where the little-endian bytes of a tensor are. Offsets count from the start of the file. */
export type TensorStorage =
  | { kind: 'model'; offset: number }
  | { kind: 'external'; location: string; offset: number }
  | { kind: 'inline'; bytes: Uint8Array }
  /** Another tensor's bytes, then zeros up to `byteLength`. */
  | { kind: 'padded'; stored: TensorRef };

/** A tensor that has not been read: what it is and where its bytes lie. */
export interface TensorRef {
  readonly name: string;
  readonly dims: readonly number[];
  readonly dataType: ElementType;
  readonly byteLength: number;
  readonly storage: TensorStorage;
}

/** The model file and, by the location written in it, its external data files. */
export interface ModelFiles {
  readonly model: ByteSource;
  readonly external: ReadonlyMap<string, ByteSource>;
}

/** Elements of a tensor of these dimensions; 1 for a scalar. */
export function elementCount(dims: readonly number[]): number {
  return dims.reduce((product, dim) => product * dim, 1);
}

/** Bytes that `dims` of `dataType` take; no safe integer where no file is as long. */
export function tensorBytes(dims: readonly number[], dataType: ElementType): number {
  return Math.ceil((elementCount(dims) * BITS[dataType]) / 8);
}

/**
 * Rows [start, start + count) of a tensor whose first dimension is `rows` (also when it is stored
 * flat): a view, as rows are contiguous.
 */
export function sliceRows(ref: TensorRef, rows: number, start: number, count: number): TensorRef {
  const rowBytes = ref.byteLength / rows;
  if (!Number.isInteger(rowBytes) || start < 0 || count < 0 || start + count > rows) {
    throw new TensorError(
      `Tensor "${ref.name}" cannot give rows ${start} to ${start + count} of ${rows}.`,
    );
  }
  const byteLength = count * rowBytes;
  const shift = start * rowBytes;
  const dims =
    ref.dims[0] === rows
      ? [count, ...ref.dims.slice(1)]
      : [(elementCount(ref.dims) / rows) * count];
  const { storage } = ref;
  if (storage.kind === 'padded') {
    throw new TensorError(`Tensor "${ref.name}" is padded and cannot be cut.`);
  }
  return {
    name: ref.name,
    dims,
    dataType: ref.dataType,
    byteLength,
    storage:
      storage.kind === 'inline'
        ? { kind: 'inline', bytes: storage.bytes.subarray(shift, shift + byteLength) }
        : { ...storage, offset: storage.offset + shift },
  };
}

/** A tensor whose first dimension grows from `rows` to `to` (also when it is flat): rows of zeros. */
export function padRows(ref: TensorRef, rows: number, to: number): TensorRef {
  const grown = (size: number) => (size / rows) * to;
  const [first, ...rest] = ref.dims;
  return {
    ...ref,
    dims: first === rows ? [to, ...rest] : [grown(elementCount(ref.dims))],
    byteLength: grown(ref.byteLength),
    storage: { kind: 'padded', stored: ref },
  };
}

/**
 * Does the file hold what the tensor says it has there? To be asked before anything of a tensor's
 * size is allocated: a file may name any size.
 * @throws ByteSourceError naming the tensor where its file is missing or too short.
 */
export function assertStored(ref: TensorRef, files: ModelFiles): void {
  storedIn(ref, files);
}

/** The file and the place in it that a tensor's bytes come from; null where they are in memory. */
function storedIn(
  { name, byteLength, storage }: TensorRef,
  files: ModelFiles,
): { source: ByteSource; offset: number } | null {
  if (storage.kind === 'inline') return null;
  if (storage.kind === 'padded') return storedIn(storage.stored, files);
  const source = storage.kind === 'model' ? files.model : files.external.get(storage.location);
  if (source === undefined) {
    const location = storage.kind === 'external' ? storage.location : '';
    throw new ByteSourceError(
      `The model keeps "${name}" in the file "${location}", which is missing.`,
    );
  }
  const end = storage.offset + byteLength;
  if (end > source.size) {
    const file = storage.kind === 'external' ? `"${storage.location}"` : 'the model file';
    throw new ByteSourceError(
      `"${name}" ends at byte ${end} of ${file}, which has ${source.size}: is it whole?`,
    );
  }
  return { source, offset: storage.offset };
}

/**
 * The tensor's little-endian bytes; a view where the source gives one.
 * @throws ByteSourceError naming the tensor where its file is missing or too short.
 */
export async function readTensor(ref: TensorRef, files: ModelFiles): Promise<Uint8Array> {
  const { storage, byteLength } = ref;
  if (storage.kind === 'inline') return storage.bytes;
  const stored = storedIn(ref, files);
  if (storage.kind === 'padded') {
    const bytes = new Uint8Array(byteLength);
    bytes.set(await readTensor(storage.stored, files));
    return bytes;
  }
  return stored!.source.read(stored!.offset, byteLength);
}

/** A float32, float16 or bfloat16 tensor as float32, flat in its own order. */
export async function readFloats(ref: TensorRef, files: ModelFiles): Promise<Float32Array> {
  const bytes = await readTensor(ref, files);
  switch (ref.dataType) {
    case 'float32':
      return new Float32Array(aligned(bytes));
    case 'float16':
      return float16ToFloat32(new Uint16Array(aligned(bytes)));
    case 'bfloat16': {
      const words = Uint32Array.from(new Uint16Array(aligned(bytes)), (bits) => bits << 16);
      return new Float32Array(words.buffer);
    }
    default:
      throw new TensorError(
        `Tensor "${ref.name}" has data type ${ref.dataType}; a float type was expected.`,
      );
  }
}

/** A whole copy of its own buffer, so that typed arrays of wider elements can lie over it. */
export function aligned(bytes: Uint8Array): ArrayBuffer {
  const copy = new Uint8Array(bytes.byteLength);
  copy.set(bytes);
  return copy.buffer;
}
