/** A worker for tests of loading: opens hub models as the app's workers do, on a disk as told. */
import type { HubSource } from '../../formats/model-source';
import { describeError } from '../wire/errors';
import { restrictFetch } from './fetch-guard';
import type { Progress } from '../wire/protocol';
import { type Endpoint, type Handlers, serve } from '../wire/serve';
import { BROWSER, type FilesEnvironment } from './environment';
import type { ModelFileSet, Stored } from './file-set';
import { adoptShared, openModel, readFile, type SharedFileSet } from './open-model';

restrictFetch();

export interface FilesTestingRequests {
  open: {
    payload: {
      source: HubSource;
      token?: string;
      sha256?: Record<string, string>;
      /** What the disk says it has left. */
      freeBytes?: number;
      /** The disk is full after so many bytes, whatever it said. */
      fullAfter?: number;
      stallAfter?: number;
    };
    event: Progress;
    result: Opened;
  };
  /** Opens what another worker shared. */
  adopt: { payload: SharedFileSet; event: never; result: Opened };
  /** All bytes of a file of the opened model. */
  read: { payload: string; event: never; result: Uint8Array };
  share: { payload: null; event: never; result: SharedFileSet };
  close: { payload: null; event: never; result: null };
}

export interface Opened {
  id: string;
  label: string;
  revision: string | null;
  bytes: number;
  fromCache: boolean;
  stored: Stored;
  /** Bytes by path. */
  files: Record<string, number>;
  /** Pauses that were asked for, in milliseconds; none was really waited for. */
  pauses: number[];
}

let model: ModelFileSet | null = null;

function opened(set: ModelFileSet, pauses: number[]): Opened {
  model = set;
  const { id, label, revision, bytes, fromCache, stored } = set;
  const files = Object.fromEntries([...set.files].map(([path, { size }]) => [path, size]));
  return { id, label, revision, bytes, fromCache, stored, files, pauses };
}

const handlers: Handlers<FilesTestingRequests> = {
  async open({ source, token, sha256, freeBytes, fullAfter, stallAfter }, { emit, signal }) {
    const pauses: number[] = [];
    let written = 0;
    const environment: FilesEnvironment = {
      ...BROWSER,
      async sleep(milliseconds) {
        pauses.push(milliseconds);
        signal.throwIfAborted();
      },
      ...(stallAfter === undefined ? {} : { stallAfter }),
      ...(freeBytes === undefined ? {} : { freeBytes: async () => freeBytes }),
      beforeWrite(bytes) {
        written += bytes;
        if (written > (fullAfter ?? Infinity)) {
          throw new DOMException('The disk is full.', 'QuotaExceededError');
        }
      },
    };
    const set = await openModel(
      source,
      {
        baseUrl: location.origin,
        signal,
        onProgress: emit,
        ...(token === undefined ? {} : { token }),
        ...(sha256 === undefined ? {} : { sha256 }),
      },
      environment,
    );
    return opened(set, pauses);
  },
  async adopt(shared) {
    return opened(adoptShared(shared), []);
  },
  async read(path) {
    return readFile(model!, path);
  },
  async share() {
    return model!.share();
  },
  async close() {
    model?.close();
    model = null;
    return null;
  },
};

serve<FilesTestingRequests>(self as unknown as Endpoint, handlers, describeError);
