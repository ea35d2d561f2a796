// The chat with another student than the usual: one that ships, and one from a folder.
import { rm } from 'node:fs/promises';
import AxeBuilder from '@axe-core/playwright';
import { expect, type Page, test } from '@playwright/test';
import { modelFolder } from './fixture-model';
import { dropFolder, expectNothingWrong, openDialog, watch, watchDownloads } from './site';

const MINUTE = 60_000;

async function ask(page: Page, question: string) {
  await page.getByLabel('One question for all three').fill(question);
  await page.getByRole('button', { name: /ask$/i }).click();
  await expect(page.locator('.asked')).toContainText(question);
  await expect(page.getByText('Three answers are ready.')).toBeAttached({ timeout: 3 * MINUTE });
}

const answerOf = (page: Page, name: string) =>
  page.getByRole('region', { name, exact: true }).locator('.answer');

/** Megabytes that the button says. */
async function saidMegabytes(page: Page): Promise<number> {
  const text = await page.getByRole('button', { name: /^Load/ }).innerText();
  const found = /^Load ([\d.]+) MB and ask$/.exec(text.trim());
  if (!found) throw new Error(`The button says “${text}”.`);
  return Number(found[1]);
}

test('another bundled student is chosen, priced and asked, and left again', async ({
  page,
  baseURL,
}) => {
  test.setTimeout(5 * MINUTE);
  const seen = watch(page, new URL(baseURL ?? '').origin);
  const downloads = watchDownloads(page.context());
  await page.goto(`${baseURL}/chat/`, { waitUntil: 'networkidle' });
  const models = page.getByRole('region', { name: 'Models' });
  const trained = page.getByLabel('What was trained');
  await expect(models).toContainText('Pocket');
  await expect(trained).toContainText('Recorded');
  const usual = await saidMegabytes(page);

  const dialog = await openDialog(page);
  await expect(dialog).toContainText('Nothing is fetched before you ask.');
  await dialog.getByRole('radio', { name: /class/i }).check();
  await dialog.getByRole('button', { name: 'Done' }).click();
  await expect(models).toContainText('Class');
  const larger = (await saidMegabytes(page)) - usual;
  expect(larger).toBeGreaterThan(3);
  expect(larger).toBeLessThan(5);
  await expect(trained.locator('option:checked')).toContainText('none yet');
  expect(downloads).toEqual([]);
  const { violations } = await new AxeBuilder({ page }).analyze();
  expect(violations).toEqual([]);

  await ask(page, 'What is the capital of Japan?');
  await expect(answerOf(page, 'Base model')).toContainText(/\w{2}/);
  await expect(answerOf(page, 'Guarded system')).toContainText(/\w{2}/);
  await expect(answerOf(page, 'Soft prompt')).toContainText('Choose what was trained');
  expect(downloads.some((path) => path.includes('/models/class/'))).toBe(true);
  expect(downloads.some((path) => path.includes('/models/pocket/'))).toBe(false);

  // What was trained for the other student brings it back; guard and judge are here already.
  await trained.selectOption({ index: 1 });
  await expect(models).toContainText('Pocket');
  await expect(page.locator('.asked')).toHaveCount(0);
  expect(await saidMegabytes(page)).toBeCloseTo(1.8, 1);
  await ask(page, 'What is the capital of Japan?');
  await expect(answerOf(page, 'Base model')).toContainText('Tokyo');
  await expect(answerOf(page, 'Soft prompt')).toContainText('Tokyo');
  expectNothingWrong(seen);
});

test('a student from a folder answers, and is never copied', async ({ page, baseURL }) => {
  test.setTimeout(5 * MINUTE);
  const { parent, path } = await modelFolder('my llama', 'llama-optimum');
  try {
    const seen = watch(page, new URL(baseURL ?? '').origin);
    await page.goto(`${baseURL}/chat/`, { waitUntil: 'networkidle' });
    const dialog = await openDialog(page);
    await dropFolder(page, dialog, path);
    await expect(dialog.getByText('Chosen: my llama')).toBeVisible();
    await dialog.getByRole('button', { name: 'Done' }).click();
    await expect(page.getByText('my llama is read from your folder, never copied.')).toBeVisible();
    await ask(page, 'How do I boil an egg?');
    // Weights at random, words at random.
    await expect(answerOf(page, 'Base model')).toContainText(/\w/);
    await expect(page.getByRole('main').getByRole('alert').filter({ hasText: /\S/ })).toHaveCount(
      0,
    );
    expectNothingWrong(seen);

    // Gone with the tab: the bundled student is the choice again.
    await page.reload({ waitUntil: 'networkidle' });
    await expect(page.getByRole('region', { name: 'Models' })).toContainText('Pocket');
  } finally {
    await rm(parent, { recursive: true });
  }
});
