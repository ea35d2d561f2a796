// Every page: accessible in both colour schemes, quiet before a click, and nobody else is asked.
import AxeBuilder from '@axe-core/playwright';
import { expect, test } from '@playwright/test';
import { expectNothingWrong, PAGES, untrainedLink, watch, watchDownloads } from './site';

for (const path of PAGES) {
  const name = `/${path}`;

  for (const colorScheme of ['light', 'dark'] as const) {
    test(`${name} has no accessibility violations, ${colorScheme}`, async ({ page, baseURL }) => {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      const hash = path === 'p/' ? `#${await untrainedLink()}` : '';
      await page.goto(`${baseURL}/${path}${hash}`, { waitUntil: 'networkidle' });
      await expect(page.locator('h1')).toBeVisible();
      const { violations } = await new AxeBuilder({ page }).analyze();
      const told = violations.map(({ id, help, nodes }) => ({
        id,
        help,
        where: nodes.map(({ target }) => target.join(' ')),
      }));
      expect(told).toEqual([]);
    });
  }

  test(`${name} downloads no model and no runtime before a click`, async ({ page, baseURL }) => {
    const seen = watch(page, new URL(baseURL ?? '').origin);
    const downloads = watchDownloads(page.context());
    await page.goto(`${baseURL}/${path}`, { waitUntil: 'networkidle' });
    await expect(page).toHaveTitle(/Retort/);
    await expect(page.locator('h1')).toHaveCount(1);
    expect(downloads).toEqual([]);
    expectNothingWrong(seen);
  });

  test(`${name} carries its policy in header and page`, async ({ page, baseURL }) => {
    const response = await page.goto(`${baseURL}/${path}`);
    const header = response?.headers()['content-security-policy'];
    expect(header).toContain("default-src 'self'");
    expect(header).toContain("connect-src 'self'");
    const meta = page.locator('meta[http-equiv="content-security-policy"]');
    await expect(meta).toHaveAttribute('content', header ?? '');
  });
}

test('a narrow screen scrolls no page sideways', async ({ page, baseURL }) => {
  await page.setViewportSize({ width: 390, height: 844 });
  for (const path of PAGES) {
    const hash = path === 'p/' ? `#${await untrainedLink()}` : '';
    await page.goto(`${baseURL}/${path}${hash}`, { waitUntil: 'networkidle' });
    const { scroll, client } = await page.evaluate(() => ({
      scroll: document.documentElement.scrollWidth,
      client: document.documentElement.clientWidth,
    }));
    expect(scroll, `/${path}`).toBeLessThanOrEqual(client);
  }
});
