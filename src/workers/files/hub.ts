/**
 * What a hub's repository holds at one commit: names, sizes and hashes, without their bytes.
 *
 * A browser follows the redirect of a large file by itself and shows the headers of the last answer
 * only, so the sha256 that the hub sends with its redirect (`x-linked-etag`) is not to be seen. The
 * API lists it; where there is no API (mirrors), the LFS pointer under `/raw/` has it.
 */
import type { HubSource } from '../../formats/model-source';
import { DownloadError, NotFoundError } from './errors';
import { type HubContext, NoAddressError, request } from './request';

export interface RemoteFile {
  path: string;
  /** Null where the server does not say. */
  bytes: number | null;
  /** 64 hex digits, of large files. */
  sha256: string | null;
  /** 40 hex digits, of small files: git's name of the blob. */
  gitSha1: string | null;
}

export interface Listing {
  /** 40 hex digits. */
  commit: string;
  /** Null: the server cannot list; ask for each file. */
  files: readonly RemoteFile[] | null;
  /** As the model card names it: `apache-2.0`; null where it does not. */
  licence: string | null;
}

const COMMIT = /^[0-9a-f]{40}$/;
const SHA256 = /^[0-9a-f]{64}$/;
const LICENCE = /^[\w][\w .,:()+-]{0,63}$/;
const MOST_LICENCES = 3;
const MOST_PAGES = 20;
/** An LFS pointer is about 130 bytes. */
const POINTER_BYTES = 1024;

const encodePath = (path: string) => path.split('/').map(encodeURIComponent).join('/');

/** Address of a file's bytes. */
export function fileUrl(host: string, repo: string, revision: string, path: string): string {
  return `${host}/${repo}/resolve/${encodeURIComponent(revision)}/${encodePath(path)}`;
}

/**
 * The commit of a revision and the files there.
 * @throws GatedModelError, NotFoundError, RateLimitedError, OfflineError, DownloadError
 */
export async function listRepository(
  { repo, revision }: Pick<HubSource, 'repo' | 'revision'>,
  context: HubContext,
): Promise<Listing> {
  try {
    const about = await json(
      await request(`${apiUrl(context, repo)}/revision/${encodeURIComponent(revision)}`, context),
    );
    const commit = record(about)?.sha;
    if (typeof commit === 'string' && COMMIT.test(commit)) {
      return { commit, files: await listFiles(repo, commit, context), licence: licenceOf(about) };
    }
  } catch (error) {
    // No API there: a mirror that serves files only.
    if (!(error instanceof NoAddressError)) throw error;
  }
  return { commit: await commitByFile(repo, revision, context), files: null, licence: null };
}

/** The metadata of a model card have an identifier, several, or `other` and a name of its own. */
function licenceOf(about: unknown): string | null {
  const card = record(record(about)?.cardData);
  const named = card?.license === 'other' ? (card.license_name ?? 'other') : card?.license;
  const names = (Array.isArray(named) ? named : [named]).filter(
    (name): name is string => typeof name === 'string' && LICENCE.test(name),
  );
  return names.length > 0 ? names.slice(0, MOST_LICENCES).join(', ') : null;
}

const apiUrl = ({ host }: HubContext, repo: string) => `${host}/api/models/${repo}`;

/**
 * The files at a commit; null where the server cannot list.
 * @throws what {@link listRepository} does
 */
export async function listFiles(
  repo: string,
  commit: string,
  context: HubContext,
): Promise<RemoteFile[] | null> {
  try {
    return await tree(`${apiUrl(context, repo)}/tree/${commit}?recursive=true`, context);
  } catch (error) {
    if (error instanceof NoAddressError) return null;
    throw error;
  }
}

async function tree(start: string, context: HubContext): Promise<RemoteFile[]> {
  const files: RemoteFile[] = [];
  let url: string | null = start;
  for (let page = 0; url !== null; page++) {
    if (page === MOST_PAGES) {
      // A list that is cut would say of files that they are not there.
      throw new DownloadError(`${start} lists more files than a model has.`);
    }
    const response: Response = await request(url, context);
    const entries = await json(response);
    if (!Array.isArray(entries)) throw new DownloadError(`${url} is not a list of files.`);
    files.push(...entries.flatMap((entry) => remoteFile(entry) ?? []));
    url = nextPage(response, url);
  }
  return files;
}

