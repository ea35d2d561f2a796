/** The bundled prompt sets and what ships beside them, as the trainer reads them. */
import { type Domain, parseDomain, parsePromptItems } from '../../distill/data/dataset';
import type { PromptItem } from '../../distill/types';
import { DownloadError } from '../files/errors';
import { download } from '../files/model-files';

export type BundledSet = 'train' | 'wording' | 'intent';

/** @throws DownloadError, DatasetError. */
export async function loadPrompts(
  baseUrl: string,
  set: BundledSet,
  signal?: AbortSignal,
): Promise<PromptItem[]> {
  return parsePromptItems(await text(`${baseUrl}data/${set}.jsonl`, signal));
}

/** @throws DownloadError, DatasetError. */
export async function loadDomain(baseUrl: string, signal?: AbortSignal): Promise<Domain> {
  return parseDomain(JSON.parse(await text(`${baseUrl}data/domain.json`, signal)));
}

/** Guard scores and base samples that ship with a student, unchecked; null where none do. */
export async function loadShippedPrepared(
  baseUrl: string,
  student: string,
  signal?: AbortSignal,
): Promise<unknown> {
  try {
    return JSON.parse(await text(`${baseUrl}data/prepared-${student}.json`, signal));
  } catch (error) {
    if (error instanceof DownloadError || error instanceof SyntaxError) return null;
    throw error;
  }
}

async function text(url: string, signal?: AbortSignal): Promise<string> {
  return new TextDecoder().decode(await download(url, signal));
}
