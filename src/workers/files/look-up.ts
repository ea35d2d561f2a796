/** Which commit and files a hub model is: as remembered, else as the hub says now. */
import { type HubSource, onnxPath } from '../../formats/model-source';
import { NotFoundError } from './errors';
import { choosePaths, isRequired, SMALL_FILES } from './choose';
import { shortHash } from './hash';
import { listFiles, type Listing, listRepository, probeFile, type RemoteFile } from './hub';
import type { ModelRecord, Records } from './records';
import type { HubContext } from './request';

export interface LookedUp {
  record: ModelRecord;
  /** False where it could not be written down: then no file may be stored either. */
  isKept: boolean;
}

/**
 * The record of a model, new ones kept with nothing done yet. A known one asks nobody: it stays at
 * the commit and the hashes of its first use.
 * @throws IntegrityError where a file changed under its commit; NotFoundError, GatedModelError, …
 */
export async function lookUp(
  source: HubSource,
  host: string,
  context: HubContext,
  records: Records | null,
): Promise<LookedUp> {
  const known = await records?.find(source, host);
  if (known) return { record: known, isKept: true };
  const { repo, revision, dtype } = source;
  const listing = await listRepository(source, context);
  const { commit } = listing;
  const key = await shortHash([host, repo, commit, dtype].join('\n'));
  // The same commit under another name.
  const same = await records?.get(key);
  if (same) {
    same.revisions.push(revision);
    await records?.put(same).catch(() => undefined);
    return { record: same, isKept: true };
  }
  const files = await filesOf(source, listing, context);
  const record: ModelRecord = {
    key,
    host,
    repo,
    commit,
    dtype,
    revisions: [revision],
    files: files.map((file) => ({ ...file, done: false, etag: null })),
    usedAt: Date.now(),
  };
  await records?.pin(record, files);
  const isKept = await keep(records, record);
  return { record, isKept };
}

async function keep(records: Records | null, record: ModelRecord): Promise<boolean> {
  try {
    await records?.put(record);
    return records !== null;
  } catch {
    return false;
  }
}

/**
 * The files of a model of one dtype, weights last.
 * @throws NotFoundError that names what is missing
 */
export async function filesOf(
  source: HubSource,
  { commit, files: listed }: Listing,
  context: HubContext,
): Promise<RemoteFile[]> {
  const owner = `The model ${source.repo}`;
  if (!listed) return probeAll(source, commit, context, owner);
  const byPath = new Map(listed.map((file) => [file.path, file]));
  return choosePaths([...byPath.keys()], source.dtype, owner).map((path) => byPath.get(path)!);
}

async function probeAll(
  { repo, dtype }: HubSource,
  commit: string,
  context: HubContext,
  owner: string,
): Promise<RemoteFile[]> {
  const onnx = onnxPath(dtype);
  const files: RemoteFile[] = [];
  for (const path of [...SMALL_FILES, onnx]) {
    const file = await probeFile(repo, commit, path, context);
    if (file) files.push(file);
    else if (isRequired(path) || path === onnx) {
      throw new NotFoundError(`${owner} has no file ${path}.`);
    }
  }
  return files;
}

/**
 * Sizes and hashes of files at a record's commit that its weights turned out to be kept in.
 * @throws NotFoundError where one is not there; IntegrityError where one changed under its commit
 */
export async function lookUpMore(
  { repo, commit, dtype, host }: Pick<ModelRecord, 'repo' | 'commit' | 'dtype' | 'host'>,
  paths: readonly string[],
  context: HubContext,
  records: Records | null,
): Promise<RemoteFile[]> {
  const listed = await listFiles(repo, commit, context);
  const files: RemoteFile[] = [];
  for (const path of paths) {
    const file = listed
      ? listed.find((one) => one.path === path)
      : await probeFile(repo, commit, path, context);
    if (!file) {
      throw new NotFoundError(
        `The model ${repo} has no file ${path}, where ${onnxPath(dtype)} keeps its weights.`,
      );
    }
    files.push(file);
  }
  await records?.pin({ host, repo, commit }, files);
  return files;
}
