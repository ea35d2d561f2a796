/** Which files of a repository or folder make a model of one dtype. */
import { type Dtype, onnxPath } from '../../formats/model-source';
import { NotFoundError } from './errors';

export const CONFIG = 'config.json';
const REQUIRED = [CONFIG, 'tokenizer.json', 'tokenizer_config.json'];
const OPTIONAL = ['generation_config.json', 'chat_template.jinja', 'special_tokens_map.json'];

/** Small files first: what is wrong with a model shows before its weights are fetched. */
export const SMALL_FILES: readonly string[] = [...REQUIRED, ...OPTIONAL];
export const isRequired = (path: string) => REQUIRED.includes(path);

/**
 * The paths of a model among those that are there, weights last. Files of external data are guessed
 * by their names, for the sake of the bytes that are shown; the ONNX file itself says which they are.
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
    .filter(
      (path) => path.startsWith(onnx) && /^(_data(_\d+)?|\.data)$/.test(path.slice(onnx.length)),
    )
    .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  return [...SMALL_FILES.filter((path) => there.has(path)), onnx, ...chunks];
}
