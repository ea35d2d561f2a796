/** Thrown values as they cross a worker border. */
import { KnownError } from '../../formats/errors';
import type { WireError } from './protocol';
import { WorkerError } from './requests';

const OUT_OF_MEMORY = /out of memory|allocation failed|bad_alloc/i;
/** Words of JavaScript's own RangeErrors; ours are about what was asked for. */
const OVERFLOW = /call stack|Invalid (typed )?array length/i;

export function describeError(error: unknown): WireError {
  if (error instanceof WorkerError) {
    // From another worker, over a port: it has said itself what it is.
    const { code, message, broken, owner } = error;
    return { code, message, broken, owner };
  }
  if (!(error instanceof KnownError)) return { ...describeForeign(error), owner: null };
  const { errorCode: code, broken } = error;
  return { code, message: sentenceOf(error), broken, owner: null };
}

function sentenceOf({ errorCode, message }: KnownError): string {
  switch (errorCode) {
    case 'cancelled':
      return 'Cancelled.';
    case 'gpu-lost':
      // The browser's own words are for developers; they stay for reports.
      return `The graphics device stopped working. (${message})`;
    default:
      return message;
  }
}

/** Errors of the browser, of libraries and of JavaScript itself: a name and words are all there is. */
function describeForeign(error: unknown): Omit<WireError, 'owner'> {
  const { name, message } = namedWords(error);
  if (name === 'AbortError') return { code: 'cancelled', message: 'Cancelled.', broken: false };
  if (OUT_OF_MEMORY.test(message)) {
    return {
      code: 'memory',
      message: 'This device ran out of memory. Close other tabs and try again.',
      broken: true,
    };
  }
  if (name === 'NotReadableError') {
    return {
      code: 'download',
      message: 'A file was moved or changed after it was chosen. Choose it again.',
      broken: false,
    };
  }
  // The app throws these itself, for arguments that cannot be.
  if (name === 'RangeError' && !OVERFLOW.test(message)) {
    return { code: 'bad-input', message, broken: false };
  }
  return {
    code: 'internal',
    message: `Something unexpected happened: ${message}`,
    broken: true,
  };
}

function namedWords(error: unknown): { name: string; message: string } {
  if (error instanceof Error) return { name: error.name, message: error.message };
  try {
    return { name: '', message: String(error) };
  } catch {
    return { name: '', message: 'no words' };
  }
}
