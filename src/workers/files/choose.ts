/** Which files of a repository or folder make a model of one dtype. */
import { type Dtype, onnxPath } from '../../formats/model-source';
import { NotFoundError } from './errors';
import { UnsupportedModelError } from '../wire/errors';

export const CONFIG = 'config.json';
const REQUIRED = [CONFIG, 'tokenizer.json', 'tokenizer_config.json'];
const OPTIONAL = ['generation_config.json', 'chat_template.jinja', 'special_tokens_map.json'];
const MOST_CHUNKS = 100;

/** Small files first: what is wrong with a model shows before its weights are fetched. */
export const SMALL_FILES: readonly string[] = [...REQUIRED, ...OPTIONAL];
export const isRequired = (path: string) => REQUIRED.includes(path);

/** `onnx/model_q4.onnx_data`, `…_data_1`, …: where the weights of large models lie. */
export function dataPath(onnx: string, chunk: number): string {
  return `${onnx}_data${chunk === 0 ? '' : `_${chunk}`}`;
}

/**
 * The paths of a model among those that are there, weights last.
 * @param owner who is said to lack a file, at the start of a sentence
 * @throws NotFoundError that names what is missing and what is there instead
 */
export function choosePaths(paths: readonly string[], dtype: Dtype, owner: string): string[] {
  const there = new Set(paths);
  const onnx = onnxPath(dtype);
  if (!there.has(onnx)) {
    const others = paths.filter((path) => path.endsWith('.onnx'));
    const instead =
      others.length > 0
        ? `It has ${others.slice(0, 12).join(', ')}.`
        : 'It has no ONNX file: look for a repository whose name ends in -ONNX.';
    throw new NotFoundError(`${owner} has no file ${onnx}. ${instead}`);
  }
  const missing = REQUIRED.filter((path) => !there.has(path));
  if (missing.length > 0) throw new NotFoundError(`${owner} has no ${missing.join(', no ')}.`);
  const chunks = paths
    .filter((path) => path.startsWith(`${onnx}_data`) && /_data(_\d+)?$/.test(path))
    .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  return [...SMALL_FILES.filter((path) => there.has(path)), onnx, ...chunks];
}

/**
 * How many external data files config.json promises for a weights file: a number, a truth value, or
 * either by file name (`model_q4.onnx`) or by name without dtype (`model`).
 * @throws UnsupportedModelError where that is more than any model has
 */
export function chunksOf(config: unknown, dtype: Dtype): number {
  const own = field(field(config, 'transformers.js_config'), 'use_external_data_format');
  const name = onnxPath(dtype).replace('onnx/', '');
  const value =
    typeof own === 'object' && own !== null ? (field(own, name) ?? field(own, 'model')) : own;
  const count = Number(value ?? 0);
  if (!Number.isInteger(count) || count < 0 || count > MOST_CHUNKS) {
    throw new UnsupportedModelError(
      `config.json names ${JSON.stringify(value)} external data files; 0 to ${MOST_CHUNKS} can be loaded.`,
    );
  }
  return count;
}

/** @throws NotFoundError where config.json promises a data file that is not there */
export function requireChunks(
  config: unknown,
  dtype: Dtype,
  paths: Iterable<string>,
  owner: string,
): void {
  const there = new Set(paths);
  for (let chunk = 0; chunk < chunksOf(config, dtype); chunk++) {
    const path = dataPath(onnxPath(dtype), chunk);
    if (!there.has(path)) {
      throw new NotFoundError(`${owner} has no ${path}, which its config.json promises.`);
    }
  }
}

function field(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined;
  return (value as Record<string, unknown>)[name];
}
