// The graphics process dies in the middle of a run: a clear error, and the run goes on afterwards.
import { expect, test } from '@playwright/test';
import { keptRuns } from './site';

const MINUTE = 60_000;

test('a lost GPU is named, and the last session can be taken up again', async ({
  page,
  baseURL,
  browser,
}) => {
  test.setTimeout(8 * MINUTE);
  await page.goto(`${baseURL}/lab/`, { waitUntil: 'networkidle' });
  await page.getByLabel('Batch').fill('4');
  await page.getByLabel('Steps', { exact: true }).fill('200');
  await page.getByRole('button', { name: 'Start', exact: true }).click();
  const heading = page.getByRole('region', { name: 'Run', exact: true }).getByRole('heading');
  await expect(heading).toHaveText('Loading');
  // The first checkpoint is at step 10.
  await expect(heading).toHaveText(/step 1[2-9] of 200/, { timeout: 4 * MINUTE });

  const devtools = await browser.newBrowserCDPSession();
  await devtools.send('Browser.crashGpuProcess');
  const alert = page.getByRole('alert');
  await expect(alert).toContainText('The GPU went away', { timeout: MINUTE });
  await expect(alert).toContainText('The graphics device stopped working.');
  await expect(heading).toHaveText('Stopped by a problem');

  await page.reload({ waitUntil: 'networkidle' });
  await page.getByRole('button', { name: 'Resume from last session' }).click();
  await expect(heading).toHaveText(/step (1[1-9]|[2-9]\d) of 200/, { timeout: 2 * MINUTE });
  await page.getByRole('button', { name: 'Stop' }).click();
  await expect(heading).toHaveText(/^Measuring/, { timeout: MINUTE });
  await page.getByRole('button', { name: 'Cancel' }).click();
  await expect(page.getByRole('heading', { name: 'Result' })).toBeVisible({ timeout: MINUTE });

  const [run] = await keptRuns(page);
  expect(run?.status).toBe('stopped');
  expect(run?.steps.map(({ step }) => step)).toEqual(run?.steps.map((_, i) => i + 1));
  expect(run?.steps.length).toBeGreaterThan(10);
});
