/**
 * Brings one file of a hub into a sink: goes on where an earlier try stopped, tries again when the
 * transfer breaks, and lets nothing pass whose size or hash is not the one that was promised.
 *
 * `If-Range` is not sent: it would make the request ask for permission first (a CORS preflight),
 * which download hosts refuse. A part that no longer fits shows by its ETag, where that can be
 * seen, and by the hash in any case; then everything is fetched once more from the first byte.
 */
import { IntegrityError } from '../../formats/manifest';
import { DownloadError, OfflineError } from './errors';
import { type Digests, type StreamHash, streamHash } from './hash';
import { plain, type RemoteFile } from './hub';
import {
  BrokenTransferError,
  beforeRetry,
  type HubContext,
  requestOnce,
  StatusError,
  unreachable,
} from './request';
import { changed } from './records';
import type { ByteSink } from './sink';

export interface TransferOptions {
  context: HubContext;
  /** ETag of the answer that the part in the sink came from. */
  etag: string | null;
  /** The first bytes will come from an answer with this ETag. */
  onEtag(etag: string | null): Promise<void>;
  onBytes(size: number): void;
}

export interface Received {
  bytes: number;
  sha256: string;
}

/**
 * @throws IntegrityError (the sink is then empty), DownloadError and its kinds; the signal's reason
 */
export async function transfer(
  url: string,
  file: RemoteFile,
  sink: ByteSink,
  options: TransferOptions,
): Promise<Received> {
  const resumed = sink.size > 0;
  const first = await attempt(url, file, sink, options);
  const problem = verify(file, first);
  if (problem === null) return { bytes: first.bytes, sha256: first.digests.sha256 };
  sink.clear();
  // The part from before may have been of another file; a clean download gets its chance.
  if (!resumed) throw problem;
  const second = await attempt(url, file, sink, { ...options, etag: null });
  const still = verify(file, second);
  if (still === null) return { bytes: second.bytes, sha256: second.digests.sha256 };
  sink.clear();
  throw still;
}

interface Whole {
  bytes: number;
  digests: Digests;
}

async function attempt(
  url: string,
  file: RemoteFile,
  sink: ByteSink,
  options: TransferOptions,
): Promise<Whole> {
  const run = new Run(url, file, sink, options);
  for (let tries = 1; ; tries++) {
    const before = sink.size;
    try {
      return await run.once();
    } catch (error) {
      // A try that brought something does not count against the next ones.
      if (sink.size > before) tries = 1;
      await beforeRetry(error, tries, options.context);
    }
  }
}

class Run {
  private etag: string | null;
  /** Over exactly the bytes in the sink; null where it must be made anew. */
  private hash: StreamHash | null = null;

  constructor(
    private readonly url: string,
    private readonly file: RemoteFile,
    private readonly sink: ByteSink,
    private readonly options: TransferOptions,
  ) {
    this.etag = options.etag;
  }

  async once(): Promise<Whole> {
    const { file, sink } = this;
    if (file.bytes !== null && sink.size > file.bytes) this.restart();
    this.hash ??= await this.hashOfPart();
    if (file.bytes === null || sink.size < file.bytes) await this.receive();
    const digests = this.hash.digest();
    // A digest ends the hash.
    this.hash = null;
    return { bytes: sink.size, digests };
  }

  private async hashOfPart(): Promise<StreamHash> {
    const { file, sink, options } = this;
    const hash = await streamHash(file.gitSha1 === null ? null : file.bytes);
    if (sink.size > 0) {
      for await (const piece of sink.pieces()) {
        options.context.signal?.throwIfAborted();
        hash.update(piece);
      }
      options.onBytes(sink.size);
    }
    return hash;
  }

  private restart(): void {
    this.sink.clear();
    this.hash = null;
    this.etag = null;
  }

  private async receive(): Promise<void> {
    const { sink, options, url } = this;
    const { context } = options;
    // A transfer that stalls is ended here, not by the caller's signal.
    const stalled = new AbortController();
    const signal = AbortSignal.any([stalled.signal, ...(context.signal ? [context.signal] : [])]);
    const offset = sink.size;
    let timer = this.watch(stalled);
    try {
      const response = await this.ask(offset, signal);
      if (!response.body) throw this.nothingSent(response);
      await this.accept(response, offset);
      const reader = response.body.getReader();
      for (;;) {
        const { done, value } = await reader.read().catch((cause: unknown) => {
          signal.throwIfAborted();
          throw unreachable(new URL(url).host, cause);
        });
        clearTimeout(timer);
        if (done) break;
        await this.take(value, reader);
        timer = this.watch(stalled);
      }
    } finally {
      clearTimeout(timer);
    }
    this.requireEnd();
  }

