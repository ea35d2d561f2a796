/** A Python of the command's own: a virtual environment with pinned tools, made once, whole or not at all. */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, rm, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ModelsError } from './store.mjs';

const NEEDED = [3, 10];
/** What the tools take when they are installed, and what downloading them takes, in bytes; rounded up. */
export const TOOLS_DISK = 2.5e9;
export const TOOLS_DOWNLOAD = 400e6;

/** Libraries of the tools read a folder, and ask no hub for what they miss in it. */
const OFFLINE = { ...process.env, HF_HUB_OFFLINE: '1', TRANSFORMERS_OFFLINE: '1' };

/** The first interpreter that is new enough, or one clear line. @returns {string} */
export function findPython() {
  const seen = [];
  for (const name of process.env.PYTHON ? [process.env.PYTHON] : ['python3', 'python']) {
    const script = 'import sys; print("%d.%d" % sys.version_info[:2])';
    const { status, stdout } = spawnSync(name, ['-c', script], { encoding: 'utf8' });
    if (status !== 0) continue;
    const version = stdout.trim();
    const [major = 0, minor = 0] = version.split('.').map(Number);
    if (major > NEEDED[0] || (major === NEEDED[0] && minor >= NEEDED[1])) return name;
    seen.push(`${name} is Python ${version}`);
  }
  const found = seen.length > 0 ? `: ${seen.join(', ')}` : ' and none was found';
  throw new ModelsError(`This needs Python 3.10 or newer${found}. PYTHON can name another one.`);
}

/**
 * The interpreter of a virtual environment that has what `requirements` lists, installed first where
 * it is missing. A half-installed one is installed again.
 * @param {string} folder
 * @param {string} requirements path
 * @returns {Promise<string>}
 */
export async function ensureTools(folder, requirements) {
  const wanted = createHash('sha256').update(readFileSync(requirements)).digest('hex');
  const stamp = join(folder, '.requirements');
  const python = join(folder, process.platform === 'win32' ? 'Scripts/python.exe' : 'bin/python');
  if (existsSync(python) && existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) {
    return python;
  }
  const base = findPython();
  await requireDisk(join(folder, '..'), TOOLS_DISK);
  await rm(stamp, { force: true });
  await mkdir(folder, { recursive: true });
  await runTool(base, ['-m', 'venv', folder], 'A Python environment could not be made');
  await runTool(
    python,
    ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '-r', requirements],
    'The export tools could not be installed (they come from PyPI, once)',
  );
  await writeFile(stamp, wanted);
  return python;
}

/** @param {string} folder @param {number} bytes */
export async function requireDisk(folder, bytes) {
  await mkdir(folder, { recursive: true });
  const { bavail, bsize } = await statfs(folder);
  const free = bavail * bsize;
  if (free >= bytes) return;
  throw new ModelsError(
    `${gigabytes(bytes)} of disk are needed in ${folder}, and ${gigabytes(free)} are free.`,
  );
}

/** @param {number} bytes */
export function gigabytes(bytes) {
  return bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${Math.ceil(bytes / 1e6)} MB`;
}

/**
 * Runs a program; what it says is shown only where it fails.
 * @param {string} command
 * @param {string[]} args
 * @param {string} failure how the sentence begins that names the last line it wrote
 * @returns {Promise<void>}
 */
export function runTool(command, args, failure) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'], env: OFFLINE });
    let words = '';
    child.stderr.setEncoding('utf8');
    child.stderr.on('data', (text) => {
      words = (words + text).slice(-20_000);
    });
    child.on('error', (error) => reject(new ModelsError(`${failure}: ${error.message}`)));
    child.on('exit', (code) => {
      if (code === 0) return resolve();
      const last =
        words
          .trim()
          .split(/[\r\n]+/)
          .at(-1) ?? '';
      reject(new ModelsError(`${failure}${last ? `: ${last}` : `: exit code ${code}`}`));
    });
  });
}
