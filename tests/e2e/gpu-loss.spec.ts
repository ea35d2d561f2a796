// The graphics process dies in the middle of a run: a clear error, and the run goes on afterwards.
import { expect, type Page, test } from '@playwright/test';
import { keptRuns } from './site';

const MINUTE = 60_000;

/** Steps done at the last checkpoint; null where there is none. */
function keptStep(page: Page): Promise<number | null> {
  return page.evaluate(
    () =>
      new Promise<number | null>((resolve, reject) => {
        const opening = indexedDB.open('retort-trainer');
        opening.onerror = () => reject(opening.error);
        opening.onsuccess = () => {
          const db = opening.result;
          const asked = db.transaction('checkpoint').objectStore('checkpoint').get('last');
          asked.onerror = () => reject(asked.error);
          asked.onsuccess = () => {
            db.close();
            const kept = asked.result as { checkpoint: { step: number } } | undefined;
            resolve(kept?.checkpoint.step ?? null);
          };
        };
      }),
  );
}

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
  await expect(heading).toHaveText(/step [1-9]\d* of 200/, { timeout: 4 * MINUTE });
  await expect.poll(() => keptStep(page), { timeout: MINUTE }).toBeGreaterThan(0);
  const step = (await keptStep(page))!;

  const devtools = await browser.newBrowserCDPSession();
  await devtools.send('Browser.crashGpuProcess');
  const alert = page.getByRole('alert');
  await expect(alert).toContainText('The GPU went away', { timeout: MINUTE });
  await expect(alert).toContainText('The graphics device stopped working.');
  await expect(heading).toHaveText('Stopped by a problem');

  await page.reload({ waitUntil: 'networkidle' });
  await page.getByRole('button', { name: 'Resume from last session' }).click();
  await expect
    .poll(async () => Number(/step (\d+) of 200/.exec(await heading.innerText())?.[1]), {
      timeout: 2 * MINUTE,
    })
    .toBeGreaterThan(step);
  await page.getByRole('button', { name: 'Stop' }).click();
  await expect(heading).toHaveText(/^Measuring/, { timeout: MINUTE });
  await page.getByRole('button', { name: 'Cancel' }).click();
  await expect(page.getByRole('heading', { name: 'Result' })).toBeVisible({ timeout: MINUTE });

  const [run] = await keptRuns(page);
  expect(run?.status).toBe('stopped');
  expect(run?.steps.map(({ step }) => step)).toEqual(run?.steps.map((_, i) => i + 1));
  expect(run?.steps.length).toBeGreaterThan(step);
});
