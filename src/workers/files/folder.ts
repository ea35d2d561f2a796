/** A model in a folder that a person dropped or picked: read where it lies, never copied. */
import { blobSource } from '../../formats/byte-source';
import { type Dtype, dtypeOf } from '../../formats/model-source';
import { readExternalFiles } from '../../formats/onnx/external';
import { UnsupportedModelError } from '../../formats/decoder/errors';
import { blobSet } from './blob-set';
import { CONFIG, isRequired, SMALL_FILES } from './choose';
import type { ModelFileSet } from './file-set';
import { idOfFiles, sha256OfBlob } from './hash';
import type { OpenOptions } from './open-options';

/** Which weights to take where a folder has several: those that train, the smaller number first. */
const PREFERRED: readonly Dtype[] = ['q4', 'q4f16', 'q8', 'fp16', 'fp32'];

/**
 * Finds config, tokenizer and weights wherever in the folder they are, and names them as a hub
 * repository would.
 * @throws UnsupportedModelError that names what is missing; the signal's reason
 */
export async function openFolder(
  name: string,
  { folder = [], signal, onProgress }: OpenOptions,
): Promise<ModelFileSet> {
  const found = await findModel(name, folder);
  const total = [...found.values()].reduce((sum, { size }) => sum + size, 0);
  const hashes: { path: string; sha256: string }[] = [];
  let done = 0;
  for (const [path, file] of found) {
    const sha256 = await sha256OfBlob(file, signal, (bytes) => {
      done += bytes;
      onProgress?.({ phase: 'verify', done, total, unit: 'bytes', fromCache: true });
    });
    hashes.push({ path, sha256 });
  }
  const id = await idOfFiles(hashes);
  // The person's own disk: nothing was fetched, and nothing is kept by us.
  return blobSet({ id, label: name, revision: null, fromCache: true, stored: 'folder' }, found);
}

/** Where a file lies inside what was dropped. */
function pathOf(file: File): string {
  return file.webkitRelativePath || file.name;
}

const parentOf = (path: string) => path.slice(0, path.lastIndexOf('/') + 1);
const nameOf = (path: string) => path.slice(path.lastIndexOf('/') + 1);

async function findModel(name: string, folder: readonly File[]): Promise<Map<string, File>> {
  const byPath = new Map(folder.map((file) => [pathOf(file), file]));
  const paths = [...byPath.keys()].sort(
    (a, b) => a.split('/').length - b.split('/').length || a.localeCompare(b, 'en'),
  );
  const candidates = paths.filter((path) => dtypeOf(path) !== null);
  const onnx = PREFERRED.flatMap((dtype) =>
    candidates.filter((path) => dtypeOf(path) === dtype),
  )[0];
  if (onnx === undefined) throw missing(name, 'model_q4.onnx', paths);
  // Beside the weights, or in a folder above them.
  const beside = parentOf(onnx);
  const places = [beside.replace(/(^|\/)onnx\/$/, '$1'), beside];
  const entries: [string, File][] = [];
  for (const small of SMALL_FILES) {
    const path = places.map((place) => `${place}${small}`).find((p) => byPath.has(p));
    if (path !== undefined) entries.push([small, byPath.get(path)!]);
    else if (isRequired(small)) throw missing(name, small, paths);
  }
  const found = new Map(entries);
  await requireJson(found.get(CONFIG)!);
  const weights = `onnx/${nameOf(onnx)}`;
  found.set(weights, byPath.get(onnx)!);
  for (const path of await readExternalFiles(blobSource(found.get(weights)!), weights)) {
    const data = byPath.get(beside + path.slice('onnx/'.length));
    if (!data) {
      throw missing(name, path.slice('onnx/'.length), paths, `${onnx} keeps its weights there.`);
    }
    found.set(path, data);
  }
  return found;
}

function missing(
  name: string,
  file: string,
  paths: readonly string[],
  advice = 'Choose a folder with config.json, tokenizer.json, tokenizer_config.json and onnx/model_q4.onnx.',
): UnsupportedModelError {
  const there = paths.length > 0 ? `It has ${paths.slice(0, 8).join(', ')}` : 'It is empty';
  const more = paths.length > 8 ? ` and ${paths.length - 8} more files` : '';
  return new UnsupportedModelError(`The folder ${name} has no ${file}. ${there}${more}. ${advice}`);
}

async function requireJson(file: File): Promise<void> {
  try {
    JSON.parse(await file.text());
  } catch (cause) {
    throw new UnsupportedModelError(`${pathOf(file)} is not JSON.`, { cause });
  }
}
