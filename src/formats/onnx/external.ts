/**
 * External data: the files beside an ONNX file that hold its weights, by the `location` that it names
 * itself. Exporters choose that name freely: `model.onnx_data`, `model.onnx.data`, `weights/0.bin`.
 */
import type { ByteSource } from '../byte-source';
import type { TensorRef } from '../decoder/tensor';
import { OnnxFormatError } from './errors';
import { type OnnxModel, readOnnx } from './proto';

/** More files than any exporter cuts weights into, one a tensor included. */
const MOST_LOCATIONS = 4096;

/** Every tensor of the graph that has data: initializers, and those in attributes of nodes. */
export function* tensorsOf({ initializers, nodes }: OnnxModel): Generator<TensorRef> {
  yield* initializers.values();
  for (const { attributes } of nodes) {
    for (const attribute of attributes.values()) {
      if (attribute.kind === 'tensor') yield attribute.value;
    }
  }
}

/**
 * The files that a model at `path` of a folder keeps weights in: by the location that it names, the
 * path in that folder, in the order of its tensors.
 * @throws OnnxFormatError where a location leads out of the folder that the model lies in
 */
export function externalFiles(model: OnnxModel, path: string): Map<string, string> {
  const folder = path.slice(0, path.lastIndexOf('/') + 1);
  const files = new Map<string, string>();
  for (const { name, storage } of tensorsOf(model)) {
    if (storage.kind !== 'external' || files.has(storage.location)) continue;
    files.set(storage.location, folder + inner(storage.location, name));
    if (files.size > MOST_LOCATIONS) {
      throw new OnnxFormatError(`${path} keeps its weights in more than ${MOST_LOCATIONS} files.`);
    }
  }
  return files;
}

/** {@link externalFiles} of a file that has not been read. @throws OnnxFormatError */
export async function readExternalFiles(source: ByteSource, path: string): Promise<string[]> {
  return [...new Set(externalFiles(await readOnnx(source), path).values())];
}

/** A relative POSIX path without `.` and `..`, as the ONNX specification asks for. */
function inner(location: string, tensor: string): string {
  const parts: string[] = [];
  let isInside = !/^\/|^[A-Za-z]:|[\\\p{Cc}]/u.test(location);
  for (const part of location.split('/')) {
    if (part === '' || part === '.') continue;
    if (part !== '..') parts.push(part);
    else if (parts.pop() === undefined) isInside = false;
  }
  if (isInside && parts.length > 0) return parts.join('/');
  throw new OnnxFormatError(
    `The model keeps "${tensor}" in "${location}", which is no file in the folder of the model.`,
  );
}
