/** The files of one model, wherever they lie: what every loader hands to runtime and trainer. */
import { blobSource, type ByteSource } from '../../formats/byte-source';
import { DownloadError } from './errors';

/** Where bytes are kept: the origin's file system, the Cache API, a person's folder, or nowhere. */
export type Stored = 'opfs' | 'cache' | 'folder' | 'memory';

export interface ModelFileSet {
  /**
   * 16 hex digits that name exactly these bytes: a bundled model's manifest id, else the first
   * digits of the sha256 over the sorted lines `path sha256`.
   */
  id: string;
  /** For people: `organisation/name`, the name of a bundled model or of a folder. */
  label: string;
  /** The commit that hub files were pinned to. */
  revision: string | null;
  /** By path: `config.json`, `tokenizer.json`, `onnx/model_q4.onnx`, `onnx/model_q4.onnx_data`. */
  files: ReadonlyMap<string, ByteSource>;
  /** Bytes of all files. */
  bytes: number;
  /** True where no model file was downloaded. */
  fromCache: boolean;
  stored: Stored;
  /** To be sent to another worker, which opens it with {@link adoptShared}: Blobs are not copied. */
  share(): SharedFileSet;
  /** Says that nobody reads any more: until then the stored model cannot be deleted. */
  close(): void;
}

/** A {@link ModelFileSet} that can be posted to another worker. */
export interface SharedFileSet extends Pick<
  ModelFileSet,
  'id' | 'label' | 'revision' | 'bytes' | 'fromCache' | 'stored'
> {
  blobs: ReadonlyMap<string, Blob>;
}

/** Opens what {@link ModelFileSet.share} handed over; `close` then frees nothing elsewhere. */
export function adoptShared(shared: SharedFileSet, close: () => void = () => {}): ModelFileSet {
  const { blobs, ...rest } = shared;
  const files = new Map([...blobs].map(([path, blob]) => [path, blobSource(blob)] as const));
  return { ...rest, files, share: () => shared, close };
}

/** All bytes of one file. @throws DownloadError where the model has no such file. */
export async function readFile(model: ModelFileSet, path: string): Promise<Uint8Array> {
  const source = model.files.get(path);
  if (!source) throw new DownloadError(`The model ${model.label} has no file ${path}.`);
  return source.read(0, source.size);
}

/** JSON of one file. @throws DownloadError where it is missing or not JSON. */
export async function readJson(model: ModelFileSet, path: string): Promise<unknown> {
  const bytes = await readFile(model, path);
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw new DownloadError(`${path} of ${model.label} is not JSON.`, { cause });
  }
}
