/** Progress of a download of several files, not more often than a person can see. */
import type { Progress } from '../wire/protocol';

const MOST_OFTEN = 100;

export class DownloadProgress {
  /** Of whole files. */
  private done = 0;
  private readonly startedAt = performance.now();
  /** Bytes that need not be fetched. */
  private startedWith = 0;
  /** Of the file that is under way. */
  private current = 0;
  private later: ReturnType<typeof setTimeout> | null = null;

  /** @param total bytes of all files; 0 while unknown */
  constructor(
    private readonly emit: ((progress: Progress) => void) | undefined,
    public total: number,
  ) {}

  /** @param whole bytes of files that are there. @param parts bytes of parts of others */
  begin(whole: number, parts: number): void {
    this.done = whole;
    this.startedWith = whole + parts;
    this.current = parts;
    this.show();
  }

  /** A file is whole. */
  add(bytes: number): void {
    this.done += bytes;
    this.current = 0;
    this.show();
  }

  /** `bytes` of the current file are there; shown at once or a little later. */
  report(bytes: number): void {
    this.current = bytes;
    this.later ??= setTimeout(() => this.show(), MOST_OFTEN);
  }

  /** Shows what has not been shown yet, and nothing after that. */
  end(): void {
    if (this.later !== null) this.show();
  }

  private show(): void {
    if (this.later !== null) clearTimeout(this.later);
    this.later = null;
    const done = this.done + this.current;
    const seconds = (performance.now() - this.startedAt) / 1000;
    const arrived = done - this.startedWith;
    this.emit?.({
      phase: 'download',
      done,
      total: Math.max(this.total, done),
      unit: 'bytes',
      fromCache: false,
      ...(this.startedWith > 0 ? { resumedFrom: this.startedWith } : {}),
      ...(seconds >= 1 && arrived > 0 ? { bytesPerSecond: arrived / seconds } : {}),
    });
  }

  waiting(waiting: NonNullable<Progress['waiting']>): void {
    const { total } = this;
    const done = this.done + this.current;
    this.emit?.({ phase: 'download', done, total, unit: 'bytes', waiting });
  }

  verifying(done: number, fromCache: boolean): void {
    this.emit?.({ phase: 'verify', done, total: this.total, unit: 'bytes', fromCache });
  }
}
