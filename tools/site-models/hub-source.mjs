/** A repository of a hub as a source: its 4-bit ONNX file as it is, or its safetensors exported here. */
import { mkdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { exportDisk, exportWith, tools, toolsNeeded } from './exporting.mjs';
import { findPython, gigabytes, requireDisk } from './python.mjs';
import { idFrom, ModelsError, MOST_BYTES } from './store.mjs';

/**
 * @typedef {import('./sources.mjs').Context} Context
 * @typedef {import('./sources.mjs').Product} Product
 * @typedef {import('./sources.mjs').Source} Source
 * @typedef {import('./hub.ts').Repository} Repository
 * @typedef {import('./hub.ts').Connection} Connection
 */

/** Where every model of a site has its weights. */
const WEIGHTS = 'onnx/model_q4.onnx';

/** Whether a text names a repository, and cannot be a path of this machine's. @param {string} text */
export function isRepository(text) {
  return /^(hub:|https?:\/\/)/i.test(text) || /^[A-Za-z0-9][\w.-]*\/[\w.-]+(@[^\s@]+)?$/.test(text);
}

/** @param {string} text @param {Context} context @returns {Promise<Source>} */
export async function hubSource(text, context) {
  const { work, say, signal } = context;
  const product = await context.product();
  const wanted = product.parseHubText(text, process.env.HF_ENDPOINT);
  const token = process.env.HF_TOKEN;
  /** @type {Connection} */
  const connection = { say, signal, ...(token ? { token } : {}) };
  const name = wanted.repo.split('/')[1] ?? wanted.repo;
  const id = context.id ?? idFrom(name);
  const repository = await product.openRepository(wanted, connection).catch((error) => {
    throw explained(error, text, token);
  });
  return {
    id,
    plan: () => plan(product, repository, work),
    fill: async (folder) => {
      const made = await fill(product, repository, folder, context, connection);
      return {
        id,
        title: context.title ?? name,
        kind: 'student',
        ...made,
        licence: context.licence ?? repository.licence ?? 'not said',
        revision: repository.commit,
        command: commandOf(repository, context),
      };
    },
  };
}

/** What to do besides, where the hub's own sentence does not know the command line. @param {any} error @param {string} text @param {string | undefined} token */
function explained(error, text, token) {
  if (error?.errorCode === 'gated' && !token) {
    return new ModelsError(`${error.message} HF_TOKEN in the environment is read.`);
  }
  if (error?.errorCode === 'not-found' && !/^(hub|https?):/i.test(text)) {
    return new ModelsError(`${error.message} There is no folder ${text} here either.`);
  }
  return error;
}

/** @param {Product} product @param {Repository} repository @param {string} work */
async function plan(product, repository, work) {
  const { repo, commit, host, format, texts, weights } = repository;
  const bytes = product.bytesOf([...texts, ...weights]);
  const from = `${new URL(host).host}: ${repo} at commit ${commit.slice(0, 12)}`;
  if (format === 'onnx') {
    const large = weights.find((file) => (file.bytes ?? 0) > MOST_BYTES);
    if (large) {
      throw new ModelsError(
        `${large.path} of ${repo} has ${gigabytes(large.bytes ?? 0)}, and pages join at most ${gigabytes(MOST_BYTES)} of one file in memory.`,
      );
    }
  } else findPython();
  const missing = format === 'onnx' ? { disk: 0, download: 0 } : toolsNeeded(work);
  const size = bytes ?? 0;
  const here = await product.bytesHere(repository, work);
  const disk = missing.disk + size + (format === 'onnx' ? size : exportDisk(size));
  await requireDisk(work, disk - here);
  const files = `${from}, ${weights.map(({ path }) => path).join(', ')}`;
  const amount = bytes === null ? 'what the hub gives no size of' : gigabytes(bytes);
  const parts = [`Downloads ${amount} from ${files}.`];
  if (here > 0) parts.push(`${gigabytes(here)} of it are here from an earlier try.`);
  if (missing.download > 0)
    parts.push(`The export tools are ${gigabytes(missing.download)} more from PyPI, once.`);
  if (bytes !== null) parts.push(`Uses up to ${gigabytes(disk)} of disk while it works.`);
  return parts.join(' ');
}

/**
 * @param {Product} product @param {Repository} repository @param {string} target
 * @param {Context} context @param {Connection} connection
 * @returns {Promise<Pick<import('./store.mjs').Facts, 'parameters' | 'versions' | 'source'>>}
 */
async function fill(product, repository, target, context, connection) {
  const { repo, format, dtype, texts } = repository;
  const folder = await product.startDownload(repository, context.work);
  const { all } = product.foldersOf(repository, context.work);
  try {
    await product.fetchTexts(repository, folder, connection);
    // What is wrong with a model shows before its weights are fetched.
    await product.inspectTexts(folder, product.trialScript);
    await product.fetchWeights(repository, folder, connection);
  } catch (error) {
    if (isFinal(error)) await rm(all, { recursive: true });
    throw error;
  }
  const source = `hub:${repo}`;
  if (format === 'safetensors') {
    const python = await tools(context);
    context.say('Exporting to 4-bit ONNX …');
    const made = await exportWith(python, target, ['--folder', folder]);
    await rm(all, { recursive: true });
    return { ...made, source: `${source}, safetensors` };
  }
  const weights = product.onnxPath(dtype);
  for (const { path } of [...texts, ...repository.weights]) {
    const to = join(target, path === weights ? WEIGHTS : path);
    await mkdir(dirname(to), { recursive: true });
    await rename(join(folder, path), to);
  }
  await rm(all, { recursive: true });
  return { parameters: 0, versions: {}, source: `${source}, ${weights}` };
}

/** Whether another try would end the same way: it is the model's own fault. @param {any} error */
function isFinal(error) {
  const codes = ['unsupported-model', 'bad-input', 'not-found'];
  return codes.includes(error?.errorCode) || error?.name === 'FileError';
}

/** The same model has the same manifest everywhere, whatever name and mirror it was asked for by. @param {Repository} repository @param {Context} context */
function commandOf({ repo, commit }, { id, title, licence }) {
  const words = ['npm run models -- add', `hub:${repo}@${commit}`];
  for (const [option, value] of Object.entries({ id, title, licence })) {
    if (value !== undefined) words.push(`--${option}`, /\s/.test(value) ? `"${value}"` : value);
  }
  return words.join(' ');
}
