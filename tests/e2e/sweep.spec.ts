// A sweep in the tab: typed, run, kept, shown on the chart.
import { expect, test } from '@playwright/test';
import { expectNothingWrong, watch } from './site';

const MINUTE = 60_000;
const SPEC = {
  version: 1,
  name: 'two',
  base: { steps: 2, batchSize: 2 },
  adapters: ['preamble', { kind: 'lora', rank: 1 }],
  objectives: ['kl'],
  sets: ['wording'],
  limit: 1,
};

test('a sweep is typed, run to its end and shown on the chart', async ({ page, baseURL }) => {
  test.setTimeout(5 * MINUTE);
  const seen = watch(page, new URL(baseURL ?? '').origin);
  await page.goto(`${baseURL}/lab/`, { waitUntil: 'networkidle' });
  await page.getByText('Plan and run a sweep').click();
  const specification = page.getByLabel('Specification');
  await specification.fill('{ "version": 2 }');
  await expect(page.getByText('version must be 1')).toBeVisible();
  await expect(page.getByRole('button', { name: 'Run the sweep' })).toBeDisabled();
  await specification.fill(JSON.stringify(SPEC));
  await expect(page.getByText('2 cells.')).toBeVisible();
  await page.getByRole('button', { name: 'Run the sweep' }).click();
  await expect(page.getByText('2 finished of the sweep two.')).toBeVisible({ timeout: 4 * MINUTE });

  // Kept: a reload finds it.
  await page.reload();
  await expect(page.getByText('2 finished of the sweep two.')).toBeVisible();
  await page.getByRole('button', { name: 'Show on the chart' }).click();
  await expect(page).toHaveURL(/tradeoff/);
  await expect(page.getByText('2 cells finished')).toBeVisible();
  expectNothingWrong(seen);
});
