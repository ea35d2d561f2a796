/** A model's files on our own engine, on a device of its own. */
import type { ChatTokenizer } from '../../distill/data/chat';
import { Engine } from '../../engine/engine';
import { Gpu } from '../../kernels/gpu/gpu';
import { autotuneCache } from './autotune-cache';
import { chatTokenizer } from '../runtime/chat-files';
import type { ModelFileSet } from '../files/open-model';
import { findWeights } from '../runtime/model-weights';
import type { Progress } from '../wire/protocol';

export interface OpenedEngine {
  gpu: Gpu;
  engine: Engine;
  chat: ChatTokenizer;
}

/** @throws GpuUnavailableError, UnsupportedModelError naming a node, OnnxFormatError, DownloadError */
export async function openEngine(
  files: ModelFileSet,
  onProgress: (progress: Progress) => void,
): Promise<OpenedEngine> {
  const weights = await findWeights(files);
  const { chat, config } = await chatTokenizer(files);
  const gpu = await Gpu.create(navigator.gpu);
  try {
    const engine = await Engine.load(gpu, weights.files, config, {
      onUpload: (done, total) => onProgress({ phase: 'upload', done, total, unit: 'bytes' }),
      onCompile: (done, total) => onProgress({ phase: 'compile', done, total, unit: 'items' }),
      autotune: { cache: autotuneCache },
    });
    return { gpu, engine, chat };
  } catch (error) {
    gpu.destroy();
    throw error;
  }
}
