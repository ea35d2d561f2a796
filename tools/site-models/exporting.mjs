/** Safetensors to a 4-bit ONNX file, by export.py in a Python environment of its own. */
import { existsSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ensureTools, runTool, TOOLS_DISK, TOOLS_DOWNLOAD } from './python.mjs';

const here = import.meta.dirname;
/** A float32 copy of the weights, the export beside it, and the builder's own copies, as a multiple of a weight's bytes. */
const EXPORT_DISK_PER_BYTE = 4;

/** @param {string} work */
function toolsReady(work) {
  return existsSync(join(work, 'venv', '.requirements'));
}

/** What the tools still take, in bytes. @param {string} work */
export function toolsNeeded(work) {
  return toolsReady(work)
    ? { disk: 0, download: 0 }
    : { disk: TOOLS_DISK, download: TOOLS_DOWNLOAD };
}

/** Disk that an export of so many bytes of weights takes, besides them and the tools. @param {number} bytes */
export function exportDisk(bytes) {
  return bytes * EXPORT_DISK_PER_BYTE;
}

/**
 * The interpreter of the tools' environment, which is made where it is missing.
 * @param {{ work: string, say: (line: string) => void }} context
 */
export function tools({ work, say }) {
  if (!toolsReady(work)) say('Installing the export tools, once; a few minutes …');
  return ensureTools(join(work, 'venv'), join(here, 'requirements.txt'));
}

/**
 * @param {string} python of {@link tools}
 * @param {string} folder where the model is written
 * @param {string[]} source what export.py is told of where it comes from
 * @returns {Promise<{ parameters: number, versions: Record<string, string> }>}
 */
export async function exportWith(python, folder, source) {
  const script = join(here, 'export.py');
  await runTool(python, [script, ...source, '--out', folder], 'The export failed');
  const facts = join(folder, 'facts.json');
  const { parameters, versions } = JSON.parse(await readFile(facts, 'utf8'));
  await rm(facts);
  return { parameters, versions };
}
