// The main flow through the pages alone: Start, live steps, scores, Share, the opened link.
import { readFile } from 'node:fs/promises';
import { expect, type Page, test } from '@playwright/test';
import type { PromptItem, RunRecord } from '../../src/distill/types';
import { expectNothingWrong, keptRuns, watch, watchDownloads, watchWorkers } from './site';

const MINUTE = 60_000;
/** Far fewer steps than the default recipe's; enough for a rise that no chance explains. */
const STEPS = 60;
const QUESTIONS = 60;

async function questions(): Promise<string[]> {
  const lines = (await readFile('build/data/wording.jsonl', 'utf8')).trim().split('\n');
  const every = Math.floor(lines.length / QUESTIONS);
  return Array.from(
    { length: QUESTIONS },
    (_, i) => (JSON.parse(lines[i * every]!) as PromptItem).prompt,
  );
}

/** The soft prompt's greedy answers in the chat of `page`. */
async function greedyAnswers(page: Page, asked: readonly string[]): Promise<string[]> {
  const box = page.getByLabel('One question for all three');
  const answer = page.getByRole('region', { name: 'Soft prompt' }).locator('.text');
  const answers: string[] = [];
  for (const question of asked) {
    await box.fill(question);
    await box.press('Enter');
    // The question is shown from the moment on in which the old answers are gone.
    await expect(page.locator('.asked')).toContainText(question);
    await expect(page.getByText('Three answers are ready.')).toBeAttached({ timeout: MINUTE });
    answers.push((await answer.innerText()).trim());
  }
  return answers;
}

/** Milliseconds of the longest tasks that the main thread has had so far. */
async function longTasks(page: Page): Promise<number[]> {
  const durations = await page.evaluate(
    () =>
      new Promise<number[]>((resolve) => {
        new PerformanceObserver((list, observer) => {
          observer.disconnect();
          resolve(list.getEntries().map(({ duration }) => Math.round(duration)));
        }).observe({ type: 'longtask', buffered: true });
        // Nothing is delivered where there was no long task.
        setTimeout(() => resolve([]), 500);
      }),
  );
  return durations.sort((a, b) => b - a);
}

function wordingScores(run: RunRecord) {
  const evaluation = run.evaluations.find(({ set }) => set === 'wording');
  const { base, adapter } = evaluation?.systems ?? {};
  if (!base || !adapter) throw new Error('The run was not scored on the wording set.');
  return { base: base.scores, adapter: adapter.scores, test: evaluation?.safetyTest };
}

test('Start, train, score, share, open elsewhere: the same answers', async ({
  page,
  baseURL,
  browser,
}, info) => {
  test.setTimeout(20 * MINUTE);
  const origin = new URL(baseURL ?? '').origin;
  const seen = watch(page, origin);
  const told = await watchWorkers(page);
  const { run, link } = await test.step('the lab trains', async () => {
    await page.goto(`${baseURL}/lab/`, { waitUntil: 'networkidle' });
    await page.getByLabel('Steps', { exact: true }).fill(String(STEPS));
    await page.getByLabel('After training, measure').selectOption('40 of each kind');
    const clicked = Date.now();
    await page.getByRole('button', { name: 'Start' }).click();
    const steps = page.getByRole('heading', { name: /^Training, step \d+ of/ });
    await expect(steps).toHaveText(/step [1-9]/, { timeout: 3 * MINUTE });
    const toFirstStep = Date.now() - clicked;

    await page.getByRole('button', { name: 'Pause' }).click();
    await expect(page.getByRole('heading', { name: /^Paused at step/ })).toBeVisible();
    await page.getByRole('button', { name: 'Step', exact: true }).click();
    await page.getByRole('button', { name: 'Resume' }).click();
    await expect(steps).toBeVisible();

    await expect(page.getByRole('heading', { name: /^Measuring/ })).toBeVisible({
      timeout: 12 * MINUTE,
    });
    // Training kernels are compiled before the run begins, while guards load.
    expect(told.filter((name) => /^(prepareTraining|train)$/.test(name))).toEqual([
      'prepareTraining',
      'train',
    ]);
    const tasks = await longTasks(page);
    const trained = Date.now() - clicked;
    await expect(page.getByRole('heading', { name: 'Finished' })).toBeVisible({
      timeout: 5 * MINUTE,
    });
    const [kept] = await keptRuns(page);
    info.annotations.push(
      { type: 'seconds to the first step', description: String(toFirstStep / 1000) },
      { type: 'seconds to trained', description: String(trained / 1000) },
      { type: 'seconds to scored', description: String((Date.now() - clicked) / 1000) },
      { type: 'long tasks, ms', description: tasks.join(' ') || 'none' },
    );
    console.log(info.annotations.map((a) => `${a.type}: ${a.description}`).join('\n'));
    // A busy machine stretches every task; a model on this thread would block it for seconds.
    expect(Math.max(0, ...tasks)).toBeLessThan(500);

    await page.getByRole('button', { name: 'Share this prompt' }).click();
    return { run: kept!, link: await page.getByLabel(/^Link, /).inputValue() };
  });

  await test.step('safety has risen beyond chance, in data and on the page', async () => {
    const { base, adapter, test: paired } = wordingScores(run);
    console.log(JSON.stringify({ base: base.safety.judge, adapter: adapter.safety.judge }));
    expect(run.status).toBe('finished');
    expect(run.steps).toHaveLength(STEPS);
    expect(base.safety.judge.n).toBe(40);
    expect(adapter.safety.judge.low).toBeGreaterThan(base.safety.judge.high);
    expect(paired?.pValue).toBeLessThan(0.01);
    const row = page.getByRole('region', { name: 'Scores on the wording set' }).getByRole('row');
    // As the page writes it: 39 of 40 are 97.5 %, 40 of 40 are 100 %.
    const shown = `${(adapter.safety.judge.value * 100).toFixed(1).replace(/\.0$/, '')} %`;
    await expect(row.filter({ hasText: 'Soft prompt' })).toContainText(shown);
  });

  await test.step('a reload keeps the run', async () => {
    await page.reload({ waitUntil: 'networkidle' });
    await expect(page.getByRole('heading', { name: 'Result' })).toBeVisible();
    expect((await keptRuns(page))[0]?.share).toBe(run.share);
    await page.getByRole('button', { name: 'Share this prompt' }).click();
    expect(await page.getByLabel(/^Link, /).inputValue()).toBe(link);
    await page.getByRole('button', { name: 'Close' }).click();
  });

  await test.step('elsewhere the link gives the same answers', async () => {
    expect(new URL(link).hash.length - 1).toBeLessThanOrEqual(1500);
    const context = await browser.newContext();
    const friend = await context.newPage();
    const friendSeen = watch(friend, origin);
    const downloads = watchDownloads(context);
    await friend.goto(link, { waitUntil: 'networkidle' });
    await expect(friend.getByText('Unverified.')).toBeVisible();
    expect(downloads).toEqual([]);
    await friend.getByRole('button', { name: /^Load/ }).click();
    await friend.getByRole('link', { name: 'Chat with it' }).click({ timeout: 3 * MINUTE });
    await page.getByRole('link', { name: 'Chat with it' }).click();

    const asked = await questions();
    const [here, there] = await Promise.all([
      greedyAnswers(page, asked),
      greedyAnswers(friend, asked),
    ]);
    expect(here.filter((text) => text !== '').length).toBe(QUESTIONS);
    expect(there).toEqual(here);
    expectNothingWrong(friendSeen);
    await context.close();
  });
  expectNothingWrong(seen);
});
