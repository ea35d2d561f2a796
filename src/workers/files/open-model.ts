/** One way to a model's files, wherever they come from; workers call nothing else. */
import type { ModelSource } from '../../formats/model-source';
import { openBundled } from './bundled';
import { BROWSER, type FilesEnvironment } from './environment';
import type { ModelFileSet } from './file-set';
import { openFolder } from './folder';
import { openHub } from './open-hub';
import type { OpenOptions } from './open-options';

export type { ModelFileSet, SharedFileSet } from './file-set';
export { adoptShared, readFile, readJson } from './file-set';

/**
 * Opens a model's files: from storage where they are complete, else by downloading, checking and
 * keeping them. Workers that open one model at the same time download it once.
 * @throws DownloadError, IntegrityError, ManifestError, UnsupportedModelError; the signal's reason
 */
export async function openModel(
  source: ModelSource,
  options: OpenOptions,
  environment: FilesEnvironment = BROWSER,
): Promise<ModelFileSet> {
  switch (source.kind) {
    case 'bundled':
      return openBundled(source.name, options);
    case 'hub':
      return openHub(source, options, environment);
    case 'folder':
      return openFolder(source.name, options);
  }
}
