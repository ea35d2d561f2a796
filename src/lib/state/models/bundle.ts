/** What ships with the site: where it lies and how large it is. Fetched only when asked for. */
import { KnownError } from '../../../formats/errors';
import { parseDomain, parsePromptItems, type Domain } from '../../../distill/data/dataset';
import type { EvaluationSet, PromptItem } from '../../../distill/types';

export const STUDENT = 'pocket';
/** Everything that the lab loads. */
export const MODELS = [STUDENT, 'guard', 'judge'] as const;
export const RECORDING = 'recordings/pocket-tv.json';

const SETS: Record<Exclude<EvaluationSet, 'custom'>, string> = {
  wording: 'data/wording.jsonl',
  intent: 'data/intent.jsonl',
};

/** A bundled file that could not be had, as a sentence. */
export class BundleError extends KnownError {
  override readonly name = 'BundleError';
  readonly errorCode = 'download';
}

/** Address of the site's root, with a slash at its end; pages work under any sub-path. */
export function siteRoot(base: string): string {
  return new URL(`${base.replace(/\/$/, '')}/`, location.href).href;
}

async function fetchOk(url: string): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url);
  } catch (cause) {
    throw new BundleError(`${url} could not be fetched. Is the site's server still there?`, {
      cause,
    });
  }
  if (!response.ok) throw new BundleError(`${url} is missing (status ${response.status}).`);
  return response;
}

export async function loadSet(
  root: string,
  set: Exclude<EvaluationSet, 'custom'>,
): Promise<PromptItem[]> {
  return parsePromptItems(await (await fetchOk(root + SETS[set])).text());
}

export async function loadDomain(root: string): Promise<Domain> {
  return parseDomain(await (await fetchOk(`${root}data/domain.json`)).json());
}

/** Total bytes that a manifest lists, wherever it keeps them: files as a list or as a map. */
export function manifestBytes(manifest: unknown): number | null {
  if (typeof manifest !== 'object' || manifest === null) return null;
  const { bytes, files } = manifest as { bytes?: unknown; files?: unknown };
  if (typeof files === 'object' && files !== null) {
    const sizes = Object.values(files).map((file: unknown) =>
      typeof file === 'object' && file !== null ? (file as { bytes?: unknown }).bytes : undefined,
    );
    if (sizes.length > 0 && sizes.every((size) => typeof size === 'number')) {
      return sizes.reduce((sum: number, size) => sum + Number(size), 0);
    }
  }
  return typeof bytes === 'number' ? bytes : null;
}
