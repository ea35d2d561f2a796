/**
 * A repository of a hub as a source of a site's model: which of its files are fetched, at which commit,
 * and the fetching, with the downloader that pages use. What is fetched lies on disk under its commit,
 * so a try that was broken off is gone on with, and every byte is hashed in any case.
 */
import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type ErrorCode, KnownError } from '../../src/formats/errors';
import {
  DEFAULT_HUB,
  type Dtype,
  type HubSource,
  onnxPath,
  parseModelSource,
} from '../../src/formats/model-source';
import { parseSourceText } from '../../src/formats/source-text';
import { SMALL_FILES } from '../../src/workers/files/choose';
import { BROWSER, type FilesEnvironment } from '../../src/workers/files/environment';
import { NotFoundError } from '../../src/workers/files/errors';
import {
  fileUrl,
  json,
  type Listing,
  listRepository,
  probeFile,
  type RemoteFile,
} from '../../src/workers/files/hub';
import { filesOf, lookUpMore } from '../../src/workers/files/look-up';
import { DownloadProgress } from '../../src/workers/files/progress';
import { type HubContext, request } from '../../src/workers/files/request';
import { transfer } from '../../src/workers/files/transfer';
import { FileSink } from './file-sink';
import { dataFiles } from './inspect';
import { progressLines } from './progress-lines';

/** What cannot be a source, in a sentence. */
export class HubSourceError extends KnownError {
  override readonly name = 'HubSourceError';
  readonly errorCode: ErrorCode = 'bad-input';
}

/** The engine's weights, the one that every adapter has the arithmetic for first. */
const FOUR_BIT: readonly Dtype[] = ['q4', 'q4f16'];
const TENSORS = 'model.safetensors';
const TENSORS_INDEX = `${TENSORS}.index.json`;
const TENSORS_NAME = /^\w[\w.-]*\.safetensors$/;
/** Names that a manifest may list (src/formats/manifest.ts). */
const INNER_NAME = /^\w[\w.-]*$/;

export interface Connection {
  token?: string;
  signal?: AbortSignal;
  say(line: string): void;
}

export interface Repository {
  repo: string;
  /** 40 hex digits. */
  commit: string;
  /** As its model card says; null where it does not. */
  licence: string | null;
  format: 'onnx' | 'safetensors';
  dtype: Dtype;
  host: string;
  /** Config, tokenizer and template. */
  texts: RemoteFile[];
  weights: RemoteFile[];
}

/** Command lines are no pages: a mirror may serve files from wherever it likes, and hashes hold them. */
const ENVIRONMENT: FilesEnvironment = {
  ...BROWSER,
  fetchOf: () => (input, init) => fetch(input, { ...init, credentials: 'omit' }),
};

/**
 * Reads `OWNER/NAME`, `OWNER/NAME@REVISION` with or without `hub:`, what reports write
 * (`hub:OWNER/NAME@COMMIT/q4`) or an address on huggingface.co.
 * @param endpoint the hub's address; huggingface.co where it is undefined or empty
 * @throws ModelSourceError, HubSourceError
 */
export function parseHubText(text: string, endpoint: string | undefined): HubSource {
  const name = text.replace(/^hub:/, '');
  const hasDtype = /@.+\/(q4|q4f16|q8|fp16|fp32)$/.test(name);
  const source = hasDtype ? parseSourceText(`hub:${name}`) : parseModelSource(name);
  if (source.kind !== 'hub') throw new HubSourceError(`"${text}" is no repository of a hub.`);
  if (!FOUR_BIT.includes(source.dtype)) {
    throw new HubSourceError(
      `A site's model has 4-bit weights (q4 or q4f16), not ${source.dtype}.`,
    );
  }
  return { ...source, host: hostOf(endpoint) };
}

