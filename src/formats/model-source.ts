/** Where a model comes from, and how a person writes that down. */
import { KnownError } from './errors';

/** Names of weight files as transformers.js has them: `onnx/model_q4.onnx`, `onnx/model.onnx`, … */
export type Dtype = 'q4' | 'q4f16' | 'q8' | 'fp16' | 'fp32';

export interface HubSource {
  kind: 'hub';
  /** `organisation/name`. */
  repo: string;
  /** A commit of 40 hex digits, or a branch or tag that is pinned to its commit on first use. */
  revision: string;
  dtype: Dtype;
  /** Origin without a slash at its end; {@link DEFAULT_HUB} where absent. */
  host?: string;
}

export type ModelSource =
  | { kind: 'bundled'; name: string }
  | HubSource
  /** Its files are handed over separately, as File objects. */
  | { kind: 'folder'; name: string };

export const DEFAULT_HUB = 'https://huggingface.co';
export const DEFAULT_REVISION = 'main';

/** A text that names no model of the hub; the message says what was expected. */
export class ModelSourceError extends KnownError {
  override readonly name = 'ModelSourceError';
  readonly errorCode = 'bad-input';
}

const SUFFIXES: Readonly<Record<Dtype, string>> = {
  q4: '_q4',
  q4f16: '_q4f16',
  q8: '_quantized',
  fp16: '_fp16',
  fp32: '',
};

/** Path of the weights in a repository: `onnx/model_q4.onnx`. */
export function onnxPath(dtype: Dtype): string {
  return `onnx/model${SUFFIXES[dtype]}.onnx`;
}

/** The dtype whose weights have this file name, with or without folders; null for other files. */
export function dtypeOf(path: string): Dtype | null {
  const name = path.slice(path.lastIndexOf('/') + 1);
  const found = Object.entries(SUFFIXES).find(([, suffix]) => name === `model${suffix}.onnx`);
  return found ? (found[0] as Dtype) : null;
}

const NAME = /^(?!.*\.\.)[A-Za-z0-9][\w.-]{0,95}$/;
const REVISION = /^(?!.*\.\.)[\w][\w./-]{0,254}$/;
const HUB_HOSTS = new Set(['huggingface.co', 'www.huggingface.co', 'hf.co']);
const EXPECTED =
  'Write a model as "organisation/name", as "organisation/name@revision", or paste the address of its page on huggingface.co.';

/**
 * Reads "organisation/name", "organisation/name@revision" or the address of a page or file of
 * huggingface.co, with q4 as dtype unless the address names a weights file of another one.
 * @throws ModelSourceError
 */
export function parseModelSource(text: string): HubSource {
  const trimmed = text.trim();
  return /^[a-z]+:\/\//i.test(trimmed) || HUB_HOSTS.has(trimmed.split('/')[0]!.toLowerCase())
    ? fromAddress(trimmed)
    : fromName(trimmed);
}

function fromName(text: string): HubSource {
  const [repo = '', revision = DEFAULT_REVISION, ...more] = text.split('@');
  if (more.length > 0) throw new ModelSourceError(`"${text}" has more than one @. ${EXPECTED}`);
  return hubSource(repo.split('/'), revision, text, 'q4');
}

function fromAddress(text: string): HubSource {
  let url: URL;
  try {
    url = new URL(/^[a-z]+:\/\//i.test(text) ? text : `https://${text}`);
  } catch (cause) {
    throw new ModelSourceError(`"${text}" is not an address. ${EXPECTED}`, { cause });
  }
  if (url.protocol !== 'https:' || !HUB_HOSTS.has(url.hostname)) {
    throw new ModelSourceError(`"${text}" is not on huggingface.co. ${EXPECTED}`);
  }
  const [organisation = '', name = '', view, revision, ...path] = url.pathname
    .split('/')
    .filter(Boolean)
    .map(decode);
  if (organisation === 'datasets' || organisation === 'spaces') {
    throw new ModelSourceError(`"${text}" is not a model but one of the hub's ${organisation}.`);
  }
  const dtype = dtypeOf(path.at(-1) ?? '') ?? 'q4';
  const named = view === 'tree' || view === 'blob' || view === 'resolve' || view === 'commit';
  return hubSource([organisation, name], (named && revision) || DEFAULT_REVISION, text, dtype);
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function hubSource(parts: string[], revision: string, text: string, dtype: Dtype): HubSource {
  if (parts.length !== 2 || !parts.every((part) => NAME.test(part))) {
    throw new ModelSourceError(`"${text}" is not the name of a model. ${EXPECTED}`);
  }
  if (!REVISION.test(revision)) {
    throw new ModelSourceError(`"${revision}" is not a branch, tag or commit. ${EXPECTED}`);
  }
  return { kind: 'hub', repo: parts.join('/'), revision, dtype };
}

/** Short name for people: `organisation/name`, `pocket`. */
export function labelOf(source: ModelSource): string {
  return source.kind === 'hub' ? source.repo : source.name;
}
