/** What the npm scripts share: where the project is, what is installed, what is stale. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { commitHash } from './commit.mjs';

export const root = fileURLToPath(new URL('..', import.meta.url));

/** Ends the process with one sentence. @param {string} sentence @returns {never} */
export function giveUp(sentence) {
  console.error(sentence);
  process.exit(1);
}

/**
 * Runs a program in the project folder with our terminal and returns its exit code.
 * @param {string} command
 * @param {string[]} args
 * @param {NodeJS.ProcessEnv} [env]
 */
export function runCommand(command, args, env) {
  const result = spawnSync(command, args, {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, ...env },
    // npm is a .cmd file on Windows, which only a shell starts.
    shell: process.platform === 'win32' && command === 'npm',
  });
  if (result.error) console.error(`Could not run ${command}: ${result.error.message}`);
  return result.status ?? 1;
}

/**
 * Runs a JavaScript program of an installed package with this Node.
 * @param {string} script path inside node_modules
 * @param {string[]} args
 * @param {NodeJS.ProcessEnv} [env]
 */
export function runNode(script, args, env) {
  return runCommand(process.execPath, [join(root, 'node_modules', script), ...args], env);
}

/** @param {string} path @returns {Record<string, { version?: string, optional?: boolean, devOptional?: boolean, link?: boolean }>} */
function lockedPackages(path) {
  return JSON.parse(readFileSync(path, 'utf8')).packages ?? {};
}

/** Whether node_modules holds exactly what the lockfile asks for (optional packages may be absent). */
export function isInstalled(folder = root) {
  const installedLock = join(folder, 'node_modules', '.package-lock.json');
  if (!existsSync(installedLock)) return false;
  const installed = lockedPackages(installedLock);
  return Object.entries(lockedPackages(join(folder, 'package-lock.json'))).every(
    ([path, { version, optional, devOptional }]) => {
      if (path === '') return true;
      const present = installed[path];
      return present ? present.version === version : Boolean(optional || devOptional);
    },
  );
}

/** Installs what is missing, or ends the process with a sentence. */
export function ensureInstalled() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 19)) {
    giveUp(`Retort needs Node 20.19 or newer; this is Node ${process.versions.node}.`);
  }
  if (isInstalled()) return;
  console.log('Installing packages (npm ci) …');
  if (runCommand('npm', ['ci', '--no-fund', '--no-audit', '--loglevel=error']) !== 0) {
    giveUp('npm ci failed: see above. Retort needs the npm registry once; later it works offline.');
  }
}

/** @param {string} path @param {(file: string) => void} visit */
function walk(path, visit) {
  const info = statSync(path, { throwIfNoEntry: false });
  if (info?.isFile()) visit(path);
  if (!info?.isDirectory()) return;
  for (const name of readdirSync(path).sort()) {
    if (name !== 'node_modules') walk(join(path, name), visit);
  }
}

/**
 * Hash over the contents of files and folders of the project, and over the commit they carry.
 * @param {string[]} paths relative to the project
 */
export function hashSources(paths) {
  const hash = createHash('sha256').update(commitHash(root));
  for (const path of paths) {
    walk(join(root, path), (file) => {
      hash.update(`\n${file.slice(root.length)}\n`).update(readFileSync(file));
    });
  }
  return hash.digest('hex');
}

const CONFIG = [
  'package-lock.json',
  'svelte.config.js',
  'vite.config.ts',
  'tsconfig.json',
  'tools/csp.mjs',
  'tools/commit.mjs',
  'tools/vite.node.config.mjs',
];

/**
 * Runs `build` unless `output` was built from the same sources; returns its exit code. Of commands
 * that start together one builds and the others wait: a build empties the folder first.
 * @param {string} output folder that the build writes
 * @param {string[]} sources
 * @param {() => number} build
 */
export function buildIfStale(output, sources, build) {
  const stamp = join(root, output, '.stamp');
  const wanted = hashSources([...sources, ...CONFIG]);
  const isFresh = () => existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted;
  if (isFresh()) return 0;
  return locked(join(root, 'node_modules', `.${output}.lock`), () => {
    if (isFresh()) return 0;
    const code = build();
    if (code === 0) writeFileSync(stamp, wanted);
    return code;
  });
}

/**
 * Runs `job` while no other process holds the file `lock`; one whose process has ended holds nothing.
 * @param {string} lock
 * @param {() => number} job
 */
export function locked(lock, job) {
  for (;;) {
    try {
      writeFileSync(lock, String(process.pid), { flag: 'wx' });
      break;
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
    }
    if (isHeld(lock)) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
    else rmSync(lock, { force: true });
  }
  try {
    return job();
  } finally {
    rmSync(lock, { force: true });
  }
}

/** @param {string} lock */
function isHeld(lock) {
  try {
    const holder = Number(readFileSync(lock, 'utf8'));
    // Between making the file and writing to it there is nothing in it.
    if (!holder) return Date.now() - statSync(lock).mtimeMs < 5000;
    process.kill(holder, 0);
    return true;
  } catch (error) {
    // A process of somebody else's is one.
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

/** Builds the site into build/ when it is stale. */
export function buildSite() {
  return buildIfStale('build', ['src', 'public'], () => {
    console.log('Building …');
    return runNode('vite/bin/vite.js', ['build', '--logLevel', 'warn']);
  });
}
