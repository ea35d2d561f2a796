/**
 * The models of this site beyond those that are bundled: folders under public/models, each with its
 * manifest, and `site.json`, which tells pages what there is. A folder is put in place by one rename,
 * when it is whole; what is unfinished lies in the work folder and is never served.
 */
import { createHash } from 'node:crypto';
import { cp, mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Some static hosts take no file above 25 MiB. */
export const PART_BYTES = 24 * 2 ** 20;
/** What pages take (src/formats/manifest.ts, src/formats/site-models.ts). */
const MOST_FILES = 64;
const MOST_TEXT = 200;
/** Of one file, which pages join in memory. */
export const MOST_BYTES = 2 ** 31 - 1;
const ID = /^[a-z0-9][a-z0-9._-]{0,63}$/;
const INNER_NAME = /^\w[\w.-]*$/;
const SHA256 = /^[0-9a-f]{64}$/;
const MANIFEST = 'manifest.json';
const LIST = 'site.json';

/** Something that the person who typed the command can mend. */
export class ModelsError extends Error {
  /** @override */
  name = 'ModelsError';
}

/**
 * @typedef {{ path: string, sha256: string, bytes: number }} Part
 * @typedef {Part & { parts?: Part[] }} File
 * @typedef {{
 *   id: string, title: string, kind: 'student' | 'guard' | 'judge', parameters: number,
 *   licence: string, source: string, command: string, versions: Record<string, string>,
 *   revision?: string,
 * }} Facts
 * @typedef {Facts & { version: string, files: File[] }} Manifest
 * @typedef {{ name: string, why: string }} LeftOut a folder that pages do not offer, and what to do
 */

/** @param {string} id */
export function requireId(id) {
  if (ID.test(id)) return id;
  throw new ModelsError(
    `"${id}" cannot name a model: 1 to 64 small letters, digits, dots, dashes and underscores.`,
  );
}

/** @param {string} name @param {string | undefined} text */
export function requireText(name, text) {
  if (text === undefined || (text !== '' && text.length <= MOST_TEXT)) return;
  throw new ModelsError(`--${name} takes 1 to ${MOST_TEXT} characters.`);
}

/** A name for a folder or repository of any name. @param {string} name */
export function idFrom(name) {
  const plain = name.toLowerCase().replace(/[^a-z0-9._-]+/g, '-');
  return requireId(plain.replace(/^[^a-z0-9]+/, '').slice(0, 64) || 'model');
}

export class ModelStore {
  /**
   * @param {string} models public/models
   * @param {string} work where unfinished things lie, on the same disk
   * @param {number} [partBytes] larger files are cut into parts of so much
   */
  constructor(models, work, partBytes = PART_BYTES) {
    this.models = models;
    this.work = work;
    this.partBytes = partBytes;
  }

  /** An empty folder to make a model in; what an earlier try left there is gone. @param {string} id */
  async startFolder(id) {
    const folder = join(this.work, `${requireId(id)}.partial`);
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder, { recursive: true });
    return folder;
  }

  /**
   * Cuts large files, writes the manifest and puts the folder in place of an older one of its id.
   * @param {string} folder of {@link startFolder}
   * @param {Facts} facts
   */
  async finish(folder, facts) {
    const target = join(this.models, requireId(facts.id));
    const old = await this.manifest(facts.id);
    if (!old && (await exists(target))) {
      throw new ModelsError(`${target} is there already and was not made by this command.`);
    }
    if (old && !old.source) {
      throw new ModelsError(`"${facts.id}" comes with Retort; choose another name with --id.`);
    }
    /** @type {File[]} */
    const files = [];
    for (const path of await walk(folder))
      files.push(await describeFile(folder, path, this.partBytes));
    /** @type {Manifest} */
    const manifest = { ...facts, version: '1.0.0', files };
    const fault = manifestFault(manifest, facts.id);
    if (fault) throw new ModelsError(`${facts.id} cannot be added. ${fault}`);
    await writeFile(join(folder, MANIFEST), `${JSON.stringify(manifest, null, 2)}\n`);
    const replaced = join(this.work, `${facts.id}.replaced`);
    await rm(replaced, { recursive: true, force: true });
    if (old) await rename(target, replaced);
    await rename(folder, target);
    await rm(replaced, { recursive: true, force: true });
    await this.writeList();
    return manifest;
  }

  /**
   * Every folder of a model that was added here or copied from another machine, by name, and those
   * that are none. Only their manifests are read.
   * @returns {Promise<{ added: Manifest[], leftOut: LeftOut[] }>}
   */
  async look() {
    /** @type {Manifest[]} */
    const added = [];
    /** @type {LeftOut[]} */
    const leftOut = [];
    const folders = await readdir(this.models, { withFileTypes: true }).catch(() => []);
    for (const { name } of folders.filter((entry) => !entry.isFile()).sort(byName)) {
      const manifest = await this.manifest(name);
      // What comes with Retort needs no list.
      if (manifest && !manifest.source) continue;
      const why = manifest
        ? manifestFault(manifest, name)
        : `It has no ${MANIFEST} that can be read.`;
      if (why) leftOut.push({ name, why });
      else if (manifest) added.push(manifest);
    }
    return { added, leftOut };
  }

  /** @param {string} id @returns {Promise<Manifest | null>} null where there is none that can be read */
  async manifest(id) {
    try {
      const json = JSON.parse(await readFile(join(this.models, id, MANIFEST), 'utf8'));
      return typeof json === 'object' ? json : null;
    } catch {
      return null;
    }
  }

  /** What links call a model: 16 hex digits of its manifest, which lists every byte. @param {string} id */
  async modelId(id) {
    return sha256(await readFile(join(this.models, id, MANIFEST))).slice(0, 16);
  }

  /** @param {string} id */
  async remove(id) {
    const manifest = await this.manifest(requireId(id));
    if (!manifest) throw new ModelsError(`There is no model "${id}" on this site.`);
    if (!manifest.source) throw new ModelsError(`"${id}" comes with Retort and stays.`);
    await rm(join(this.models, id), { recursive: true });
    await this.writeList();
  }

  /** What is wrong with the files of a model, byte by byte, as sentences. @param {Manifest} manifest */
  async check(manifest) {
    const wrong = await this.lacks(manifest);
    const folder = join(this.models, manifest.id);
    for (const file of manifest.files) {
      const whole = createHash('sha256');
      let isWhole = true;
      for (const part of file.parts ?? [file]) {
        const bytes = await readFile(join(folder, part.path)).catch(() => null);
        if (!bytes || bytes.byteLength !== part.bytes) isWhole = false;
        else if (sha256(bytes) !== part.sha256) {
          isWhole = false;
          wrong.push(`${part.path} is not the file that its manifest lists.`);
        } else whole.update(bytes);
      }
      if (isWhole && whole.digest('hex') !== file.sha256) {
        wrong.push(`The parts of ${file.path} do not make it.`);
      }
    }
    return wrong;
  }

  /** What is missing or cut, as sentences; no file is read. @param {Manifest} manifest */
  async lacks(manifest) {
    /** @type {string[]} */
    const wrong = [];
    for (const { path, bytes } of storedParts(manifest)) {
      const info = await stat(join(this.models, manifest.id, path)).catch(() => null);
      if (!info?.isFile()) wrong.push(`${path} is missing.`);
      else if (info.size !== bytes) {
        wrong.push(`${path} has ${info.size} bytes, not ${bytes}.`);
      }
    }
    return wrong;
  }

  /** Files in a model's folder that its manifest does not list: nobody reads them. @param {Manifest} manifest */
  async strays(manifest) {
    const listed = new Set([MANIFEST, ...storedParts(manifest).map(({ path }) => path)]);
    return (await walk(join(this.models, manifest.id))).filter((path) => !listed.has(path));
  }

  /**
   * Writes what pages read to know what this site has: the models whose files are all there. It is
   * gone where there is none.
   * @returns {Promise<{ offered: Manifest[], leftOut: LeftOut[] }>}
   */
  async writeList() {
    const path = join(this.models, LIST);
    const { added, leftOut } = await this.look();
    const offered = [];
    const models = [];
    for (const manifest of added) {
      const { id, title, kind, parameters, licence, files } = manifest;
      const wrong = await this.lacks(manifest);
      const config = await readJson(join(this.models, id, 'config.json'));
      if (wrong.length === 0 && !config) wrong.push('config.json is not JSON.');
      if (wrong.length > 0) {
        leftOut.push({
          name: id,
          why: `${wrong.join(' ')} Copy the folder again, or add the model.`,
        });
        continue;
      }
      offered.push(manifest);
      models.push({
        id,
        title,
        kind,
        family: String(config?.model_type ?? ''),
        bytes: files.reduce((sum, file) => sum + file.bytes, 0),
        parameters,
        licence,
        modelId: await this.modelId(id),
      });
    }
    if (models.length === 0) await rm(path, { force: true });
    else {
      const beside = `${path}.${process.pid}.part`;
      await writeFile(beside, `${JSON.stringify({ models }, null, 2)}\n`);
      await rename(beside, path);
    }
    return { offered, leftOut };
  }
}

