// What the end-to-end tests share: watching a page, links that fit the built model, kept runs.
import { readFile } from 'node:fs/promises';
import { type BrowserContext, expect, type Locator, type Page } from '@playwright/test';
import { ChatTemplate } from '../../src/distill/data/chat-template';
import type { RunRecord } from '../../src/distill/types';
import { manifestId } from '../../src/formats/manifest';
import { dequantiseRows, quantiseRows } from '../../src/formats/share/prompt-quant';
import { encodeShare } from '../../src/formats/share/share-link';

export const PAGES = [
  '',
  'learn/',
  'lab/',
  'tradeoff/',
  'chat/',
  'p/',
  'check/',
  'teach/',
  'about/',
] as const;

/** What must stay empty: errors of the page, and requests to anyone but `origin`. */
export interface Seen {
  errors: string[];
  foreign: string[];
}

export function watch(page: Page, origin: string): Seen {
  const seen: Seen = { errors: [], foreign: [] };
  page.on('console', (message) => {
    if (message.type() === 'error') seen.errors.push(message.text());
  });
  page.on('pageerror', (error) => seen.errors.push(error.message));
  watchRequests(page.context(), origin, seen.foreign);
  return seen;
}

/** Requests of a context's pages and of their workers to anyone but `origin`. */
function watchRequests(context: BrowserContext, origin: string, foreign: string[]): void {
  context.on('request', (request) => {
    const url = new URL(request.url());
    if (url.origin !== origin && url.protocol.startsWith('http')) foreign.push(url.href);
  });
}

/** Paths of model files and runtimes that `context` asks for from now on. */
export function watchDownloads(context: BrowserContext): string[] {
  const paths: string[] = [];
  context.on('request', (request) => {
    const { pathname } = new URL(request.url());
    if (/\.(onnx|wasm)$/.test(pathname)) paths.push(pathname);
  });
  return paths;
}

/** Names of what pages ask their workers for from the next address on, in order. */
export async function watchWorkers(page: Page): Promise<string[]> {
  const asked: string[] = [];
  await page.exposeFunction('askedWorker', (name: string) => void asked.push(name));
  await page.addInitScript(() => {
    const post = Reflect.get(Worker.prototype, 'postMessage') as (...all: unknown[]) => void;
    Worker.prototype.postMessage = function (this: Worker, ...all: unknown[]) {
      const { name } = all[0] as { name?: string };
      const told = Reflect.get(window, 'askedWorker') as (name: string) => void;
      if (name) told(name);
      post.apply(this, all);
    };
  });
  return asked;
}

/** The dialog to choose a student in, opened. */
export async function openDialog(page: Page): Promise<Locator> {
  await page.getByRole('button', { name: 'Change the student' }).click();
  return page.getByRole('dialog', { name: 'Choose the student' });
}

/** Drops a folder of this disk as a person would. */
export async function dropFolder(page: Page, dialog: Locator, path: string): Promise<void> {
  const target = dialog.getByRole('group', { name: 'A folder on this disk' });
  await target.scrollIntoViewIfNeeded();
  const box = await target.boundingBox();
  const devtools = await page.context().newCDPSession(page);
  const data = { items: [], files: [path], dragOperationsMask: 1 };
  const at = { x: (box?.x ?? 0) + 20, y: (box?.y ?? 0) + 20 };
  for (const type of ['dragEnter', 'dragOver', 'drop'] as const) {
    await devtools.send('Input.dispatchDragEvent', { type, ...at, data });
  }
}

/** The text of a link for the built student, or for another, with a prompt that nobody trained. */
export async function untrainedLink(
  options: { modelId?: string; templateHash?: string; small?: boolean } = {},
): Promise<string> {
  const manifest = new Uint8Array(await readFile('build/models/pocket/manifest.json'));
  const config = await readFile('build/models/pocket/tokenizer_config.json', 'utf8');
  const { chat_template: template } = JSON.parse(config) as { chat_template: string };
  const n = 16;
  const d = 128;
  const small = { form: 'rows', size: 20 } as const;
  const width = options.small ? small.size : d;
  const noise = Float32Array.from({ length: n * width }, (_, i) => Math.sin(i * 12.9898) * 0.1);
  return encodeShare({
    modelId: options.modelId ?? (await manifestId(manifest)),
    templateHash: options.templateHash ?? (await new ChatTemplate(template).hash()),
    n,
    d,
    ...(options.small && { small }),
    placement: 'before-bos',
    recipe: {
      objective: 'tv',
      steps: 300,
      batchSize: 16,
      learningRate: 0.02,
      strictness: 0,
      guardClip: 0.001,
      seed: 0,
      warmup: 0.05,
      clipNorm: 1,
      guardTemperature: 1,
      maxNewTokens: 48,
      quantiseLast: 0.1,
    },
    scores: { safety: 0.95, overRefusal: 0.02, usefulness: 0.97, n: 500 },
    values: dequantiseRows(quantiseRows(noise, n, width)),
  });
}

/** The runs that this browser keeps, as the app stored them; newest first. */
export async function keptRuns(page: Page): Promise<RunRecord[]> {
  const runs = await page.evaluate(
    () =>
      new Promise<unknown[]>((resolve, reject) => {
        const opening = indexedDB.open('retort');
        opening.onerror = () => reject(opening.error);
        opening.onsuccess = () => {
          const all = opening.result.transaction('runs').objectStore('runs').getAll();
          all.onerror = () => reject(all.error);
          all.onsuccess = () => {
            opening.result.close();
            resolve(all.result);
          };
        };
      }),
  );
  return (runs as RunRecord[]).sort((a, b) => (a.createdAt < b.createdAt ? 1 : -1));
}

export function expectNothingWrong(seen: Seen): void {
  expect(seen).toEqual({ errors: [], foreign: [] });
}
