/** The hub of tests/hub-server.mjs with one repository a test, and workers that open it. */
import { afterEach, beforeEach, inject, vi } from 'vitest';
import weightsUrl from '../../../tests/fixtures/families/llama-optimum/model.onnx?url';
import type { Fault, LogEntry, Repo } from '../../../tests/hub-server.mjs';
import type { Dtype, HubSource } from '../../formats/model-source';
import { WorkerClient } from '../client';
import type { Progress } from '../wire/protocol';
import { deleteStored, listStored } from './stored';
import type { FilesTestingRequests } from './testing.worker';

export const hub = inject('hubUrl');
export const COMMIT = 'a'.repeat(40);
export const WEIGHTS = 'onnx/model_q4.onnx';
const FAMILY = 'families/llama-optimum';
export const WEIGHT_BYTES = 192_373;

export const clients: WorkerClient<FilesTestingRequests>[] = [];
/** Of the present test. */
export let repo = '';
let count = 0;

export function worker(): WorkerClient<FilesTestingRequests> {
  const made = new WorkerClient<FilesTestingRequests>(
    () => new Worker(new URL('./testing.worker.ts', import.meta.url), { type: 'module' }),
    'student',
  );
  clients.push(made);
  return made;
}

const post = (path: string, body: unknown) =>
  fetch(`${hub}/__hub/${path}`, { method: 'POST', body: JSON.stringify(body) });

export const FILES: Repo['files'] = {
  'README.md': { text: '# A model' },
  'config.json': { fixture: `${FAMILY}/config.json` },
  'tokenizer.json': { text: '{"model":{"type":"BPE"}}' },
  'tokenizer_config.json': { text: '{"tokenizer_class":"LlamaTokenizer"}' },
  'onnx/model.onnx': { text: 'not asked for' },
  [WEIGHTS]: { fixture: `${FAMILY}/model.onnx` },
};

export async function serveRepo(overrides: Partial<Repo> = {}): Promise<void> {
  await post('repo', { repo, commit: COMMIT, files: FILES, ...overrides });
}

export async function fails(
  fault: Omit<Fault, 'repo' | 'times'> & { times?: number },
): Promise<void> {
  await post('fault', { repo, times: 1, ...fault });
}

export async function log(): Promise<LogEntry[]> {
  return (await (await fetch(`${hub}/__hub/log?repo=${repo}`)).json()) as LogEntry[];
}

/** For `onEvent`: breaks the connection when so many bytes have come, then at the next number. */
export function breakAt(...bytes: number[]): (event: Progress) => void {
  return ({ done }) => {
    if (bytes[0] === undefined || done < bytes[0]) return;
    bytes.shift();
    void post('break', { repo });
  };
}

/** Requests for weights at the download host, as `status range`. */
export async function weightRequests(): Promise<string[]> {
  return (await log())
    .filter(({ server, path }) => server === 'cdn' && path === WEIGHTS)
    .map(({ status, range }) => [status, range].filter(Boolean).join(' '));
}

export function source(dtype: Dtype = 'q4', revision = 'main'): HubSource {
  return { kind: 'hub', repo, revision, dtype, host: hub };
}

export const weights = async () => new Uint8Array(await (await fetch(weightsUrl)).arrayBuffer());

/** Goes on with another repository of that name and `suffix`. */
export function renameRepo(suffix: string): void {
  repo += suffix;
}

/** A fresh repository for each test of a file; afterwards its workers end and nothing is stored. */
export function useHub(): void {
  beforeEach(async () => {
    repo = `tests/model-${Date.now().toString(36)}-${count++}`;
    await serveRepo();
  });

  afterEach(async () => {
    for (const made of clients.splice(0)) made.terminate();
    for (const { key } of await listStored()) await vi.waitFor(() => deleteStored(key), 10_000);
  });
}
