/** Builds the Node bundle when it is stale, and runs entries of it, where Dawn finds a driver. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { buildIfStale, ensureInstalled, giveUp, root, runNode } from './project.mjs';

const SOURCES = ['src', 'bench', 'tools/study', 'tools/site-models', 'tests/interop/engine.ts'];

/**
 * Builds the bundle when it is stale.
 * @param {'distill' | 'bench' | 'interop' | 'study' | 'site-models' | 'tokenizer-trial'} entry
 * @returns {string} path of the script of one entry
 */
export function buildBundle(entry) {
  ensureInstalled();
  const config = ['--config', 'tools/vite.node.config.mjs', '--logLevel', 'warn'];
  const built = buildIfStale('build-node', SOURCES, () =>
    runNode('vite/bin/vite.js', ['build', ...config]),
  );
  if (built !== 0) giveUp('The Node bundle could not be built: see above.');
  const script = join(root, 'build-node', `${entry}.js`);
  if (!existsSync(script)) giveUp(`This checkout has no ${entry} entry.`);
  return script;
}

/**
 * @param {'distill' | 'bench' | 'interop' | 'study'} entry
 * @param {string[]} args
 * @returns {Promise<number>} its exit code, which is made ours
 */
export async function runBundle(entry, args) {
  const script = buildBundle(entry);

  const { findVulkan } = await import('./vulkan.mjs');
  const { env, source } = findVulkan();
  const child = spawn(process.execPath, ['--enable-source-maps', script, ...args], {
    stdio: 'inherit',
    // The bundle reports RETORT_GPU_DRIVER: only we know where the driver was found.
    env: { ...process.env, ...env, RETORT_GPU_DRIVER: source },
  });
  const signals = /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP']);
  const relays = signals.map((signal) => /** @type {const} */ ([signal, () => child.kill(signal)]));
  for (const [signal, relay] of relays) process.on(signal, relay);
  return new Promise((resolve) => {
    child.on('exit', (code, signal) => {
      for (const [name, relay] of relays) process.off(name, relay);
      process.exitCode = code ?? 128 + (signal ? constants.signals[signal] : 1);
      resolve(process.exitCode);
    });
  });
}
