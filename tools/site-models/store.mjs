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
const ID = /^[a-z0-9][a-z0-9._-]{0,63}$/;
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
 * }} Facts
 * @typedef {Facts & { version: string, files: File[] }} Manifest
 */

/** @param {string} id */
export function requireId(id) {
  if (ID.test(id)) return id;
  throw new ModelsError(
    `"${id}" cannot name a model: 1 to 64 small letters, digits, dots, dashes and underscores.`,
  );
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
    await writeFile(join(folder, MANIFEST), `${JSON.stringify(manifest, null, 2)}\n`);
    const replaced = join(this.work, `${facts.id}.replaced`);
    await rm(replaced, { recursive: true, force: true });
    if (old) await rename(target, replaced);
    await rename(folder, target);
    await rm(replaced, { recursive: true, force: true });
    await this.writeList();
    return manifest;
  }

  /** Every model of the site that was added, by id. @returns {Promise<Manifest[]>} */
  async added() {
    const found = [];
    for (const name of (await readdir(this.models).catch(() => [])).sort()) {
      const manifest = await this.manifest(name);
      if (manifest?.source) found.push(manifest);
    }
    return found;
  }

  /** @param {string} id @returns {Promise<Manifest | null>} null where there is none that can be read */
  async manifest(id) {
    try {
      return JSON.parse(await readFile(join(this.models, id, MANIFEST), 'utf8'));
    } catch {
      return null;
    }
  }

  /** @param {string} id */
  async remove(id) {
    const manifest = await this.manifest(requireId(id));
    if (!manifest) throw new ModelsError(`There is no model "${id}" on this site.`);
    if (!manifest.source) throw new ModelsError(`"${id}" comes with Retort and stays.`);
    await rm(join(this.models, id), { recursive: true });
    await this.writeList();
  }

  /** What is wrong with the files of a model, as sentences. @param {Manifest} manifest */
  async check(manifest) {
    const folder = join(this.models, manifest.id);
    /** @type {string[]} */
    const wrong = [];
    for (const file of manifest.files) {
      const whole = createHash('sha256');
      for (const part of file.parts ?? [file]) {
        const bytes = await readFile(join(folder, part.path)).catch(() => null);
        if (!bytes) wrong.push(`${part.path} is missing.`);
        else if (bytes.byteLength !== part.bytes || sha256(bytes) !== part.sha256) {
          wrong.push(`${part.path} is not the file that its manifest lists.`);
        } else whole.update(bytes);
      }
      if (wrong.length === 0 && whole.digest('hex') !== file.sha256) {
        wrong.push(`The parts of ${file.path} do not make it.`);
      }
    }
    return wrong;
  }

  /** What pages read to know what this site has; gone where nothing was added. */
  async writeList() {
    const path = join(this.models, LIST);
    const models = [];
    for (const { id, title, kind, parameters, licence, files } of await this.added()) {
      const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
      const manifest = await readFile(join(this.models, id, MANIFEST));
      const config = JSON.parse(await readFile(join(this.models, id, 'config.json'), 'utf8'));
      models.push({
        id,
        title,
        kind,
        family: String(config.model_type ?? ''),
        bytes,
        parameters,
        licence,
        modelId: sha256(manifest).slice(0, 16),
      });
    }
    if (models.length === 0) await rm(path, { force: true });
    else await writeFile(path, `${JSON.stringify({ models }, null, 2)}\n`);
  }
}

/** @param {string} folder @param {string} path @param {number} partBytes @returns {Promise<File>} */
async function describeFile(folder, path, partBytes) {
  const whole = join(folder, path);
  const { size } = await stat(whole);
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