function hostOf(endpoint: string | undefined): string {
  if (!endpoint) return DEFAULT_HUB;
  const url = URL.canParse(endpoint) ? new URL(endpoint) : null;
  const isPlain = url && !url.username && !url.search && !url.hash;
  if (isPlain && /^https?:$/.test(url.protocol)) return url.href.replace(/\/+$/, '');
  throw new HubSourceError(
    `HF_ENDPOINT must be the address of a hub, such as ${DEFAULT_HUB}, not "${endpoint}".`,
  );
}

function contextOf(host: string, repo: string, { token, signal, say }: Connection): HubContext {
  return {
    repo,
    host,
    environment: ENVIRONMENT,
    onWaiting: ({ reason, milliseconds }) =>
      say(`  ${reason} Another try in ${Math.ceil((milliseconds ?? 0) / 1000)} s …`),
    ...(token ? { token } : {}),
    ...(signal ? { signal } : {}),
  };
}

/**
 * Looks which files make the model: the 4-bit ONNX file with its data, else safetensors. Nothing is
 * fetched but lists.
 * @throws NotFoundError, GatedModelError, RateLimitedError, OfflineError, DownloadError
 */
export async function openRepository(
  source: HubSource,
  connection: Connection,
): Promise<Repository> {
  const { repo, host = DEFAULT_HUB } = source;
  const context = contextOf(host, repo, connection);
  const listing = await listRepository(source, context);
  const { commit, licence } = listing;
  const find = finder(repo, listing, context);
  const about = { repo, commit, licence, host };
  const isText = ({ path }: RemoteFile) => SMALL_FILES.includes(path);
  for (const dtype of source.dtype === 'q4' ? FOUR_BIT : [source.dtype]) {
    if (!(await find(onnxPath(dtype)))) continue;
    const files = await filesOf({ ...source, dtype }, listing, context);
    const weights = files.filter((file) => !isText(file));
    return { ...about, format: 'onnx', dtype, texts: files.filter(isText), weights };
  }
  const weights = await findTensors(find, { repo, commit, host }, context);
  if (weights.length === 0) throw nothingToTake(source, listing);
  const texts = [];
  for (const path of SMALL_FILES) {
    const file = await find(path);
    if (file) texts.push(file);
  }
  return { ...about, format: 'safetensors', dtype: 'q4', texts, weights };
}

type Find = (path: string) => Promise<RemoteFile | null>;

function finder(repo: string, { commit, files }: Listing, context: HubContext): Find {
  return async (path) =>
    files
      ? (files.find((file) => file.path === path) ?? null)
      : probeFile(repo, commit, path, context);
}

/** As transformers looks for them: one file, else those that an index names. */
async function findTensors(
  find: Find,
  { repo, commit, host }: Pick<Repository, 'repo' | 'commit' | 'host'>,
  context: HubContext,
): Promise<RemoteFile[]> {
  const single = await find(TENSORS);
  if (single) return [single];
  const index = await find(TENSORS_INDEX);
  if (!index) return [];
  const text = await json(await request(fileUrl(host, repo, commit, TENSORS_INDEX), context));
  const { weight_map: map } = (text ?? {}) as { weight_map?: unknown };
  const names = [...new Set(Object.values((map ?? {}) as Record<string, unknown>))];
  const files = [index];
  for (const name of names) {
    const isName = typeof name === 'string' && TENSORS_NAME.test(name);
    const file = isName ? await find(name) : null;
    if (!file) {
      throw new NotFoundError(
        `The model ${repo} has no file ${String(name)}, which ${TENSORS_INDEX} names.`,
      );
    }
    files.push(file);
  }
  return names.length > 0 ? files : [];
}

function nothingToTake({ repo, dtype }: HubSource, { files }: Listing): NotFoundError {
  const weights = (files ?? [])
    .map(({ path }) => path)
    .filter((path) => /\.(onnx|safetensors|bin|gguf)$/.test(path));
  const there = weights.length > 0 ? ` It has ${weights.slice(0, 8).join(', ')}.` : '';
  return new NotFoundError(
    `The model ${repo} has neither ${onnxPath(dtype)} nor ${TENSORS}.${there}`,
  );
}

