/**
 * Reads what ships with the site while pages are prerendered, so that the very first HTML has
 * something to show and knows what a click will cost, before any script or download.
 */
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { decoderShape } from '../../distill/adapters/adaptation';
import type { DecoderShape } from '../../distill/adapters/adapter-spec';
import { parsePromptItems } from '../../distill/data/dataset';
import { DEFAULT_RECIPE } from '../../distill/train/recipe';
import type { CatalogueEntry } from '../../formats/catalogue';
import { parseDecoderConfig } from '../../formats/decoder/config';
import { parseSiteModels } from '../../formats/site-models';
import { manifestBytes, MODELS, RECORDING } from '../state/models/bundle';
import { digest, parseRecording, type Digest } from '../state/run-json';

async function publicFile(path: string): Promise<string | null> {
  try {
    return await readFile(join(process.cwd(), 'public', path), 'utf8');
  } catch {
    return null;
  }
}

/** Null as long as no run has been recorded. */
export async function readDigest(): Promise<Digest | null> {
  const recording = await publicFile(RECORDING);
  const items = await publicFile('data/wording.jsonl');
  if (recording === null || items === null) return null;
  return digest(parseRecording(recording), parsePromptItems(items));
}

/** Of the bundled student. */
export async function readShape(): Promise<DecoderShape | null> {
  const config = await publicFile(`models/${DEFAULT_RECIPE.student}/config.json`);
  return config === null ? null : decoderShape(parseDecoderConfig(JSON.parse(config)));
}

/** Models that were added to this site; none where nothing was. */
export async function readSiteModels(): Promise<CatalogueEntry[]> {
  const list = await publicFile('models/site.json');
  return list === null ? [] : parseSiteModels(JSON.parse(list));
}

async function fileSize(path: string): Promise<number | null> {
  try {
    return (await stat(join(process.cwd(), path))).size;
  } catch {
    return null;
  }
}

/** onnxruntime, as src/workers/runtime/runtime.ts bundles it. */
const RUNTIME = 'node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.asyncify.wasm';

/** Bytes of runtime, student, guard and judge together; null as long as one is not known. */
export async function readLabBytes(): Promise<number | null> {
  let total = await fileSize(RUNTIME);
  if (total === null) return null;
  for (const model of MODELS) {
    const manifest = await publicFile(`models/${model}/manifest.json`);
    const bytes = manifest === null ? null : manifestBytes(JSON.parse(manifest));
    if (bytes === null) return null;
    total += bytes;
  }
  return total;
}
