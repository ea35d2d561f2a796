/**
 * Which addresses a worker may contact. The CSP header says the same, but a static host that sends
 * no headers leaves workers without a policy.
 */
import { KnownError } from '../../formats/errors';
import { DEFAULT_HUB } from '../../formats/model-source';

type Scope = Pick<typeof globalThis, 'fetch' | 'location'>;

/** Thrown when code inside a worker asks for an address outside this app. */
export class ForeignAddressError extends KnownError {
  override name = 'ForeignAddressError';
  readonly errorCode = 'download';
  constructor(readonly address: string) {
    super(`Refused to contact ${address}: this app only talks to the server it came from.`);
  }
}

/** `fetch` as the browser made it, of scopes whose own has been restricted. */
const originals = new WeakMap<Scope, typeof fetch>();

/** Makes `scope.fetch` refuse every other origin, those of the hub included. */
export function restrictFetch(scope: Scope = globalThis): void {
  const { fetch } = scope;
  const { origin, href } = scope.location;
  originals.set(scope, fetch);
  scope.fetch = async (input, init) => {
    const url = new URL(input instanceof Request ? input.url : input, href);
    const isLocal = url.protocol === 'blob:' || url.protocol === 'data:' || url.origin === origin;
    if (!isLocal) throw new ForeignAddressError(url.href);
    return fetch.call(scope, input, init);
  };
}

/**
 * A `fetch` for one hub that a person chose: it reaches that host, and by redirect the hosts that
 * the hub serves large files from, nothing else. Only the files room asks for one, so libraries in
 * the same worker stay restricted.
 * @param host an origin, such as {@link DEFAULT_HUB}
 */
export function hubFetch(host: string, scope: Scope = globalThis): typeof fetch {
  const fetch = originals.get(scope) ?? scope.fetch;
  return async (input, init) => {
    const asked = new URL(input instanceof Request ? input.url : input, host);
    if (asked.origin !== new URL(host).origin) throw new ForeignAddressError(asked.href);
    const response = await fetch.call(scope, input, { ...init, credentials: 'omit' });
    // Browsers follow redirects themselves; what another host sent is not even looked at.
    if (!servesFilesOf(host, new URL(response.url || asked.href))) {
      await response.body?.cancel();
      throw new ForeignAddressError(response.url);
    }
    return response;
  };
}

/** The hub's own host name on any port, names below it, and for huggingface.co its CDN's hf.co. */
export function servesFilesOf(host: string, address: URL): boolean {
  const hub = new URL(host);
  if (address.protocol !== hub.protocol) return false;
  const names = [hub.hostname, ...(hub.origin === DEFAULT_HUB ? ['hf.co'] : [])];
  return names.some((name) => address.hostname === name || address.hostname.endsWith(`.${name}`));
}