/** @param {import('node:fs').Dirent} a @param {import('node:fs').Dirent} b */
const byName = (a, b) => (a.name < b.name ? -1 : 1);

/** The files on disk. @param {Manifest} manifest */
export function storedParts(manifest) {
  return manifest.files.flatMap(({ parts, ...file }) => parts ?? [file]);
}

/**
 * What keeps pages from reading a manifest, or from finding it under this name; null where nothing does.
 * @param {Record<string, any>} manifest whatever JSON it is
 * @param {string} name of its folder
 * @returns {string | null}
 */
function manifestFault(manifest, name) {
  const { id, title, kind, licence, source, revision, parameters, files } = manifest;
  const texts = { id, title, licence, source };
  for (const [field, value] of Object.entries(texts)) {
    if (
      typeof value !== 'string' ||
      value === '' ||
      value.length > (field === 'source' ? 1000 : MOST_TEXT)
    ) {
      return `The ${field} in its ${MANIFEST} is missing or too long.`;
    }
  }
  if (!['student', 'guard', 'judge'].includes(kind))
    return `The kind in its ${MANIFEST} is not student, guard or judge.`;
  if (revision !== undefined && !/^[0-9a-f]{40}$/.test(revision)) {
    return `The revision in its ${MANIFEST} is no commit.`;
  }
  if (!isCount(parameters)) return `The parameters in its ${MANIFEST} are no whole number.`;
  const isListed =
    Array.isArray(files) &&
    files.length <= MOST_FILES &&
    files.every(
      (file) =>
        isPart(file) &&
        (file.parts === undefined || (Array.isArray(file.parts) && file.parts.every(isPart))),
    );
  if (!isListed || !files.some((/** @type {File} */ { path }) => path === 'config.json')) {
    return `Its ${MANIFEST} lists no files of a model.`;
  }
  if (id === name && ID.test(name)) return null;
  return ID.test(id)
    ? `It is the model ${id} under another name; call the folder ${id}.`
    : `"${id}" cannot name a model.`;
}

