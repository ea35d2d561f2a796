/** The models that ship with the site, by the common way in. */
import { memorySource } from '../../formats/byte-source';
import { manifestId } from '../../formats/manifest';
import { loadModelFiles } from './model-files';
import type { ModelFileSet, SharedFileSet } from './file-set';
import type { OpenOptions } from './open-options';

/** @throws DownloadError, IntegrityError, ManifestError */
export async function openBundled(
  name: string,
  { baseUrl, signal, onProgress }: OpenOptions,
): Promise<ModelFileSet> {
  const loaded = await loadModelFiles(new URL('models/', baseUrl).href, name, {
    ...(signal ? { signal } : {}),
    ...(onProgress ? { onProgress } : {}),
  });
  const about = {
    id: await manifestId(loaded.manifestBytes),
    label: name,
    revision: null,
    bytes: loaded.bytes,
    fromCache: loaded.fromCache,
    stored: loaded.stored,
  };
  return {
    ...about,
    files: new Map([...loaded.files].map(([path, bytes]) => [path, memorySource(bytes)])),
    share: (): SharedFileSet => ({
      ...about,
      blobs: new Map([...loaded.files].map(([path, bytes]) => [path, new Blob([bytes])])),
    }),
    close: () => {},
  };
}
