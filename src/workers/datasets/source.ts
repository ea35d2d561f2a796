/** Where an imported file comes from: this machine, or an address. */
import { blobSource } from '../../formats/byte-source';
import { type DatasetSource, fromByteSource, fromStream } from '../../formats/datasets/read';
import { DatasetFileError } from '../../formats/datasets/types';

export function fileSource(file: File): DatasetSource {
  return fromByteSource(file.name, blobSource(file));
}

/** The last part of the path, which decides between CSV and JSONL where the content could be both. */
export function nameOfAddress(address: URL): string {
  const last = address.pathname.split('/').findLast((part) => part !== '') ?? address.hostname;
  try {
    return decodeURIComponent(last);
  } catch {
    return last;
  }
}

/**
 * The file at `address`. Only what the page's own policy allows can be asked for.
 * Throws {@link DatasetFileError}.
 */
export async function addressSource(
  address: string,
  signal: AbortSignal,
  load: typeof fetch = fetch,
): Promise<DatasetSource> {
  const url = parseAddress(address);
  let response: Response;
  try {
    response = await load(url, { signal, credentials: 'omit', referrerPolicy: 'no-referrer' });
  } catch (cause) {
    if (signal.aborted) throw cause;
    throw new DatasetFileError(
      'read-failed',
      `The file did not arrive: ${url.hostname} does not answer, or this page may not read from ` +
        'it. Download the file and choose it here.',
      {},
      { cause },
    );
  }
  if (!response.ok || !response.body) {
    await response.body?.cancel();
    throw new DatasetFileError(
      'read-failed',
      response.status === 401 || response.status === 403
        ? `${url.hostname} asks for permission first. Download the file there and choose it here.`
        : `${url.hostname} answers ${response.status}: there is no such file.`,
    );
  }
  // A packed answer is longer than it says: its length then limits nothing.
  const packed = response.headers.has('content-encoding');
  const length = Number(response.headers.get('content-length') ?? NaN);
  const size = !packed && Number.isSafeInteger(length) && length > 0 ? length : null;
  return fromStream(nameOfAddress(url), response.body, size);
}

function parseAddress(address: string): URL {
  let url: URL;
  try {
    url = new URL(address.trim());
  } catch {
    throw new DatasetFileError('read-failed', 'This is no address. It should start with https://.');
  }
  const local = ['localhost', '127.0.0.1'].includes(url.hostname);
  if (url.protocol === 'https:' || (url.protocol === 'http:' && local)) return url;
  throw new DatasetFileError('read-failed', 'Only addresses that start with https:// are read.');
}
