/** Errors as people see them: a sentence, what to do next, and whether trying again makes sense. */
import { type ErrorCode, isBroken, KnownError } from '../../formats/errors';
import { WorkerError } from '../../workers/client';
import { sourceWord } from './phases';

export interface Problem {
  title: string;
  message: string;
  advice: string | null;
}

/** What a page itself cannot do as asked. */
export class RefusedError extends KnownError {
  override readonly name = 'RefusedError';
  constructor(
    readonly errorCode: ErrorCode,
    message: string,
  ) {
    super(message);
  }
}

const TITLES: Record<ErrorCode, string> = {
  'no-webgpu': 'No WebGPU here',
  'gpu-lost': 'The GPU went away',
  download: 'A file did not arrive',
  offline: 'No connection',
  gated: 'This model asks for permission',
  'not-found': 'There is no such model',
  'rate-limited': 'The hub asks to wait',
  integrity: 'A file arrived altered',
  'unsupported-model': 'This model cannot be used',
  parity: 'Engine and runtime disagree',
  memory: 'Not enough memory',
  'bad-input': 'Something in the request is not right',
  'share-link': 'The link cannot be read',
  cancelled: 'Stopped',
  internal: 'Something broke',
};

const ADVICE: Record<ErrorCode, string | null> = {
  'no-webgpu':
    'Training needs WebGPU: a current Chrome or Edge, Safari 26, or Firefox on Windows. The recorded run and its chart work without it.',
  'gpu-lost': 'Close other tabs that use the GPU and start again; finished runs are kept.',
  download: 'Check the connection and try again; what has arrived is not lost.',
  offline:
    'Connect and try again; what has arrived is not lost. Bundled and kept models work offline.',
  gated:
    'Accept the licence on the page of the model, then give an access token. It stays in this tab.',
  'not-found': 'Check the name of the model, its revision and whether it has 4-bit ONNX files.',
  'rate-limited': 'Try again in a few minutes; what has arrived is not lost.',
  integrity:
    'The file was thrown away. Try again; if it happens twice, the server holds a wrong file.',
  'unsupported-model': null,
  parity:
    'Training is refused, because its gradients could not be trusted on this device. The check page has a report to send.',
  memory: 'Close other tabs, or use a smaller batch or a smaller model.',
  'bad-input': null,
  'share-link': null,
  cancelled: null,
  internal: 'Try again. If it happens twice, the check page has a report to send.',
};

function codeOf(error: unknown): ErrorCode {
  if (error instanceof KnownError) return error.errorCode;
  const isAbort = error instanceof DOMException && error.name === 'AbortError';
  return isAbort ? 'cancelled' : 'internal';
}

export function isCancelled(error: unknown): boolean {
  return codeOf(error) === 'cancelled';
}

export function problemOf(error: unknown): Problem {
  const code = codeOf(error);
  const message = error instanceof Error ? error.message : String(error);
  const advice = [ADVICE[code], reloading(error)].filter((words) => words !== null);
  return { title: TITLES[code], message, advice: advice.length > 0 ? advice.join(' ') : null };
}

/** Which worker is gone; whatever else is loaded stays. */
function reloading(error: unknown): string | null {
  if (!(error instanceof WorkerError) || !isBroken(error) || error.owner === null) return null;
  return `The ${sourceWord(error.owner)} is loaded again when it is next needed.`;
}