/** `Link: <address>; rel="next"`, on the same server. */
function nextPage(response: Response, current: string): string | null {
  const next = /<([^>]*)>\s*;\s*rel="?next"?/.exec(response.headers.get('link') ?? '')?.[1];
  if (next === undefined) return null;
  if (URL.canParse(next, current)) return new URL(next, current).href;
  throw new DownloadError(`${current} names a next page that is no address.`);
}

function remoteFile(entry: unknown): RemoteFile | null {
  const fields = record(entry);
  if (fields?.type !== 'file' || typeof fields.path !== 'string') return null;
  const lfs = record(fields.lfs);
  return {
    path: fields.path,
    bytes: size(lfs?.size) ?? size(fields.size),
    sha256: hex(lfs?.oid, SHA256),
    gitSha1: lfs ? null : hex(fields.oid, COMMIT),
  };
}

async function commitByFile(repo: string, revision: string, context: HubContext): Promise<string> {
  const response = await request(fileUrl(context.host, repo, revision, 'config.json'), context);
  await response.body?.cancel();
  const commit = response.headers.get('x-repo-commit') ?? revision;
  if (COMMIT.test(commit)) return commit;
  throw new DownloadError(
    `${new URL(context.host).host} does not say which commit "${revision}" of ${repo} is. Name a commit: ${repo}@<40 digits>.`,
  );
}

/**
 * Size and hash of one file where the server cannot list.
 * @returns null where there is no such file
 */
export async function probeFile(
  repo: string,
  commit: string,
  path: string,
  context: HubContext,
): Promise<RemoteFile | null> {
  const url = fileUrl(context.host, repo, commit, path);
  try {
    const { headers } = await request(url, context, { method: 'HEAD' });
    const tag = hex(plain(headers.get('x-linked-etag') ?? headers.get('etag')), SHA256);
    const length = headers.get('content-encoding') ? null : headers.get('content-length');
    const linked = headers.get('x-linked-size') ?? length;
    const bytes = linked === null ? null : size(Number(linked));
    if (tag !== null) return { path, bytes, sha256: tag, gitSha1: null };
    const pointer = isWeights(path) ? await readPointer(url, context) : null;
    return { path, bytes, sha256: null, gitSha1: null, ...pointer };
  } catch (error) {
    if (error instanceof NotFoundError) return null;
    throw error;
  }
}

/** Under `onnx/` lie weights, whatever a file there is called. */
const isWeights = (path: string) => path.startsWith('onnx/');

/** What git keeps in place of a large file: its sha256 and size. */
async function readPointer(
  url: string,
  context: HubContext,
): Promise<Pick<RemoteFile, 'sha256' | 'bytes'> | null> {
  const raw = url.replace('/resolve/', '/raw/');
  const response = await request(raw, context, {
    headers: { range: `bytes=0-${POINTER_BYTES - 1}` },
  }).catch((error: unknown) => {
    if (error instanceof NotFoundError) return null;
    throw error;
  });
  const text = response && (await firstBytes(response, POINTER_BYTES));
  const sha256 = text && /^oid sha256:([0-9a-f]{64})$/m.exec(text)?.[1];
  const bytes = text && /^size (\d+)$/m.exec(text)?.[1];
  return sha256 && bytes ? { sha256, bytes: Number(bytes) } : null;
}

/** A server that ignores ranges would send the file itself. */
async function firstBytes(response: Response, most: number): Promise<string> {
  // Without content (status 204) there is no body.
  if (!response.body) return '';
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let text = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text;
    text += decoder.decode(value.subarray(0, most), { stream: true });
    if (text.length >= most) {
      await reader.cancel();
      return text;
    }
  }
}

/** @throws DownloadError where a server sends a page for everything */
export async function json(response: Response): Promise<unknown> {
  try {
    return await response.json();
  } catch (cause) {
    throw new DownloadError(`${response.url} is not JSON: the server sent something else.`, {
      cause,
    });
  }
}

/** An ETag without `W/` and quotes. */
export function plain(tag: string | null): string | null {
  return tag?.replace(/^W\//, '').replace(/^"|"$/g, '') ?? null;
}

function hex(value: unknown, pattern: RegExp): string | null {
  return typeof value === 'string' && pattern.test(value) ? value : null;
}

function size(value: unknown): number | null {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : null;
}

function record(value: unknown): Record<string, unknown> | null {
  const isRecord = typeof value === 'object' && value !== null && !Array.isArray(value);
  return isRecord ? (value as Record<string, unknown>) : null;
}