/** Bytes of all files; null where the hub does not say. */
export function bytesOf(files: readonly RemoteFile[]): number | null {
  return files.reduce<number | null>(
    (sum, { bytes }) => (sum === null || bytes === null ? null : sum + bytes),
    0,
  );
}

/** The folder that a repository's files at its commit are fetched into, and that of all its commits. */
export function foldersOf({ repo, commit }: Repository, work: string) {
  const all = join(work, 'hub', repo.replace('/', '--'));
  return { all, at: join(all, commit) };
}

/** Bytes that an earlier try left. */
export async function bytesHere(repository: Repository, work: string): Promise<number> {
  const { at } = foldersOf(repository, work);
  let sum = 0;
  for (const { path } of [...repository.texts, ...repository.weights]) {
    sum += (await stat(join(at, path)).catch(() => null))?.size ?? 0;
  }
  return sum;
}

/** Makes the folder for a commit; what is there of other commits is of no use any more. */
export async function startDownload(repository: Repository, work: string): Promise<string> {
  const { all, at } = foldersOf(repository, work);
  await mkdir(at, { recursive: true });
  for (const name of await readdir(all)) {
    if (name !== repository.commit) await rm(join(all, name), { recursive: true });
  }
  return at;
}

/**
 * Fetches config, tokenizer and template.
 * @throws IntegrityError, DownloadError and its kinds, DiskError; the signal's reason
 */
export async function fetchTexts(repository: Repository, folder: string, connection: Connection) {
  await fetchFiles(repository, repository.texts, folder, connection);
}

/**
 * Fetches the weights. Files of external data were guessed by their names; the ONNX file itself says
 * which they are.
 * @throws what {@link fetchTexts} does; OnnxFormatError
 */
export async function fetchWeights(repository: Repository, folder: string, connection: Connection) {
  if (repository.format === 'safetensors') {
    return fetchFiles(repository, repository.weights, folder, connection);
  }
  const path = onnxPath(repository.dtype);
  const [onnx, ...guessed] = repository.weights;
  await fetchFiles(repository, [onnx!], folder, connection);
  const named = await dataFiles(folder, path);
  for (const file of named) {
    if (file.split('/').every((name) => INNER_NAME.test(name))) continue;
    throw new HubSourceError(
      `${path} keeps its weights in "${file}", a name that no site's model may have.`,
    );
  }
  const known = guessed.filter((file) => named.includes(file.path));
  const unknown = named.filter((file) => !guessed.some((guess) => guess.path === file));
  const context = contextOf(repository.host, repository.repo, connection);
  const more = unknown.length > 0 ? await lookUpMore(repository, unknown, context, null) : [];
  repository.weights = [onnx!, ...known, ...more];
  await fetchFiles(repository, [...known, ...more], folder, connection);
}

async function fetchFiles(
  { repo, commit, host }: Repository,
  files: readonly RemoteFile[],
  folder: string,
  connection: Connection,
): Promise<void> {
  const context = contextOf(host, repo, connection);
  const progress = new DownloadProgress(progressLines(connection.say), bytesOf(files) ?? 0);
  const sinks = [];
  try {
    let here = 0;
    for (const { path } of files) {
      const sink = await FileSink.open(join(folder, path));
      sinks.push(sink);
      here += sink.size;
    }
    progress.begin(0, here);
    for (const [i, file] of files.entries()) {
      const { bytes } = await transfer(fileUrl(host, repo, commit, file.path), file, sinks[i]!, {
        context,
        // The folder is one commit's, so what is there is of the same file.
        etag: null,
        onEtag: async () => undefined,
        onBytes: (size) => progress.report(size),
      });
      progress.add(bytes);
    }
  } finally {
    progress.end();
    for (const sink of sinks) await sink.close();
  }
}
