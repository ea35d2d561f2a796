// The trade-off page: a sweep's results opened from a file, where systems fail, blind rating.
import { readFile } from 'node:fs/promises';
import AxeBuilder from '@axe-core/playwright';
import { expect, type Page, test } from '@playwright/test';
import type { PromptItem } from '../../src/distill/types';
import { testingSweep } from '../../src/lib/charts/sweeps.testing';
import { expectNothingWrong, watch } from './site';

async function someQuestions(): Promise<PromptItem[]> {
  const lines = (await readFile('build/data/wording.jsonl', 'utf8')).trim().split('\n');
  return lines.slice(0, 150).map((line) => JSON.parse(line) as PromptItem);
}

async function openSweep(page: Page, content: string, name = 'sweep.json'): Promise<void> {
  const buffer = Buffer.from(content);
  await page
    .getByLabel('Open results …')
    .setInputFiles({ name, mimeType: 'application/json', buffer });
}

async function saved(page: Page, button: string): Promise<string> {
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name: button, exact: true }).click(),
  ]);
  return readFile(await download.path(), 'utf8');
}

async function expectAccessible(page: Page): Promise<void> {
  const { violations } = await new AxeBuilder({ page }).analyze();
  expect(violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)])).toEqual([]);
}

test('a sweep opens, is filtered, and shows where a cell fails', async ({ page, baseURL }) => {
  const seen = watch(page, new URL(baseURL ?? '').origin);
  await page.emulateMedia({ reducedMotion: 'reduce' });
  await page.goto(`${baseURL}/tradeoff/`, { waitUntil: 'networkidle' });
  const document = testingSweep(await someQuestions());
  await openSweep(page, JSON.stringify(document));
  await expect(page.getByText('23 cells finished, 1 failed, 1 still to run')).toBeVisible();

  const marks = page.locator('[data-point]');
  // 22 trained cells, 10 means of two seeds, three guarded systems, base, preamble, the recording.
  await expect(marks).toHaveCount(22 + 10 + 3 + 2 + 1);
  await page.getByRole('checkbox', { name: /^KL/ }).uncheck();
  await expect(page.getByRole('button', { name: /KL, mean of/ })).toHaveCount(0);
  await page.getByRole('button', { name: 'Show all' }).click();
  await expect(marks).toHaveCount(38);

  // A document that cannot be read leaves what is open.
  await openSweep(page, JSON.stringify(document).slice(0, 5000), 'cut.json');
  await expect(page.getByRole('alert')).toContainText('cut.json cannot be opened');
  await expect(page.getByRole('alert')).toContainText('cut off');
  await expect(marks).toHaveCount(38);

  // A mean leads to its nearest seed, arrow keys lead on.
  await page.locator('[data-point$="lora2-a4-qv_kl_prompt_-2"]').press('Enter');
  await expect(page.getByRole('heading', { name: 'LoRA rank 2 · KL', exact: true })).toBeVisible();
  await expect(page.getByRole('group', { name: 'Seeds' }).getByRole('button')).toHaveCount(2);
  await page.locator('[data-point="base"]').press('ArrowUp');
  const focused = page.locator('[data-point]:focus');
  await expect(focused).not.toHaveAttribute('data-point', 'base');
  await focused.press('ArrowDown');
  await expect(focused).toHaveAttribute('data-point', 'base');

  await page.getByText('harms missed').click();
  const group = page
    .locator('details', { hasText: 'missed' })
    .filter({ hasNotText: '0 of' })
    .first();
  await group.locator('summary').click();
  await expect(group.locator('article').first()).toContainText('First you take a thing');
  await expect(group.locator('article').first()).toContainText('guard: unsafe');
  await page.getByText('over-refused').click();
  await expect(page.getByText(/In all: refused .* n = \d+/)).toBeVisible();
  await expectAccessible(page);

  const csv = await saved(page, 'CSV');
  expect(csv).toContain(',lora2-a4-qv,kl,prompt,-2\r\n');
  await page.getByText('table', { exact: true }).click();
  await expect(page.getByRole('row', { name: /mean of 2 seeds/ })).toHaveCount(10);
  expectNothingWrong(seen);
});

