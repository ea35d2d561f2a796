/** Which of a model's files are its weights, and what they ask of a runtime. */
import type { ByteSource } from '../../formats/byte-source';
import { externalFiles, tensorsOf } from '../../formats/onnx/external';
import { externalise } from '../../formats/onnx/externalise';
import { isOp, MICROSOFT, numberAttribute } from '../../formats/onnx/graph';
import { type OnnxNode, readOnnx } from '../../formats/onnx/proto';
import { assertStored, type ModelFiles } from '../../formats/decoder/tensor';
import { DownloadError } from '../files/errors';
import { UnsupportedModelError } from '../../formats/decoder/errors';
import { type ModelFileSet, readFile } from '../files/open-model';

export interface ModelWeights {
  /** Path of the .onnx file in the model. */
  path: string;
  /** The file and its external data, by the location written in it. */
  files: ModelFiles;
  /** Some weights are float16: a GPU needs shader-f16 for it, WASM does not. */
  f16: boolean;
  /** An operator that only the runtime's WebGPU build has, or null. */
  webgpuOnly: string | null;
  /** What the runtime computes right on WASM only, or null. */
  wasmOnly: string | null;
}

/** What is handed to onnxruntime: a model without its large weights, and these as external data. */
export interface RuntimeWeights {
  proto: Uint8Array;
  externalData: { path: string; data: Uint8Array }[];
}

/** The graph input of GroupQueryAttention that only the WebGPU build reads: the query norm. */
const QUERY_NORM_INPUT = 14;

function isCapped(node: OnnxNode): boolean {
  return isOp(node, 'GroupQueryAttention', MICROSOFT) && numberAttribute(node, 'softcap', 0) > 0;
}

/** @throws OnnxFormatError; DownloadError, ByteSourceError where a file of weights is missing or short */
export async function findWeights(model: ModelFileSet): Promise<ModelWeights> {
  const candidates = [...model.files.keys()].filter((path) => path.endsWith('.onnx')).sort();
  const [path] = candidates;
  if (path === undefined) throw new DownloadError(`${model.label} has no .onnx file.`);
  if (candidates.length > 1) {
    throw new UnsupportedModelError(
      `${model.label} has several weights (${candidates.join(', ')}). Keep the one to use.`,
    );
  }
  const file = model.files.get(path)!;
  const graph = await readOnnx(file);
  const { nodes, initializers } = graph;
  const external = new Map<string, ByteSource>();
  for (const [location, dataPath] of externalFiles(graph, path)) {
    const data = model.files.get(dataPath);
    if (!data) {
      throw new DownloadError(`${model.label} lacks ${dataPath}, where ${path} keeps its weights.`);
    }
    external.set(location, data);
  }
  const files: ModelFiles = { model: file, external };
  for (const tensor of tensorsOf(graph)) assertStored(tensor, files);
  const f16 = [...initializers.values()].some(({ dataType }) => dataType === 'float16');
  const special = nodes.find(
    ({ opType, inputs }) =>
      opType === 'GatherBlockQuantized' ||
      (opType === 'GroupQueryAttention' && !!inputs[QUERY_NORM_INPUT]),
  );
  const norms = special?.opType === 'GroupQueryAttention' ? ' with query norms' : '';
  return {
    path,
    files,
    f16,
    webgpuOnly: special ? special.opType + norms : null,
    // onnxruntime's WebGPU kernel leaves the attribute out (its pull request 27461).
    wasmOnly: nodes.some(isCapped) ? 'GroupQueryAttention with a soft cap' : null,
  };
}

/**
 * The weights as onnxruntime takes them: a single file becomes a small model plus itself as external
 * data, which halves what the runtime keeps (MODELS.md §2.8).
 */
export async function runtimeWeights(
  model: ModelFileSet,
  { path, files }: ModelWeights,
): Promise<RuntimeWeights> {
  const location = `${path.slice(path.lastIndexOf('/') + 1)}_data`;
  const small = await externalise(files.model, location);
  const external = small ? new Map([[location, files.model]]) : files.external;
  const externalData: RuntimeWeights['externalData'] = [];
  for (const [at, source] of external) {
    externalData.push({ path: at, data: await source.read(0, source.size) });
  }
  return { proto: small?.proto ?? (await readFile(model, path)), externalData };
}

/** What the runtime threw while it opened a model, with the model's name; its own words name nodes. */
export function cannotRun(label: string, error: unknown): Error {
  const reason = error instanceof Error ? error.message : String(error);
  return new UnsupportedModelError(`The runtime cannot open ${label}: ${reason}`, { cause: error });
}
