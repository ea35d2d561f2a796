/** Tensors laid out as external data of a new model, read piece by piece. */
import { float16ToFloat32 } from '../float16';
import { aligned, type ModelFiles, readTensor, sliceRows, type TensorRef } from '../decoder/tensor';

/** A chunk grows no further than this, but for a tensor that is larger by itself. */
const CHUNK_BYTES = 2 ** 30;
/** Tensors start at multiples of this: a cache line, and whole elements of every type. */
const ALIGNMENT = 64;
/** Bytes that are read at a time. */
const PIECE_BYTES = 16 * 2 ** 20;

export interface Place {
  location: string;
  offset: number;
}

export interface Chunk {
  location: string;
  size: number;
  tensors: { ref: TensorRef; offset: number }[];
}

/** Where each tensor goes; allocates nothing. */
export function planChunks(
  refs: readonly TensorRef[],
  bytesOf: (ref: TensorRef) => number,
  chunkBytes = CHUNK_BYTES,
): { places: Map<TensorRef, Place>; chunks: Chunk[] } {
  const places = new Map<TensorRef, Place>();
  const chunks: Chunk[] = [];
  let chunk: Chunk | undefined;
  for (const ref of refs) {
    const bytes = bytesOf(ref);
    let offset = chunk ? Math.ceil(chunk.size / ALIGNMENT) * ALIGNMENT : 0;
    if (!chunk || offset + bytes > chunkBytes) {
      chunk = { location: `widened_${chunks.length}`, size: 0, tensors: [] };
      chunks.push(chunk);
      offset = 0;
    }
    chunk.tensors.push({ ref, offset });
    chunk.size = offset + bytes;
    places.set(ref, { location: chunk.location, offset });
  }
  return { places, chunks };
}

/** A tensor's bytes, float16 as float32, in order. `offset` counts from the widened tensor's start. */
export async function* widenedTensor(
  ref: TensorRef,
  files: ModelFiles,
): AsyncGenerator<{ offset: number; bytes: Uint8Array }> {
  const half = ref.dataType === 'float16';
  for (let start = 0; start < ref.byteLength; start += PIECE_BYTES) {
    const length = Math.min(PIECE_BYTES, ref.byteLength - start);
    const bytes = await readTensor(sliceRows(ref, ref.byteLength, start, length), files);
    if (half) {
      const { buffer } = float16ToFloat32(new Uint16Array(aligned(bytes)));
      yield { offset: 2 * start, bytes: new Uint8Array(buffer) };
    } else {
      yield { offset: start, bytes };
    }
  }
}
