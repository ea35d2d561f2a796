// The built site as a visitor's browser gets it: at the root, under a sub-path, and what it sends.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test, type Page } from '@playwright/test';
import { policy } from '../../tools/csp.mjs';
import { serve } from '../../tools/serve.mjs';

/** Collects what must stay empty: errors of the page, and requests to anyone but `origin`. */
function watch(page: Page, origin: string) {
  const errors: string[] = [];
  const foreign: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error') errors.push(message.text());
  });
  page.on('pageerror', (error) => errors.push(error.message));
  page.on('request', (request) => {
    const url = new URL(request.url());
    if (url.origin !== origin && url.protocol.startsWith('http')) foreign.push(url.href);
  });
  return { errors, foreign };
}

async function expectWorkingPage(page: Page, url: string) {
  const seen = watch(page, new URL(url).origin);
  const response = await page.goto(url, { waitUntil: 'networkidle' });
  expect(response?.status()).toBe(200);
  await expect(page).toHaveTitle(/Retort/);
  await expect(page.locator('h1')).toBeVisible();
  await expect(page.locator('footer code')).toHaveText(/^([0-9a-f]{7,40}(-dirty)?|unknown)$/);
  expect(seen).toEqual({ errors: [], foreign: [] });
  return response;
}

test('the start page works at the root, with its policy in header and page', async ({
  page,
  baseURL,
}) => {
  const response = await expectWorkingPage(page, `${baseURL}/`);
  const header = response?.headers()['content-security-policy'];
  expect(header).toContain("script-src 'self' 'wasm-unsafe-eval' 'sha256-");
  const meta = page.locator('meta[http-equiv="content-security-policy"]');
  await expect(meta).toHaveAttribute('content', header ?? '');
});

test('the start page works under a sub-path', async ({ page }) => {
  const server = await serve({ root: 'build', base: '/some/course/', port: 0 });
  try {
    await expectWorkingPage(page, server.url);
  } finally {
    await server.close();
  }
});

test('scripts carry the policy that workers obey', async ({ page, request }) => {
  await page.goto('/');
  const script = await page.locator('link[rel="modulepreload"]').first().getAttribute('href');
  const response = await request.get(new URL(script ?? '', page.url()).href);
  expect(response.headers()['content-type']).toContain('text/javascript');
  expect(response.headers()['content-security-policy']).toBe(policy);
});

test('a worker may not reach another origin', async ({ page }) => {
  // A server as ours sends it, with a worker that tries; the app's own workers never try.
  const root = await mkdtemp(join(tmpdir(), 'retort-worker-'));
  await writeFile(join(root, 'index.html'), '<title>worker</title>');
  await writeFile(
    join(root, 'worker.js'),
    `addEventListener('securitypolicyviolation', (event) => postMessage(event.effectiveDirective));
     fetch('https://example.com/').then(() => postMessage('reached'), () => undefined);`,
  );
  const server = await serve({ root, port: 0 });
  try {
    await page.goto(server.url);
    const outcome = await page.evaluate(
      () =>
        new Promise<string>((resolve) => {
          const worker = new Worker('/worker.js', { type: 'module' });
          worker.onmessage = ({ data }: MessageEvent<string>) => resolve(data);
        }),
    );
    expect(outcome).toBe('connect-src');
  } finally {
    await server.close();
    await rm(root, { recursive: true });
  }
});

test('a missing page is a 404, and no path leads out of the build', async ({ request }) => {
  expect((await request.get('/no/such/page/')).status()).toBe(404);
  expect((await request.get('/%2e%2e/package.json')).status()).toBe(404);
  expect((await request.get('/.stamp')).status()).toBe(404);
});