  /** Some answers have no body at all, those of status 204 among them. */
  private nothingSent({ status }: Response): DownloadError {
    const host = new URL(this.url).host;
    return new DownloadError(`${host} sent nothing for ${this.file.path} (status ${status}).`);
  }

  private watch(stalled: AbortController): ReturnType<typeof setTimeout> {
    const { stallAfter } = this.options.context.environment;
    return setTimeout(() => {
      stalled.abort(
        new BrokenTransferError(`Nothing came from ${new URL(this.url).host} for a while.`),
      );
    }, stallAfter);
  }

  /** Asks for the bytes from `offset` on. */
  private async ask(offset: number, signal: AbortSignal): Promise<Response> {
    const { url, options } = this;
    const headers: HeadersInit = offset > 0 ? { range: `bytes=${offset}-` } : {};
    const ask = () => requestOnce(url, options.context, { signal, headers });
    try {
      return await ask();
    } catch (error) {
      if (offset === 0) throw error;
      // The part is longer than the file, so it is of another file.
      if (error instanceof StatusError && error.status === 416) throw this.fetchAnew();
      if (!isUnanswered(error) || !(await this.isReachable(signal))) throw error;
      // A server may refuse ranges to pages without a word; then the part is of no use.
      return await ask().catch((again: unknown) => {
        throw isUnanswered(again) ? this.fetchAnew() : again;
      });
    }
  }

  private async isReachable(signal: AbortSignal): Promise<boolean> {
    try {
      await requestOnce(this.url, this.options.context, { signal, method: 'HEAD' });
      return true;
    } catch {
      return false;
    }
  }

  private fetchAnew(): BrokenTransferError {
    this.restart();
    return new BrokenTransferError('The server cannot go on there; the file is fetched anew.', 0);
  }

  /** Decides whether the answer continues the part, or begins anew. */
  private async accept(response: Response, offset: number): Promise<void> {
    const etag = plain(response.headers.get('etag'));
    if (offset > 0 && response.status === 206) {
      const start = /^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '')?.[1];
      const isElsewhere = start !== undefined && Number(start) !== offset;
      const isOther = etag !== null && this.etag !== null && etag !== this.etag;
      if (!isElsewhere && !isOther) return;
      await response.body?.cancel();
      throw this.fetchAnew();
    }
    // The whole file, though a range may have been asked for.
    if (offset > 0) this.restart();
    this.hash ??= await this.hashOfPart();
    this.etag = etag;
    await this.options.onEtag(etag);
  }

  private async take(
    bytes: Uint8Array<ArrayBuffer>,
    reader: ReadableStreamDefaultReader,
  ): Promise<void> {
    const { file, sink, options } = this;
    if (file.bytes !== null && sink.size + bytes.byteLength > file.bytes) {
      await reader.cancel();
      this.restart();
      throw new IntegrityError(file.path, `${file.bytes} bytes`, 'more');
    }
    await sink.write(bytes);
    this.hash!.update(bytes);
    options.onBytes(sink.size);
  }

  private requireEnd(): void {
    const { file, sink, url } = this;
    if (file.bytes === null || sink.size === file.bytes) return;
    throw new BrokenTransferError(
      `${new URL(url).host} stopped after ${sink.size} of ${file.bytes} bytes of ${file.path}.`,
    );
  }
}

function isUnanswered(error: unknown): boolean {
  return error instanceof BrokenTransferError && error.final instanceof OfflineError;
}

function verify(file: RemoteFile, { bytes, digests }: Whole): IntegrityError | null {
  if (file.bytes !== null && bytes !== file.bytes) {
    return new IntegrityError(file.path, `${file.bytes} bytes`, `${bytes}`);
  }
  if (file.sha256 !== null && digests.sha256 !== file.sha256) {
    return changed(file.path, file.sha256, digests.sha256);
  }
  if (file.gitSha1 !== null && digests.gitSha1 !== null && digests.gitSha1 !== file.gitSha1) {
    const short = (hash: string) => `git blob ${hash.slice(0, 12)}…`;
    return new IntegrityError(file.path, short(file.gitSha1), short(digests.gitSha1));
  }
  return null;
}
