// A person brings a model: a hub repository by its name, a folder by dropping it.
import { rm } from 'node:fs/promises';
import AxeBuilder from '@axe-core/playwright';
import { expect, type Page, test } from '@playwright/test';
import { createStaticServer } from '../../tools/serve.mjs';
import { startHub } from '../hub-server.mjs';
import { hubRepository, modelFolder } from './fixture-model';
import { dropFolder, keptRuns, openDialog, watchWorkers } from './site';

const MINUTE = 60_000;
const COMMIT = '0123456789abcdef0123456789abcdef01234567';

/** The built site with a policy that lets it reach one more hub, that of this test. */
async function serveWithHub(hubs: readonly string[]) {
  const server = createStaticServer({ root: 'build' });
  server.prependListener('request', (_, response) => {
    const set = response.setHeader.bind(response);
    response.setHeader = (name, value) =>
      set(
        name,
        name === 'Content-Security-Policy'
          ? String(value).replace("connect-src 'self'", `connect-src 'self' ${hubs.join(' ')}`)
          : value,
      );
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('The server has no port.');
  return {
    url: `http://127.0.0.1:${address.port}`,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** Trains a few steps with what is chosen, and gives the kept run. */
async function trainThreeSteps(page: Page) {
  await page.getByLabel('Steps', { exact: true }).fill('3');
  await page.getByLabel('Batch').fill('2');
  await page.getByRole('button', { name: 'Start', exact: true }).click();
  const heading = page.getByRole('region', { name: 'Run', exact: true }).getByRole('heading');
  // Nothing is prepared for a model that a person brings: it answers every training prompt first.
  await expect(heading).toHaveText(/^(Measuring|Stopped)/, { timeout: 8 * MINUTE });
  await expect(page.locator('main').getByRole('alert').filter({ hasText: /\S/ })).toHaveCount(0);
  await page.getByRole('button', { name: 'Cancel' }).click();
  await expect(page.getByRole('heading', { name: 'Result' })).toBeVisible({ timeout: MINUTE });
  const [run] = await keptRuns(page);
  if (!run) throw new Error('No run was kept.');
  expect(run.steps.map(({ step }) => step)).toEqual([1, 2, 3]);
  expect(run.steps.every(({ loss }) => Number.isFinite(loss) && loss > 0)).toBe(true);
  expect(run.values.some((value) => value !== 0)).toBe(true);
  return run;
}

test('a hub repository downloads once, agrees with the runtime and trains', async ({ page }) => {
  test.setTimeout(12 * MINUTE);
  const hub = await startHub();
  const site = await serveWithHub([hub.url, hub.cdnUrl]);
  try {
    const repository = await hubRepository('local/tiny-llama', COMMIT, 'llama-optimum');
    await page.request.post(`${hub.url}/__hub/repo`, { data: repository });
    await page.addInitScript((url) => localStorage.setItem('retort-hub', url), hub.url);
    await page.goto(`${site.url}/lab/`, { waitUntil: 'networkidle' });

    const dialog = await openDialog(page);
    await dialog.getByLabel('Hub repository, with ONNX files').fill('not a name');
    await dialog.getByRole('button', { name: 'Use it' }).click();
    await expect(dialog.getByRole('alert')).toContainText('organisation/name');
    await dialog.getByLabel('Hub repository, with ONNX files').fill('local/tiny-llama');
    await dialog.getByRole('button', { name: 'Use it' }).click();
    await expect(dialog.getByText('Chosen: local/tiny-llama (q4)')).toBeVisible();
    const { violations } = await new AxeBuilder({ page }).analyze();
    expect(violations).toEqual([]);
    await dialog.getByRole('button', { name: 'Done' }).click();
    await expect(page.getByText(/tiny-llama \(q4\) is downloaded from the hub/)).toBeVisible();

    const run = await trainThreeSteps(page);
    // The branch was pinned to its commit.
    expect(run.recipe.student).toBe(`hub:local/tiny-llama@${COMMIT}/q4`);
    expect(run.dim).toBe(64);

    const log = (await (
      await page.request.get(`${hub.url}/__hub/log?repo=local/tiny-llama`)
    ).json()) as { server: string; method: string; path: string; status: number }[];
    const weights = log.filter(
      ({ server, method, path }) =>
        server === 'cdn' && method === 'GET' && path === 'onnx/model_q4.onnx',
    );
    // Runtime and engine read the same stored bytes.
    expect(weights).toHaveLength(1);

    await page.reload({ waitUntil: 'networkidle' });
    const again = await openDialog(page);
    const stored = again.getByRole('region', { name: 'Stored models' });
    await expect(stored).toContainText('local/tiny-llama');
    await stored.getByRole('button', { name: 'Delete local/tiny-llama q4' }).click();
    await expect(stored).toHaveCount(0);
  } finally {
    site.close();
    await hub.close();
  }
});

test('a repository that is not there says so, and pocket still works', async ({ page }) => {
  const hub = await startHub();
  const site = await serveWithHub([hub.url, hub.cdnUrl]);
  try {
    await page.addInitScript((url) => localStorage.setItem('retort-hub', url), hub.url);
    await page.goto(`${site.url}/lab/`, { waitUntil: 'networkidle' });
    const dialog = await openDialog(page);
    await dialog.getByLabel('Hub repository, with ONNX files').fill('local/nobody');
    await dialog.getByRole('button', { name: 'Use it' }).click();
    await dialog.getByRole('button', { name: 'Done' }).click();
    await page.getByRole('button', { name: 'Start', exact: true }).click();
    const alert = page.locator('main').getByRole('alert').filter({ hasText: 'local/nobody' });
    await expect(alert).toContainText('shows no model local/nobody', { timeout: MINUTE });
    await openDialog(page);
    await dialog.getByRole('radio', { name: 'Pocket' }).check();
    await dialog.getByRole('button', { name: 'Done' }).click();
    await page.getByRole('button', { name: 'Start', exact: true }).click();
    const heading = page.getByRole('region', { name: 'Run', exact: true }).getByRole('heading');
    await expect(heading).toHaveText(/^Training, step/, { timeout: 3 * MINUTE });
    await page.getByRole('button', { name: 'Stop' }).click();
  } finally {
    site.close();
    await hub.close();
  }
});

test('a dropped folder trains without a copy of it', async ({ page, baseURL }) => {
  test.setTimeout(12 * MINUTE);
  const { parent, path } = await modelFolder('my qwen', 'qwen2-packed');
  const asked = await watchWorkers(page);
  try {
    await page.goto(`${baseURL}/lab/`, { waitUntil: 'networkidle' });
    const dialog = await openDialog(page);
    await dropFolder(page, dialog, path);
    await expect(dialog.getByText('Chosen: my qwen')).toBeVisible();
    await dialog.getByRole('button', { name: 'Done' }).click();
    await expect(page.getByText('my qwen is read from your folder, never copied.')).toBeVisible();

    await test.step('nothing is loaded or prepared before Start, and Cancel ends it', async () => {
      // What an earlier visit has left is all that was looked for.
      expect(asked.filter((name) => !/^(checkpoint|sweepResults)$/.test(name))).toEqual([]);
      await page.getByRole('button', { name: 'Start', exact: true }).click();
      const heading = page.getByRole('region', { name: 'Run', exact: true }).getByRole('heading');
      await expect(heading).toHaveText(/^Preparing/, { timeout: 2 * MINUTE });
      await expect(page.getByText(/\d+ of \d+/).first()).toBeVisible();
      await page.getByRole('button', { name: 'Cancel' }).click();
      await expect(heading).toHaveText('Ready to start', { timeout: MINUTE / 2 });
      expect(await keptRuns(page)).toEqual([]);
    });
    const run = await trainThreeSteps(page);
    expect(run.recipe.student).toBe('folder:my qwen');
  } finally {
    await rm(parent, { recursive: true });
  }
});

test('the larger bundled student opens in the lab and answers', async ({ page, baseURL }) => {
  test.setTimeout(5 * MINUTE);
  await page.goto(`${baseURL}/lab/`, { waitUntil: 'networkidle' });
  const dialog = await openDialog(page);
  await dialog.getByRole('radio', { name: /class/i }).check();
  await dialog.getByRole('button', { name: 'Done' }).click();
  await page.getByLabel('Batch').fill('1');
  await page.getByRole('button', { name: 'Step', exact: true }).click();
  const board = page.getByRole('region', { name: 'Answers to the same questions' });
  const base = board.locator('article').first().locator('dd').first();
  await expect(base).toHaveText(/\w{2}/, { timeout: 3 * MINUTE });
  await expect(page.locator('main').getByRole('alert').filter({ hasText: /\S/ })).toHaveCount(0);
  const run = page.getByRole('region', { name: 'Run', exact: true });
  await expect(run.getByRole('heading')).toHaveText(/^Paused at step/, { timeout: MINUTE });
});
