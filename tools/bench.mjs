/** `npm run bench -- …`: the benchmarks of bench/ in headless Chromium, or in Node on Dawn. */
import { existsSync, rmSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { commandOf, FRESH, parseBenchArgs, USAGE, UsageError } from './bench-args.mjs';
import { treeCpuSeconds } from './bench-cpu.mjs';
import { formatTable, meetsGoal, mergeRuns } from './bench-report.mjs';
import { commitHash } from './commit.mjs';
import { EndedError, endOnSignal, unlessEnded } from './ending.mjs';
import { runBundle } from './node-bundle.mjs';
import {
  buildIfStale,
  ensureInstalled,
  giveUp,
  isInstalled,
  root,
  runCommand,
  runNode,
} from './project.mjs';

/** @typedef {import('./bench-args.mjs').BenchOptions} BenchOptions */
/** @typedef {import('./bench-report.mjs').Metric} Metric */
/** @typedef {{ environment: Record<string, unknown>, suites: Record<string, Metric[]> }} Partial */
/**
 * One suite in a process or tab of its own.
 * @typedef {(suite: string, repeats: number) => Promise<Partial>} RunSuite
 */

function readOptions() {
  try {
    return parseBenchArgs(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`${error.message}\n${USAGE}`);
    return process.exit(2);
  }
}

/** Installs the peers of bench/peers by their own lockfile; false where that cannot be done. */
function ensurePeers() {
  const folder = join(root, 'bench/peers');
  if (isInstalled(folder)) return true;
  console.log('Installing the libraries to compare with (npm ci in bench/peers) …');
  return runCommand('npm', ['ci', '--prefix', folder, '--loglevel=error']) === 0;
}

/** How long a browser may take to close before it is killed. */
const CLOSE_MS = 5000;

/** @param {import('playwright').BrowserServer} browser */
async function closeBrowser(browser) {
  const patience = setTimeout(() => void browser.kill(), CLOSE_MS);
  await browser.close();
  clearTimeout(patience);
}

/**
 * @param {BenchOptions} options
 * @param {(run: RunSuite, environment: Record<string, unknown>) => Promise<void>} use
 * @param {AbortSignal} ended
 */
async function withChromium(options, use, ended) {
  const wanted = options.peers && options.suites.includes('step');
  const peers = wanted && ensurePeers();
  if (wanted && !peers) console.error('The peers cannot be installed here: ours runs alone.');
  const page = join(root, 'build-bench');
  // A page that was built before the peers were installed is without them.
  if (peers && !existsSync(join(page, 'peers.js'))) rmSync(page, { recursive: true, force: true });
  const built = buildIfStale('build-bench', ['src', 'bench', 'tools/vite.bench.config.mjs'], () =>
    runNode('vite/bin/vite.js', [
      'build',
      '--config',
      'tools/vite.bench.config.mjs',
      '--logLevel',
      'error',
    ]),
  );
  if (built !== 0) giveUp('The page of the benchmarks could not be built: see above.');

  const { chromium } = await import('playwright');
  const { chromiumFlags, findChromium } = await import('./chromium.mjs');
  const { serveBench } = await import('./bench-server.mjs');
  const executablePath = findChromium();
  if (!executablePath) giveUp('No Chromium found: install it, or set CHROMIUM to its path.');
  const server = await serveBench();

  /** @param {(browser: import('playwright').Browser, pid: number) => Promise<Partial>} work */
  async function inBrowser(work) {
    ended.throwIfAborted();
    // Playwright would close the browser at a signal and let us start the next one.
    const ours = { handleSIGINT: false, handleSIGTERM: false, handleSIGHUP: false };
    const launched = await chromium.launchServer({ executablePath, args: chromiumFlags, ...ours });
    try {
      const browser = await unlessEnded(ended, chromium.connect(launched.wsEndpoint()));
      return await unlessEnded(ended, work(browser, launched.process().pid ?? 0));
    } finally {
      await closeBrowser(launched);
    }
  }

  /** @type {Record<string, unknown>} */
  const environment = {};
  try {
    await use(async (suite, repeats) => {
      return inBrowser(async (browser, pid) => {
        environment.browser = `Chromium ${browser.version()}`;
        const page = await browser.newPage();
        page.on('console', (message) => console.log(`  ${message.text()}`));
        page.on('pageerror', (error) => console.error(error));
        await page.exposeFunction('hostCpuSeconds', () => treeCpuSeconds(pid));
        await page.goto(server.address);
        const order = { suites: [suite], repeats, peers: peers && suite === 'step' };
        return page.evaluate((given) => globalThis.retortBench(given), order);
      });
    }, environment);
  } finally {
    server.close();
  }
}

/**
 * @param {BenchOptions} options
 * @param {(run: RunSuite, environment: Record<string, unknown>) => Promise<void>} use
 * @param {AbortSignal} ended
 */
async function withDawn(options, use, ended) {
  const folder = await mkdtemp(join(tmpdir(), 'retort-bench-'));
  const output = join(folder, 'report.json');
  if (options.peers && options.suites.includes('step')) {
    console.log('The peers run in Chromium only: here ours runs alone.');
  }
  try {
    await use(async (suite, repeats) => {
      ended.throwIfAborted();
      const code = await runBundle('bench', [JSON.stringify({ suites: [suite], repeats, output })]);
      ended.throwIfAborted();
      if (code !== 0) throw new Error(`The process ended with code ${code}.`);
      return JSON.parse(await readFile(output, 'utf8'));
    }, {});
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * @param {BenchOptions} options
 * @param {AbortSignal} ended
 */
async function main(options, ended) {
  ensureInstalled();
  if (options.exportTo) {
    await runBundle('bench', [
      JSON.stringify({ suites: [], repeats: 1, exportTo: resolve(options.exportTo) }),
    ]);
    return;
  }
  const [cpu] = cpus();
  /** @type {Record<string, unknown>} */
  const environment = {
    node: process.version,
    processor: `${cpu?.model ?? 'unknown'}, ${cpus().length} logical cores`,
    date: new Date().toISOString().slice(0, 10),
    commit: commitHash(root),
    command: commandOf(options),
  };
  /** @type {Record<string, Metric[]>} */
  const suites = {};
  /** @type {Record<string, string>} */
  const failures = {};
  const host = options.dawn ? withDawn : withChromium;
  /** @type {(run: RunSuite, found: Record<string, unknown>) => Promise<void>} */
  const runAll = async (run, found) => {
    for (const suite of options.suites) {
      const started = Date.now();
      console.log(`${suite} …`);
      try {
        const isFresh = FRESH.includes(suite);
        const runs = [];
        for (let i = 0; i < (isFresh ? options.repeats : 1); i++) {
          runs.push(await run(suite, isFresh ? 1 : options.repeats));
        }
        suites[suite] = mergeRuns(runs.map((one) => one.suites[suite] ?? []));
        const { peers, ...rest } = runs[0]?.environment ?? {};
        Object.assign(environment, found, rest);
        if (peers && Object.keys(peers).length > 0) environment.peers = peers;
      } catch (error) {
        if (error instanceof EndedError) throw error;
        failures[suite] = error instanceof Error ? error.message : String(error);
        console.error(`${suite} failed: ${failures[suite]}`);
      }
      console.log(`${suite}: ${((Date.now() - started) / 1000).toFixed(0)} s in all`);
      if (Object.keys(failures).length > 0) environment.failures = failures;
      // After every suite: a later one must not take what is measured with it.
      if (options.json) {
        await writeFile(options.json, `${JSON.stringify({ environment, suites }, null, 2)}\n`);
      }
    }
  };
  await host(options, runAll, ended);
  const report = { environment, suites };
  console.log(formatTable(report));
  const missed = Object.values(suites)
    .flat()
    .filter((metric) => meetsGoal(metric) === false);
  process.exitCode = Object.keys(failures).length > 0 ? 1 : 0;
  if (missed.length > 0) console.log('A missed goal is a figure, not an error: exit code 0.');
}

try {
  await main(readOptions(), endOnSignal());
} catch (error) {
  if (!(error instanceof EndedError)) throw error;
  // The page's own promises may still hold the process.
  process.exit(error.exitCode);
}
