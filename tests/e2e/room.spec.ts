// A room of laptops: what a browser on another machine gets over https, and what over plain http. An
// address of this machine that is not loopback is to a browser what another machine is.
import { networkInterfaces } from 'node:os';
import { type Browser, expect, test } from '@playwright/test';
import { selfSigned } from '../../tools/certificate.testing';
import { serve } from '../../tools/serve.mjs';

const MINUTE = 60_000;

const address = Object.values(networkInterfaces())
  .flatMap((all) => all ?? [])
  .find(({ family, internal }) => family === 'IPv4' && !internal)?.address;

/** A laptop that has accepted the certificate. */
async function laptop(browser: Browser) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  return { page: await context.newPage(), leave: () => context.close() };
}

test.describe('from another address', () => {
  test.skip(address === undefined, 'this machine has no address besides loopback');

  test('over https everything is there, and the chat answers', async ({ browser }) => {
    test.setTimeout(5 * MINUTE);
    const tls = selfSigned([address!]);
    const server = await serve({ root: 'build', port: 0, host: address!, tls });
    const { page, leave } = await laptop(browser);
    try {
      expect(server.url).toBe(`https://${address}:${new URL(server.url).port}/`);
      await page.goto(`${server.url}check/`, { waitUntil: 'networkidle' });
      const given = await page.evaluate(async () => ({
        isSecureContext,
        gpu: 'gpu' in navigator,
        workers: 'serviceWorker' in navigator,
        opfs: (await navigator.storage.getDirectory()).kind,
        digest: (await crypto.subtle.digest('SHA-256', new Uint8Array(1))).byteLength,
      }));
      expect(given).toEqual({
        isSecureContext: true,
        gpu: true,
        workers: true,
        opfs: 'directory',
        digest: 32,
      });
      await page.goto(`${server.url}chat/`, { waitUntil: 'networkidle' });
      await page.getByLabel('One question for all three').fill('What is the capital of Japan?');
      await page.getByRole('button', { name: /ask$/i }).click();
      await expect(page.getByText('Three answers are ready.')).toBeAttached({
        timeout: 4 * MINUTE,
      });
      const base = page.getByRole('region', { name: 'Base model', exact: true });
      await expect(base.locator('.answer')).toContainText('Tokyo');
    } finally {
      await leave();
      await server.close();
    }
  });

  test('over plain http what npm start says is missing is missing', async ({ browser }) => {
    const server = await serve({ root: 'build', port: 0, host: address! });
    const { page, leave } = await laptop(browser);
    try {
      await page.goto(`${server.url}check/`, { waitUntil: 'networkidle' });
      const given = await page.evaluate(() => [
        isSecureContext,
        'gpu' in navigator,
        'serviceWorker' in navigator,
        'getDirectory' in (navigator.storage ?? {}),
        crypto.subtle !== undefined,
      ]);
      expect(given).toEqual([false, false, false, false, false]);
      await expect(page.getByText(/Open the page over https or on this machine/)).toBeVisible();
      // Pages are there all the same.
      await page.goto(`${server.url}lab/`, { waitUntil: 'networkidle' });
      await expect(page.locator('h1')).toBeVisible();
    } finally {
      await leave();
      await server.close();
    }
  });
});
