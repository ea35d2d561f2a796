/** What engine tests share: repository files in the browser and in Node, the pocket student. */
import { memorySource } from '../formats/byte-source';
import type { ModelFiles } from '../formats/onnx/tensor';
import { Gpu } from '../kernels/gpu';
import { Engine } from './engine';

/** Bytes of a file of this repository, by its path from the root. */
export async function repositoryFile(path: string): Promise<Uint8Array<ArrayBuffer>> {
  if (typeof window === 'undefined') {
    const { readFile } = await import('node:fs/promises');
    return new Uint8Array(await readFile(path));
  }
  const response = await fetch(`/${path}`);
  if (!response.ok) throw new Error(`/${path} answers ${response.status}.`);
  return new Uint8Array(await response.arrayBuffer());
}

export async function repositoryJson<T>(path: string): Promise<T> {
  return JSON.parse(new TextDecoder().decode(await repositoryFile(path))) as T;
}

export async function modelFiles(folder: string): Promise<ModelFiles> {
  const bytes = await repositoryFile(`${folder}/onnx/model_q4.onnx`);
  return { model: memorySource(bytes), external: new Map() };
}

/** An engine on a device of its own. */
export async function loadEngine(folder: string, subgroups = true): Promise<Engine> {
  const gpu = await Gpu.create(navigator.gpu, { subgroups });
  return Engine.load(gpu, await modelFiles(folder), await repositoryJson(`${folder}/config.json`));
}
