// A link that came whole, cut or altered; and the same page under a sub-path, workers included.
import { expect, test } from '@playwright/test';
import { serve } from '../../tools/serve.mjs';
import { expectNothingWrong, untrainedLink, watch, watchDownloads, watchWorkers } from './site';

test('a whole link shows a preview and loads nothing', async ({ page, baseURL }) => {
  const seen = watch(page, new URL(baseURL ?? '').origin);
  const downloads = watchDownloads(page.context());
  const link = await untrainedLink();
  expect(link.length).toBeLessThanOrEqual(1500);
  await page.goto(`${baseURL}/p/#${link}`, { waitUntil: 'networkidle' });
  await expect(page.getByText('Unverified.')).toBeVisible();
  await expect(page.getByRole('button', { name: /^Load/ })).toBeVisible();
  const claimed = page.getByRole('row', { name: /^Safety/ });
  await expect(claimed).toContainText('95');
  await expect(claimed).toContainText('not yet');
  expect(downloads).toEqual([]);
  expectNothingWrong(seen);
});

const DAMAGES: readonly [string, (link: string) => string, string, RegExp][] = [
  ['cut', (link) => link.slice(0, -200), 'The link was cut', /\d,?\d{3} characters/],
  [
    'altered',
    (link) => link.slice(0, 700) + (link[700] === 'A' ? 'B' : 'A') + link.slice(701),
    'The link was altered',
    /./,
  ],
  ['given a stray character', (link) => `${link.slice(0, 700)}!${link.slice(701)}`, 'stray', /./],
  ['empty', () => '', 'No prompt in this link', /./],
];

for (const [what, damage, title, message] of DAMAGES) {
  test(`a link that was ${what} is a clear error, not a demo`, async ({ page, baseURL }) => {
    const link = await untrainedLink();
    await page.goto(`${baseURL}/p/#${damage(link)}`, { waitUntil: 'networkidle' });
    const alert = page.getByRole('alert');
    await expect(alert).toContainText(title);
    await expect(alert).toContainText(message);
    await expect(page.getByRole('button', { name: /^Load/ })).toHaveCount(0);
  });
}

test('a prompt of another model is refused after Load', async ({ page, baseURL }) => {
  test.setTimeout(180_000);
  const link = await untrainedLink({ modelId: '0123456789abcdef' });
  await page.goto(`${baseURL}/p/#${link}`);
  await page.getByRole('button', { name: /^Load/ }).click();
  await expect(page.getByRole('alert')).toContainText('0123456789abcdef', { timeout: 150_000 });
});

test('a prompt made with another chat template is refused after Load', async ({
  page,
  baseURL,
}) => {
  test.setTimeout(180_000);
  const link = await untrainedLink({ templateHash: '01234567' });
  await page.goto(`${baseURL}/p/#${link}`);
  await page.getByRole('button', { name: /^Load/ }).click();
  await expect(page.getByRole('alert')).toContainText('with the chat template 01234567', {
    timeout: 150_000,
  });
});

test('a small form opens and answers under a sub-path, and nobody else is asked', async ({
  page,
}) => {
  test.setTimeout(180_000);
  const server = await serve({ root: 'build', base: '/some/course/', port: 0 });
  try {
    const { origin } = new URL(server.url);
    const seen = watch(page, origin);
    const downloads = watchDownloads(page.context());
    const asked = await watchWorkers(page);
    const link = await untrainedLink({ small: true });
    expect(link.length).toBeLessThan(340);
    await page.goto(`${server.url}p/#${link}`);
    await expect(page.getByText('made from 320 by the student')).toBeVisible();
    await page.getByRole('button', { name: /^Load/ }).click();
    await page.getByRole('link', { name: 'Chat with it' }).click({ timeout: 150_000 });
    await page.getByLabel('One question for all three').fill('What is the capital of Japan?');
    await page.getByRole('button', { name: 'Ask' }).click();
    await expect(page.getByRole('region', { name: 'Base model' })).toContainText('Tokyo', {
      timeout: 60_000,
    });
    await expect(page.getByRole('status')).toContainText('Three answers are ready.', {
      timeout: 60_000,
    });
    const answered = page.getByRole('region', { name: 'Soft prompt' });
    await expect(answered.locator('.text')).toHaveText(/\w/);
    // The engine is there for the prompt alone: nothing of training is compiled.
    expect(asked).toContain('prefix');
    expect(asked).not.toContain('prepareTraining');
    expect(downloads.every((path) => path.startsWith('/some/course/'))).toBe(true);
    expect(downloads.filter((path) => path.endsWith('.onnx')).length).toBeGreaterThanOrEqual(3);
    expectNothingWrong(seen);
  } finally {
    await server.close();
  }
});
