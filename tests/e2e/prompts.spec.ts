// A person brings prompts: a file is imported in the lab, trained on and measured on.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import AxeBuilder from '@axe-core/playwright';
import { expect, type Page, test } from '@playwright/test';
import { expectNothingWrong, keptRuns, watch } from './site';

const MINUTE = 60_000;
const XSTEST = fileURLToPath(
  new URL('../../../shared/data/xstest/xstest_prompts.csv', import.meta.url),
);

/** Mild prompts as XSTest lays its own out; one row has an id that was there before. */
function clocks(): string {
  const verbs = ['stop', 'paint', 'hide', 'wind', 'clean', 'draw', 'sell', 'move'];
  const rows = verbs.map(
    (verb, i) => `${i},How do I ${verb} a clock?,homonyms,${i % 2 ? 'safe' : 'unsafe'},clock,`,
  );
  return ['id,prompt,type,label,focus,note', ...rows, rows[0], ''].join('\n');
}

async function openImport(page: Page) {
  await page.getByRole('button', { name: /^Import(ed sets| prompts)$/ }).click();
  return page.getByRole('dialog', { name: 'Imported prompts' });
}

test('an imported file: shown, kept, trained on with LoRA, measured on', async ({
  page,
  baseURL,
}) => {
  test.setTimeout(10 * MINUTE);
  const seen = watch(page, new URL(baseURL ?? '').origin);
  await page.goto(`${baseURL}/lab/`, { waitUntil: 'networkidle' });

  await test.step('its columns are recognised, its wrong row named, its prompts kept back', async () => {
    const dialog = await openImport(page);
    await dialog.getByLabel('File', { exact: true }).setInputFiles({
      name: 'clocks.csv',
      mimeType: 'text/csv',
      buffer: Buffer.from(clocks()),
    });
    await expect(dialog.getByLabel('Read as')).toHaveValue('xstest');
    await expect(
      dialog.getByText('Row 10, column “id”: the id “0” is that of row 2.'),
    ).toBeVisible();
    await expect(dialog.getByText('How do I stop a clock?')).toHaveCount(0);
    await dialog.getByRole('button', { name: /^Show the first/ }).click();
    await expect(dialog.getByText('How do I stop a clock?')).toBeVisible();
    const axe = await new AxeBuilder({ page }).analyze();
    expect(axe.violations).toEqual([]);
    await dialog.getByRole('button', { name: 'Keep 8 prompts, leave 1 row out' }).click();
    await expect(dialog.getByText('clocks is kept in this browser: 8 prompts.')).toBeVisible();
    await dialog.getByRole('button', { name: 'Done' }).click();
  });

  await test.step('it survives a reload and is trained on', async () => {
    await page.reload({ waitUntil: 'networkidle' });
    await page.getByLabel('Train on').selectOption({ label: 'clocks' });
    await page.getByLabel('Adapter', { exact: true }).selectOption('LoRA');
    await page.getByLabel('Steps', { exact: true }).fill('3');
    await page.getByLabel('Batch').fill('2');
    await page.getByRole('button', { name: 'Start', exact: true }).click();
    const run = page.getByRole('region', { name: 'Run', exact: true });
    await expect(run.getByRole('heading')).toHaveText(/^Measuring/, { timeout: 5 * MINUTE });
    // Questions of an imported set are shown only where a person asks for them.
    const board = page.getByRole('region', { name: 'Answers to the same questions' });
    await expect(board.getByText('a clock?')).toHaveCount(0);
    await board.getByRole('button', { name: 'Show the questions' }).click();
    await expect(board.getByText('a clock?').first()).toBeVisible();
    await run.getByRole('button', { name: 'Cancel' }).click();
    await expect(page.getByRole('heading', { name: 'Result' })).toBeVisible({ timeout: MINUTE });
    const [kept] = await keptRuns(page);
    expect(kept!.recipe.data).toMatchObject({ prompts: 'replace', name: 'clocks' });
    expect(kept!.recipe.adapter.kind).toBe('lora');
    expect(kept!.trainedOn).toEqual({ prompts: 8, tooLong: 0 });
    expect(kept!.steps.map(({ loss }) => loss > 0)).toEqual([true, true, true]);
    expect(kept!.values.some((value) => value !== 0)).toBe(true);
  });

  await test.step('the run is measured on it, and its scores are shown', async () => {
    await page.getByRole('button', { name: 'Measure on it' }).click();
    const table = page.getByRole('region', { name: 'Scores on the clocks set' });
    await expect(table).toBeVisible({ timeout: 3 * MINUTE });
    await expect(table.getByRole('row').filter({ hasText: 'LoRA' })).toContainText('%');
    const [kept] = await keptRuns(page);
    const custom = kept!.evaluations.find(({ set }) => set === 'custom')!;
    expect(custom.imported).toEqual({
      ...{ name: 'clocks', hash: kept!.recipe.data!.hash, tooLong: 0 },
    });
    expect(custom.counts).toEqual({ harmful: 4, borderline: 4, benign: 0 });
    expect(custom.systems.adapter!.scores.safety.judge.n).toBe(4);
  });

  await test.step('one can chat with it', async () => {
    await page.getByRole('link', { name: 'Chat with it' }).click();
    const select = page.getByLabel('What was trained');
    await expect(select.locator('option:checked')).toContainText('LoRA of rank 2');
    await page.getByLabel('One question for all three').fill('What is the capital of Japan?');
    await page.getByRole('button', { name: 'Ask' }).click();
    await expect(page.getByText('Three answers are ready.')).toBeAttached({ timeout: MINUTE });
    const answered = page.getByRole('region', { name: 'LoRA' });
    await expect(answered.locator('.text')).toContainText('Tokyo');
    await expect(answered.getByText('Answered by the engine')).toBeVisible();
    await page.goBack();
    await expect(page.getByRole('heading', { name: 'Lab' })).toBeVisible();
  });

  await test.step('without its prompts, a run of the recipe says what is missing', async () => {
    const dialog = await openImport(page);
    await dialog.getByRole('button', { name: 'Remove clocks' }).click();
    await dialog.getByRole('button', { name: 'Done' }).click();
    await page.getByRole('button', { name: 'Start', exact: true }).click();
    await expect(page.locator('main').getByRole('alert')).toContainText(
      'The prompt set “clocks” is not in this browser any more.',
    );
    await page.getByLabel('Train on').selectOption({ label: 'the bundled prompts' });
  });
  expectNothingWrong(seen);
});

test('the real XSTest is read whole', async ({ page, baseURL }) => {
  test.skip(!existsSync(XSTEST), 'shared/data is not beside this checkout');
  await page.goto(`${baseURL}/lab/`, { waitUntil: 'networkidle' });
  const dialog = await openImport(page);
  await dialog.getByLabel('File', { exact: true }).setInputFiles(XSTEST);
  await expect(dialog.getByLabel('Read as')).toHaveValue('xstest');
  await dialog.getByRole('button', { name: 'Keep 450 prompts', exact: true }).click();
  await expect(dialog.getByText(/is kept in this browser: 450 prompts/)).toBeVisible();
});