/** @param {any} part */
function isPart(part) {
  return (
    typeof part?.path === 'string' &&
    part.path.split('/').every((/** @type {string} */ name) => INNER_NAME.test(name)) &&
    SHA256.test(part.sha256) &&
    isCount(part.bytes)
  );
}

/** @param {unknown} value */
function isCount(value) {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

/** @param {string} path @returns {Promise<Record<string, unknown> | null>} */
async function readJson(path) {
  try {
    const json = JSON.parse(await readFile(path, 'utf8'));
    return typeof json === 'object' ? json : null;
  } catch {
    return null;
  }
}

/** @param {string} folder @param {string} path @param {number} partBytes @returns {Promise<File>} */
async function describeFile(folder, path, partBytes) {
  const whole = join(folder, path);
  const { size } = await stat(whole);
  if (size > MOST_BYTES) {
    throw new ModelsError(
      `${path} has ${size} bytes, and pages join at most ${MOST_BYTES} of one file in memory.`,
    );
  }
  const hash = createHash('sha256');
  if (size <= partBytes) {
    const bytes = await readFile(whole);
    return { path, sha256: sha256(bytes), bytes: size };
  }
  /** @type {Part[]} */
  const parts = [];
  const handle = await open(whole);
  try {
    for (let at = 0; at < size; at += partBytes) {
      const bytes = Buffer.alloc(Math.min(partBytes, size - at));
      await handle.read(bytes, 0, bytes.length, at);
      hash.update(bytes);
      const part = `${path}.part${String(parts.length).padStart(3, '0')}`;
      await writeFile(join(folder, part), bytes);
      parts.push({ path: part, sha256: sha256(bytes), bytes: bytes.length });
    }
  } finally {
    await handle.close();
  }
  await rm(whole);
  return { path, sha256: hash.digest('hex'), bytes: size, parts };
}

/** Files under a folder, relative, with slashes, sorted. @param {string} folder @param {string} [at] @returns {Promise<string[]>} */
async function walk(folder, at = '') {
  const found = [];
  for (const entry of await readdir(join(folder, at), { withFileTypes: true })) {
    const path = at ? `${at}/${entry.name}` : entry.name;
    if (entry.isDirectory()) found.push(...(await walk(folder, path)));
    else found.push(path);
  }
  return found.sort();
}

/** @param {Uint8Array} bytes */
function sha256(bytes) {
  return createHash('sha256').update(bytes).digest('hex');
}

/** @param {string} path */
async function exists(path) {
  return (await stat(path).catch(() => null)) !== null;
}

/** Copies a file into a folder under another path. @param {string} from @param {string} to */
export async function copyFile(from, to) {
  await mkdir(join(to, '..'), { recursive: true });
  await cp(from, to);
}
