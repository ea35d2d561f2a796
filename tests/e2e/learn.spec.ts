// The pages that explain: reached by links, sliders that compute, a worksheet that prints.
import { expect, test } from '@playwright/test';
import { expectNothingWrong, watch } from './site';

test('learn, teach and about are linked from every page', async ({ page, baseURL }) => {
  await page.goto(`${baseURL}/check/`);
  const footer = page.getByRole('navigation', { name: 'More' });
  for (const [name, title] of [
    ['Learn', 'How a safe system becomes a prompt'],
    ['Teach', 'A lesson with thirty mixed laptops'],
    ['About', 'About Retort'],
  ] as const) {
    await footer.getByRole('link', { name }).click();
    await expect(page.getByRole('heading', { level: 1, name: title })).toBeVisible();
  }
  await page
    .getByRole('navigation', { name: 'Pages' })
    .getByRole('link', { name: 'Learn' })
    .click();
  await expect(page).toHaveURL(/\/learn\/$/);
});

test('the sliders say what the method computes, by keys as well', async ({ page, baseURL }) => {
  const seen = watch(page, new URL(baseURL ?? '').origin);
  await page.goto(`${baseURL}/learn/`, { waitUntil: 'networkidle' });
  const guard = page.getByLabel('The guard thinks the question is safe');
  await guard.fill('0');
  await expect(page.getByRole('img', { name: 'Answers 50 %, Refuses 50 %.' })).toBeVisible();
  const strictness = page.getByLabel('Strictness');
  await strictness.focus();
  await strictness.press('End');
  await expect(page.getByRole('img', { name: 'Answers 1.8 %, Refuses 98 %.' })).toBeVisible();

  await page.getByLabel('The safe system refuses').fill('0');
  await page.getByLabel('The student refuses').fill('0');
  const tv = page.getByRole('row', { name: /Total variation/ });
  const kl = page.getByRole('row', { name: /KL divergence/ });
  await expect(tv.getByRole('cell').first()).toHaveText('0');
  await page.getByLabel('The student refuses').fill('-6.9');
  // |½ − 0.001|, and 2·q·(1 − q) of push; KL pushes by twice the distance.
  await expect(tv.getByRole('cell')).toHaveText(['0.499', '0.00201']);
  await expect(kl.getByRole('cell').last()).toHaveText('0.998');
  expectNothingWrong(seen);
});

test('answers open on a click, and only questions are printed', async ({ page, baseURL }) => {
  await page.goto(`${baseURL}/teach/`);
  const answer = page.getByText('Student and guard; the guard.');
  await expect(answer).toBeHidden();
  await page.getByText('What a good answer has').first().click();
  await expect(answer).toBeVisible();
  await page.emulateMedia({ media: 'print' });
  await expect(answer).toBeHidden();
  await expect(page.getByText('Name the two models of the safe system.')).toBeVisible();
  await expect(page.getByText('Which machine can do what')).toBeHidden();
});
