/**
 * Tables of frozen weights on the GPU, in parts that a device can bind: an embedding's rows of tokens,
 * a linear layer's rows of outputs.
 */
import type { DenseLinear, Int4Linear } from '../formats/decoder/linear';
import {
  aligned,
  type ModelFiles,
  readFloats,
  readTensor,
  sliceRows,
  type TensorRef,
} from '../formats/decoder/tensor';
import { readScales } from '../formats/decoder/weights';
import type { Gpu } from '../kernels/gpu/gpu';
import type { Int4Weight } from '../kernels/linear/linear-int4';
import { MemoryPlanError } from './errors';

/** Rows [first, first + rows) of a table or outputs of a layer. */
export interface Part<W> {
  first: number;
  rows: number;
  weight: W;
}

/** Parts begin at multiples of this, so that kernels can write their outputs four at a time. */
const UNIT = 64;

/**
 * Cuts `rows` rows of `rowBytes` into as few equal parts as a binding of `limit` bytes allows.
 * @throws MemoryPlanError where not even one row fits.
 */
export function cutRows(
  label: string,
  rows: number,
  rowBytes: number,
  limit: number,
): Omit<Part<never>, 'weight'>[] {
  const most = Math.floor(limit / rowBytes);
  if (most >= rows) return [{ first: 0, rows }];
  if (most < 1) {
    throw new MemoryPlanError(
      `A row of ${label} takes ${rowBytes} bytes; this device binds at most ${limit}.`,
      rowBytes,
      limit,
    );
  }
  const unit = most >= UNIT ? UNIT : 1;
  const count = Math.ceil(rows / (Math.floor(most / unit) * unit));
  const each = Math.ceil(rows / count / unit) * unit;
  return Array.from({ length: Math.ceil(rows / each) }, (_, i) => ({
    first: i * each,
    rows: Math.min(each, rows - i * each),
  }));
}

/** The tensor of rows [first, first + count) of `rows`, some of which may be padding. */
export function rowsOf(ref: TensorRef, rows: number, first: number, count: number): TensorRef {
  if (count === rows) return ref;
  if (ref.storage.kind !== 'padded') return sliceRows(ref, rows, first, count);
  const { stored } = ref.storage;
  const rowBytes = ref.byteLength / rows;
  const storedRows = stored.byteLength / rowBytes;
  const inside = Math.min(count, Math.max(0, storedRows - first));
  const part = sliceRows(stored, storedRows, Math.min(first, storedRows), inside);
  if (inside === count) return part;
  const storage = { kind: 'padded', stored: part } as const;
  return { ...part, byteLength: count * rowBytes, storage };
}

/** Block-quantised weights, without a bias. */
export async function uploadInt4(
  gpu: Gpu,
  label: string,
  source: Int4Linear,
  files: ModelFiles,
): Promise<Part<Int4Weight>[]> {
  const { inFeatures, outFeatures } = source;
  const { scales, zeroPoints } = await readScales(source, files);
  const blocks = inFeatures / 32;
  const zeroBytes = Math.ceil(blocks / 2);
  const parts: Part<Int4Weight>[] = [];
  for (const { first, rows } of cutRows(label, outFeatures, inFeatures / 2, gpu.bindingBytes)) {
    const end = first + rows;
    const data = await readTensor(rowsOf(source.data, outFeatures, first, rows), files);
    const weight = {
      data: gpu.upload(label, data),
      scales: gpu.upload(`${label} scales`, scales.subarray(first * blocks, end * blocks)),
      zeroPoints: zeroPoints
        ? gpu.upload(
            `${label} zero points`,
            zeroPoints.subarray(first * zeroBytes, end * zeroBytes),
          )
        : undefined,
    };
    parts.push({ first, rows, weight });
  }
  return parts;
}

/** How floats lie on the GPU, and what each takes. */
export type Stored = 'f32' | 'f16';
const BYTES: Readonly<Record<Stored, number>> = { f32: 4, f16: 2 };

