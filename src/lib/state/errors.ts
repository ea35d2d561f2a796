/** Errors as people see them: a sentence, what to do next, and whether trying again makes sense. */
import { ModelSourceError } from '../../formats/model-source';
import type { ErrorCode } from '../../workers/wire/protocol';

export interface Problem {
  title: string;
  message: string;
  advice: string | null;
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
  memory: 'Close other tabs, or use a smaller batch.',
  'bad-input': null,
  'share-link': null,
  cancelled: null,
  internal: 'Try again. If it happens twice, the check page has a report to send.',
};

function codeOf(error: unknown): ErrorCode | null {
  if (error instanceof ModelSourceError) return 'bad-input';
  if (typeof error !== 'object' || error === null || !('code' in error)) return null;
  const { code } = error;
  return typeof code === 'string' && Object.hasOwn(TITLES, code) ? (code as ErrorCode) : null;
}

export function isCancelled(error: unknown): boolean {
  return (
    codeOf(error) === 'cancelled' || (error instanceof DOMException && error.name === 'AbortError')
  );
}

export function problemOf(error: unknown): Problem {
  const code = codeOf(error) ?? 'internal';
  const message = error instanceof Error ? error.message : String(error);
  return { title: TITLES[code], message, advice: ADVICE[code] };
}
