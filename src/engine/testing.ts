/** What engine tests share: repository files in the browser and in Node, the pocket student. */
import { memorySource } from '../formats/byte-source';
import type { ModelFiles } from '../formats/decoder/tensor';
import { Gpu } from '../kernels/gpu/gpu';
import { Engine } from './engine';
import type { Example, MixturePath } from './types';

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

/** One path of a golden's batch: rho is sparse, [token, share] a position. */
interface FamilyPath {
  tokens: number[];
  coef: number[];
  w: number[];
  rho: [token: number, share: number][][];
}

/** tests/fixtures/families/NAME/golden.json, as tools/models/fixtures/goldens.py writes it. */
export interface FamilyGolden {
  ids: number[];
  n: number;
  f16: boolean;
  /** External data files beside model.onnx. */
  files: string[];
  arrays: Record<
    'logits' | 'soft' | 'softLogits' | 'tvGradient' | 'klGradient',
    { offset: number; shape: [number, number] }
  >;
  losses: Record<'tv' | 'kl', number>;
  examples: { prompt: number[]; paths: FamilyPath[] }[];
  greedy: { plain: number[]; soft: number[] };
}

export interface Family {
  golden: FamilyGolden;
  files: ModelFiles;
  config: Record<string, unknown>;
  array(name: keyof FamilyGolden['arrays']): Float32Array;
}

/** A fixture of tests/fixtures/families and what PyTorch makes of it. */
export async function loadFamily(name: string): Promise<Family> {
  const folder = `tests/fixtures/families/${name}`;
  const golden = await repositoryJson<FamilyGolden>(`${folder}/golden.json`);
  const values = await repositoryFile(`${folder}/golden.f32`);
  const external = new Map(
    await Promise.all(
      golden.files.map(
        async (file) => [file, memorySource(await repositoryFile(`${folder}/${file}`))] as const,
      ),
    ),
  );
  const model = memorySource(await repositoryFile(`${folder}/model.onnx`));
  return {
    golden,
    files: { model, external },
    config: await repositoryJson<Record<string, unknown>>(`${folder}/config.json`),
    array(part) {
      const { offset, shape } = golden.arrays[part];
      return new Float32Array(values.buffer, offset, shape[0] * shape[1]);
    },
  };
}

/** The golden's training batch. */
export function familyExamples({ golden }: Family): Example<MixturePath>[] {
  return golden.examples.map(({ prompt, paths }) => ({
    prompt,
    paths: paths.map(({ tokens, coef, w, rho }) => ({
      tokens,
      coef: Float32Array.from(coef),
      refusalPosterior: Float32Array.from(w),
      refusalNext: rho.map((row) => ({
        tokens: row.map(([token]) => token),
        probs: row.map(([, share]) => share),
      })),
    })),
  }));
}