/** Halves stay halves where kernels can read them: in rows of whole vec4. */
function storedAs({ dataType }: TensorRef, columns: number): Stored {
  return dataType === 'float16' && columns % 4 === 0 ? 'f16' : 'f32';
}

/** A tensor's numbers as they are to be stored. */
async function readStored(
  ref: TensorRef,
  stored: Stored,
  files: ModelFiles,
): Promise<Float32Array | Uint16Array> {
  return stored === 'f32'
    ? readFloats(ref, files)
    : new Uint16Array(aligned(await readTensor(ref, files)));
}

/** A table of `rows` rows of `columns` floats in a file, cut as the device asks for. */
export async function uploadTable(
  gpu: Gpu,
  label: string,
  data: TensorRef,
  [rows, columns]: readonly [number, number],
  files: ModelFiles,
): Promise<DenseTable> {
  const stored = storedAs(data, columns);
  return cutTable(gpu, label, stored, [rows, columns], (first, count) =>
    readStored(rowsOf(data, rows, first, count), stored, files),
  );
}

async function cutTable(
  gpu: Gpu,
  label: string,
  stored: Stored,
  [rows, columns]: readonly [number, number],
  read: (first: number, rows: number) => Promise<ArrayBufferView>,
): Promise<DenseTable> {
  const parts: Part<GPUBuffer>[] = [];
  const rowBytes = columns * BYTES[stored];
  for (const part of cutRows(label, rows, rowBytes, gpu.bindingBytes)) {
    parts.push({ ...part, weight: gpu.upload(label, await read(part.first, part.rows)) });
  }
  return { kind: 'dense', stored, parts };
}

export interface DenseTable {
  kind: 'dense';
  stored: Stored;
  parts: Part<GPUBuffer>[];
}

/** Tables that are on the GPU already, as an embedding and a tied head share them. */
export type SharedTable = DenseTable | { kind: 'int4'; parts: Part<Int4Weight>[] };

/** A dense layer's weights, or `shared` ones that are there already. */
export async function uploadDense(
  gpu: Gpu,
  label: string,
  source: DenseLinear,
  files: ModelFiles,
  shared: DenseTable | undefined,
): Promise<{ layout: DenseLinear['layout']; table: DenseTable }> {
  const { data, inFeatures, outFeatures } = source;
  if (shared) return { layout: source.layout, table: shared };
  if (source.layout === 'out_in') {
    const table = await uploadTable(gpu, label, data, [outFeatures, inFeatures], files);
    return { layout: 'out_in', table };
  }
  const asItIs = storedAs(data, outFeatures);
  const stored = storedAs(data, inFeatures);
  const fits = inFeatures * outFeatures * BYTES[asItIs] <= gpu.bindingBytes;
  if (fits && BYTES[asItIs] <= BYTES[stored]) {
    const weight = gpu.upload(label, await readStored(data, asItIs, files));
    const parts = [{ first: 0, rows: outFeatures, weight }];
    return { layout: 'in_out', table: { kind: 'dense', stored: asItIs, parts } };
  }
  // Outputs are columns here: they are neighbours, and may be of a number that halves can be read
  // in, only once the matrix is turned.
  const turned = transposed(await readStored(data, stored, files), inFeatures, outFeatures);
  const size = [outFeatures, inFeatures] as const;
  const table = await cutTable(gpu, label, stored, size, (first, rows) =>
    Promise.resolve(turned.subarray(first * inFeatures, (first + rows) * inFeatures)),
  );
  return { layout: 'out_in', table };
}

/** [rows, columns] as [columns, rows]. */
function transposed<T extends Float32Array | Uint16Array>(
  values: T,
  rows: number,
  columns: number,
): T {
  const turned = values.slice() as T;
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      turned[column * rows + row] = values[row * columns + column]!;
    }
  }
  return turned;
}
