/** What the files room needs of the browser; tests hand in a fuller disk or a shorter wait. */
import { hubFetch } from './fetch-guard';

export interface FilesEnvironment {
  /** A `fetch` that reaches this hub and the hosts it serves files from. */
  fetchOf(host: string): typeof fetch;
  /** Bytes that this origin may still store; null where the browser does not say. */
  freeBytes(): Promise<number | null>;
  /** Waits; ends early with the signal's reason. */
  sleep(milliseconds: number, signal?: AbortSignal): Promise<void>;
  /** A transfer that brings nothing for so many milliseconds is broken. */
  stallAfter: number;
  /** Called before bytes are written to storage; throws what a full disk would. */
  beforeWrite?(bytes: number): void;
}

export const BROWSER: FilesEnvironment = {
  fetchOf: (host) => hubFetch(host),
  async freeBytes() {
    try {
      const { quota, usage } = await navigator.storage.estimate();
      return quota === undefined || usage === undefined ? null : Math.max(0, quota - usage);
    } catch {
      return null;
    }
  },
  sleep,
  stallAfter: 60_000,
};

export function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', abort);
      resolve();
    }, milliseconds);
    const abort = () => {
      clearTimeout(timer);
      reject(signal?.reason as Error);
    };
    signal?.addEventListener('abort', abort, { once: true });
  });
}
