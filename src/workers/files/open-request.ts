/** What every worker does first: opens the model that a page asked for. */
import { sourceText } from '../../formats/source-text';
import { adoptShared, type ModelFileSet, openModel } from './open-model';
import { tryTokenizerOf } from './tokenizer-trial';
import type { ModelRequest, OpenedModel, Progress } from '../wire/protocol';

export interface Opened {
  files: ModelFileSet;
  about: OpenedModel;
}

/**
 * @throws DownloadError, IntegrityError, ManifestError, UnsupportedModelError, TokenizerError; the
 *   signal's reason
 */
export async function openRequested(
  { source, baseUrl, folder, token, shared }: ModelRequest,
  signal: AbortSignal,
  onProgress: (progress: Progress) => void,
): Promise<Opened> {
  const files = shared
    ? adoptShared(shared)
    : await openModel(source, {
        baseUrl,
        signal,
        onProgress,
        ...(folder ? { folder } : {}),
        ...(token ? { token } : {}),
      });
  if (!shared && source.kind !== 'bundled') await trial(files, signal);
  const { id, label, bytes, revision, stored } = files;
  // The commit that was opened: another day the branch may be elsewhere.
  const pinned = source.kind === 'hub' && revision ? { ...source, revision } : source;
  return { files, about: { modelId: id, label, bytes, stored, text: sourceText(pinned) } };
}

/** A tokenizer of somebody else's: what has shown that it comes to an end is read by this worker. */
async function trial(files: ModelFileSet, signal: AbortSignal): Promise<void> {
  try {
    await tryTokenizerOf(files, signal);
  } catch (error) {
    files.close();
    throw error;
  }
}