test('answers are rated blind, and the votes stay', async ({ page, baseURL }) => {
  await page.emulateMedia({ colorScheme: 'dark', reducedMotion: 'reduce' });
  await page.goto(`${baseURL}/tradeoff/`, { waitUntil: 'networkidle' });
  const section = page.getByRole('region', { name: 'Rate answers blind' });
  await expect(section.getByText('Content note.')).toBeVisible();
  await page.getByRole('button', { name: 'Start rating' }).click();

  const progress = section.getByText(/^\d+ of \d+ rated$/);
  await expect(progress).toHaveText('0 of 40 rated');
  await expect(section).not.toContainText(/base model|soft prompt|preamble/i);
  const rate = async (verdicts: readonly ('Yes' | 'No')[]) => {
    for (const [i, verdict] of verdicts.entries()) {
      const groups = section.getByRole('group', { name: /: (Safe|Useful)\?$/ });
      const group = groups.nth(Math.min(i, (await groups.count()) - 1));
      await group.getByRole('button', { name: verdict }).click();
      if ((await groups.count()) === 1) return;
    }
  };
  const first = await section.getByRole('heading', { level: 3 }).innerText();
  await rate(['Yes', 'No']);
  await expect(progress).toHaveText('1 of 40 rated');
  await page.getByRole('button', { name: 'Undo' }).click();
  await expect(section.getByRole('heading', { level: 3 })).toHaveText(first);
  await rate(['No', 'Yes']);
  await rate(['Yes', 'Yes']);
  await expect(progress).toHaveText('2 of 40 rated');
  await expectAccessible(page);
  await page.getByRole('button', { name: 'Stop and see' }).click();

  // One harmful and one benign question: both systems have a place on the chart.
  await expect(page.locator('[data-point^="human:"]')).toHaveCount(2);
  await expect(
    section.getByText(/by people: safety: not distinguishable with n = 1/),
  ).toBeVisible();
  const csv = await saved(page, 'Votes as CSV');
  expect(csv.trim().split('\r\n')).toHaveLength(1 + 4);
  expect(csv).toMatch(
    /^set,system,label,item,prompt,answer,question,verdict,against,seed,rated_at/,
  );

  await page.reload({ waitUntil: 'networkidle' });
  await expect(page.locator('[data-point^="human:"]')).toHaveCount(2);
  await page.getByRole('button', { name: 'Start rating' }).click();
  await expect(progress).toHaveText('2 of 40 rated');
});

test('one answer is shown token by token once the student is loaded', async ({ page, baseURL }) => {
  test.setTimeout(5 * 60_000);
  await page.goto(`${baseURL}/tradeoff/`, { waitUntil: 'networkidle' });
  const tokens = page.getByRole('button', { name: 'Token by token' });
  await expect(tokens).toHaveCount(0);
  await page.getByRole('button', { name: 'Load the student' }).click();
  await expect(tokens.first()).toBeVisible({ timeout: 4 * 60_000 });
  await tokens.first().click();
  const panel = page.getByRole('region', { name: 'Token by token' });
  await expect(panel.getByText(/It leaves the base model’s answer at token \d+/)).toBeVisible();
  await expect(panel.getByText(/The guard lets the question pass with/)).toBeVisible();
  await expect(panel.getByRole('columnheader')).toHaveText([
    ...['Next token', 'Base π', 'Safe system p', 'Student q'],
  ]);
  const shares = await panel.getByRole('row').last().getByRole('cell').allInnerTexts();
  for (const share of shares) expect(share).toMatch(/^\d+(\.\d)? %$/);
  const pressed = panel.locator('[aria-pressed="true"]');
  const before = await pressed.getAttribute('aria-label');
  await pressed.press('ArrowRight');
  await expect(pressed).not.toHaveAttribute('aria-label', before ?? '');
  await expectAccessible(page);
});
