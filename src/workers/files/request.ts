/**
 * Requests to a hub: what its answers mean in words, and trying again when that may help. A
 * transfer that breaks in the middle is the business of ./transfer.ts, by the same rules.
 */
import {
  DownloadError,
  GatedModelError,
  NotFoundError,
  OfflineError,
  RateLimitedError,
} from './errors';
import type { Progress } from '../wire/protocol';
import type { FilesEnvironment } from './environment';

/** Tries in a row that bring nothing new. */
export const MOST_TRIES = 6;
const FIRST_PAUSE = 1000;
/** No server may make a person wait longer for one try. */
const LONGEST_PAUSE = 60_000;

export interface HubContext {
  /** `organisation/name`, for sentences. */
  repo: string;
  host: string;
  token?: string;
  signal?: AbortSignal;
  environment: FilesEnvironment;
  onWaiting?: (waiting: NonNullable<Progress['waiting']>) => void;
}

/** Something that may go better the next time; `pause` is what the server asked for, in ms. */
export class BrokenTransferError extends DownloadError {
  constructor(
    message: string,
    readonly pause: number | null = null,
    /** What to throw when no more tries are left. */
    readonly final: DownloadError = new DownloadError(message),
  ) {
    super(message);
  }
}

/** An answer with a status that no other error speaks of. */
export class StatusError extends DownloadError {
  constructor(
    message: string,
    readonly status: number,
  ) {
    super(message);
  }
}

/** Nothing at this address, and no word about what is missing: perhaps no hub at all. */
export class NoAddressError extends NotFoundError {}

/** Says that there will be another try, and waits for it. @throws when there will be none */
export async function beforeRetry(
  error: unknown,
  tries: number,
  { signal, environment, onWaiting }: HubContext,
): Promise<void> {
  signal?.throwIfAborted();
  if (!(error instanceof BrokenTransferError)) throw error;
  if (tries >= MOST_TRIES) throw error.final;
  const milliseconds = Math.min(LONGEST_PAUSE, error.pause ?? FIRST_PAUSE * 2 ** (tries - 1));
  onWaiting?.({ for: 'retry', reason: error.message, milliseconds });
  await environment.sleep(milliseconds, signal);
}

/**
 * One request; answers with a status below 300 only.
 * @throws GatedModelError, NotFoundError, DownloadError; BrokenTransferError where another try may help
 */
export async function requestOnce(
  url: string,
  context: HubContext,
  init: RequestInit = {},
): Promise<Response> {
  const { host, token, environment, signal } = context;
  const headers = new Headers(init.headers);
  // Browsers drop it themselves when they follow a redirect to another origin.
  if (token) headers.set('authorization', `Bearer ${token}`);
  let response: Response;
  try {
    response = await environment.fetchOf(host)(url, {
      ...(signal ? { signal } : {}),
      // Storage is ours; a browser cache would keep gigabytes twice.
      cache: 'no-store',
      ...init,
      headers,
    });
  } catch (cause) {
    signal?.throwIfAborted();
    init.signal?.throwIfAborted();
    if (!(cause instanceof TypeError)) throw cause;
    throw unreachable(new URL(host).host, cause);
  }
  if (response.ok) return response;
  await response.body?.cancel();
  throw refusal(response, url, context);
}

/** {@link requestOnce} with tries. */
export async function request(
  url: string,
  context: HubContext,
  init: RequestInit = {},
): Promise<Response> {
  for (let tries = 1; ; tries++) {
    try {
      return await requestOnce(url, context, init);
    } catch (error) {
      await beforeRetry(error, tries, context);
    }
  }
}

/** A connection that never came about or broke; browsers do not say which. */
export function unreachable(hostname: string, cause?: unknown): BrokenTransferError {
  const message =
    globalThis.navigator?.onLine === false
      ? 'This device is offline.'
      : `The connection to ${hostname} failed. It may be offline, or blocked on this network.`;
  return new BrokenTransferError(message, null, new OfflineError(message, { cause }));
}

function refusal(response: Response, url: string, { repo, host, token }: HubContext): Error {
  const { status, headers } = response;
  const code = headers.get('x-error-code');
  const path = readable(new URL(url).pathname);
  const page = `${host}/${repo}`;
  const hostname = new URL(host).host;
  // Who may not see a repository is told the same as when there is none.
  if (code === 'RepoNotFound') {
    return new NotFoundError(
      `${hostname} shows no model ${repo}${token ? ' to this access token' : ''}. Check the name; a private one needs an access token.`,
    );
  }
  if (status === 401 || status === 403) {
    return new GatedModelError(
      token
        ? `The access token does not open ${repo}. Accept the licence at ${page} with the account of that token.`
        : `${repo} asks for permission. Accept the licence at ${page}, then give an access token.`,
    );
  }
  if (code === 'RevisionNotFound') {
    return new NotFoundError(`The model ${repo} has no such revision.`);
  }
  if (status === 404 || status === 410) {
    return new NoAddressError(`There is nothing at ${path} (status ${status}).`);
  }
  if (status === 429) {
    const message = `${hostname} has had too many requests from here and asks to wait.`;
    return new BrokenTransferError(message, retryAfter(headers), new RateLimitedError(message));
  }
  const message = `${hostname} could not send ${path} (status ${status}).`;
  if (status >= 500 || status === 408) return new BrokenTransferError(message, retryAfter(headers));
  return new StatusError(message, status);
}

/** For people; an address that another server named may have no such meaning. */
function readable(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

/** Milliseconds of a Retry-After header, in seconds or as a date. */
function retryAfter(headers: Headers): number | null {
  const text = headers.get('retry-after');
  if (text === null) return null;
  const milliseconds = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return Number.isFinite(milliseconds) ? Math.max(0, milliseconds) : null;
}
