/**
 * `npm test`: installs what is missing, finds a Chromium, then checks everything in order.
 *
 *   node tools/test.mjs [--only format|lint|types|unit|kernels|build|e2e]…
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { buildSite, ensureInstalled, giveUp, runCommand, runNode } from './project.mjs';

/** @typedef {{ code: number, passed?: number, failed?: number, skipped?: number }} Outcome */

const reports = mkdtempSync(join(tmpdir(), 'retort-test-'));

/** @param {string} name */
function readReport(name) {
  const path = join(reports, name);
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : undefined;
}

/** @param {string} project @returns {Outcome} */
function vitest(project) {
  const file = `${project}.json`;
  const code = runNode('vitest/vitest.mjs', [
    'run',
    `--project=${project}`,
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${join(reports, file)}`,
  ]);
  const report = readReport(file);
  return {
    code,
    passed: report?.numPassedTests,
    failed: report?.numFailedTests,
    skipped: report?.numPendingTests,
  };
}

/** @returns {Promise<number>} a port that nobody listens on */
function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(address && typeof address === 'object' ? address.port : 4187));
    });
  });
}

/** @returns {Promise<Outcome>} */
async function endToEnd() {
  const code = runNode('@playwright/test/cli.js', ['test', '--reporter=list,json'], {
    RETORT_E2E_PORT: String(await freePort()),
    PLAYWRIGHT_JSON_OUTPUT_NAME: join(reports, 'e2e.json'),
  });
  const stats = readReport('e2e.json')?.stats;
  return {
    code,
    passed: stats && stats.expected + stats.flaky,
    failed: stats?.unexpected,
    skipped: stats?.skipped,
  };
}

/** @returns {Outcome} */
function types() {
  const sync = runNode('@sveltejs/kit/svelte-kit.js', ['sync']);
  const code =
    sync ||
    runNode('svelte-check/bin/svelte-check', [
      '--tsconfig',
      './tsconfig.json',
      '--fail-on-warnings',
      '--output',
      'human',
    ]);
  return { code };
}

/** @type {Record<string, () => Outcome | Promise<Outcome>>} */
const stages = {
  format: () => ({ code: runNode('prettier/bin/prettier.cjs', ['--check', '.']) }),
  lint: () => ({ code: runNode('eslint/bin/eslint.js', ['.', '--max-warnings', '0']) }),
  types,
  unit: () => vitest('node'),
  kernels: () => vitest('browser'),
  build: () => ({ code: buildSite() }),
  e2e: endToEnd,
};

/** Makes sure that $CHROMIUM names a browser, installing Debian's where that is possible. */
async function ensureChromium() {
  const { findChromium } = await import('./chromium.mjs');
  let path = findChromium();
  const isDebian = existsSync('/etc/debian_version') && process.getuid?.() === 0;
  if (!path && isDebian) {
    console.log('No Chromium found: installing the one of Debian …');
    const apt = { DEBIAN_FRONTEND: 'noninteractive' };
    runCommand('apt-get', ['update', '-qq'], apt);
    runCommand('apt-get', ['install', '-y', '-qq', '--no-install-recommends', 'chromium'], apt);
    path = findChromium();
  }
  if (!path) {
    giveUp(
      'No Chromium found: install Chromium or Google Chrome, or run "npx playwright install chromium", or set CHROMIUM to its path; then run npm test again.',
    );
  }
  process.env.CHROMIUM = path;
  const version = spawnSync(path, ['--version', '--no-sandbox'], { encoding: 'utf8' }).stdout;
  console.log(`Browser: ${version?.trim() || path}`);
}

/** @returns {string[]} the stages to run */
function chosenStages() {
  const names = Object.keys(stages);
  try {
    const { values } = parseArgs({ options: { only: { type: 'string', multiple: true } } });
    const unknown = values.only?.find((name) => !names.includes(name));
    if (unknown) throw new Error(`There is no stage "${unknown}".`);
    return names.filter((name) => !values.only || values.only.includes(name));
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    console.error(`Usage: npm test -- [--only ${names.join('|')}]…`);
    return process.exit(2);
  }
}

const chosen = chosenStages();
ensureInstalled();
if (chosen.includes('kernels') || chosen.includes('e2e')) await ensureChromium();

const total = { passed: 0, failed: 0, skipped: 0 };
/** @type {string[]} */
const lines = [];
let isBuilt = true;
for (const name of chosen) {
  if (name === 'e2e' && !isBuilt) {
    lines.push('e2e      not run: there is no build');
    total.failed += 1;
    continue;
  }
  console.log(`\n── ${name} ──`);
  const start = Date.now();
  const { code, passed, failed = 0, skipped = 0 } = await stages[name]();
  // A stage without counts is one check; a runner that fails without a failed test is one failure.
  const failures = code === 0 ? failed : Math.max(failed, 1);
  const passes = passed ?? (code === 0 ? 1 : 0);
  total.passed += passes;
  total.failed += failures;
  total.skipped += skipped;
  if (name === 'build') isBuilt = code === 0;
  const seconds = ((Date.now() - start) / 1000).toFixed(0);
  lines.push(
    `${name.padEnd(8)} ${failures === 0 ? 'ok' : 'FAILED'} in ${seconds} s (${passes} passed, ${failures} failed${skipped ? `, ${skipped} skipped` : ''})`,
  );
}
rmSync(reports, { recursive: true, force: true });

console.log(`\n${lines.join('\n')}`);
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exitCode = total.failed === 0 ? 0 : 1;
