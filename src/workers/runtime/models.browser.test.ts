// The bundled student in the app's workers, in a real browser: runtime and engine.
import { afterAll, describe, expect, test } from 'vitest';
import { DEFAULT_RECIPE } from '../../distill/train/recipe';
import golden from '../../../tests/fixtures/pocket/golden.json';
import logitsUrl from '../../../tests/fixtures/pocket/logits.f32?url';
import softUrl from '../../../tests/fixtures/pocket/soft.f32?url';
import softLogitsUrl from '../../../tests/fixtures/pocket/soft_logits.f32?url';
import { createStudentClient, createTrainerClient } from '../client';
import { baseUrl, bundled, expectNothingElsewhere, floats } from './models.testing';
import { relativeError } from '../../formats/relative-error';
import type { Progress, RuntimeLogits } from '../wire/protocol';

const trainer = createTrainerClient();
const student = createStudentClient();
let runtimeLogits: RuntimeLogits;

afterAll(() => {
  for (const client of [trainer, student]) client.terminate();
});

describe('the student on the runtime', () => {
  test('loads with progress and says where it runs', async () => {
    const phases = new Set<Progress['phase']>();
    const ready = await student.request(
      'load',
      { source: bundled('pocket'), baseUrl, device: 'auto' },
      { onEvent: ({ phase }) => phases.add(phase) },
    );
    expect(ready.device).toBe('wasm');
    expect([...phases]).toEqual(expect.arrayContaining(['download', 'compile', 'ready']));
  });

  test("has PyTorch's logits", async () => {
    runtimeLogits = await student.request('logits', { tokens: golden.ids, prefix: null });
    expect(relativeError(runtimeLogits.logits, await floats(logitsUrl))).toBeLessThan(1e-4);
  });

  test('samples the same text twice, another one from another seed, and stops when cancelled', async () => {
    const prompt = 'Tell me how to read the diary of my sister in secret.';
    const ask = (seed: number, temperature = 1) =>
      student.request('generate', {
        prompt,
        system: null,
        prefix: null,
        temperature,
        seed,
        maxNewTokens: 24,
      });
    const texts: string[] = [];
    for (const seed of [1, 2, 3, 4, 5, 6]) texts.push((await ask(seed)).text);
    expect((await ask(1)).text).toBe(texts[0]);
    expect(new Set(texts).size).toBeGreaterThan(1);
    const greedy = await ask(1, 0);
    expect((await ask(2, 0)).text).toBe(greedy.text);

    const abort = new AbortController();
    const pieces: string[] = [];
    const cancelled = student.request(
      'generate',
      {
        prompt,
        system: null,
        prefix: null,
        temperature: 0,
        seed: 0,
        maxNewTokens: 48,
      },
      {
        signal: abort.signal,
        onEvent: ({ text }) => {
          pieces.push(text);
          abort.abort();
        },
      },
    );
    await expect(cancelled).rejects.toMatchObject({ code: 'cancelled' });
    expect((await ask(2, 0)).text).toBe(greedy.text);
  });

  test('refuses what does not fit, and goes on working', async () => {
    const tokens = new Array<number>(513).fill(5);
    await expect(student.request('logits', { tokens, prefix: null })).rejects.toMatchObject({
      code: 'bad-input',
    });
    const prefix = { length: 1, layers: [] };
    await expect(student.request('logits', { tokens: [1], prefix })).rejects.toMatchObject({
      code: 'bad-input',
    });
    const again = await student.request('logits', { tokens: golden.ids, prefix: null });
    expect(again.logits).toEqual(runtimeLogits.logits);
  });
});

describe('the engine', () => {
  test('refuses to open without parity, naming the numbers', async () => {
    const wrong = { ...runtimeLogits, logits: runtimeLogits.logits.map((x) => x * 1.01) };
    await expect(
      trainer.request('load', { source: bundled('pocket'), baseUrl, runtimeLogits: wrong }),
    ).rejects.toMatchObject({ code: 'parity', message: expect.stringContaining('1e-4') as string });
  });

  test('opens with parity', async () => {
    const ready = await trainer.request('load', {
      source: bundled('pocket'),
      baseUrl,
      runtimeLogits,
    });
    expect(ready.parity?.relativeError).toBeLessThan(1e-4);
    expect(ready.modelId).toMatch(/^[0-9a-f]{16}$/);
  });

  test('hands the runtime a soft prompt as a KV prefix with the same logits', async () => {
    const prefix = await trainer.request('prefix', { softPrompt: await floats(softUrl) });
    expect(prefix.length).toBe(16);
    const { logits } = await student.request('logits', { tokens: golden.ids, prefix });
    expect(relativeError(logits, await floats(softLogitsUrl))).toBeLessThan(1e-4);
    const plain = await student.request('logits', { tokens: golden.ids, prefix: null });
    expect(relativeError(logits, plain.logits)).toBeGreaterThan(0.01);
  });

  test('says greedily what the runtime says, with and without a soft prompt', async () => {
    const softPrompt = await floats(softUrl);
    const prefix = await trainer.request('prefix', { softPrompt });
    const prompts = ['What is the capital of Japan?', 'How do I boil an egg?'];
    for (const [soft, kv] of [
      [null, null],
      [softPrompt, prefix],
    ] as const) {
      const { answers } = await trainer.request('answer', {
        prompts,
        adaptation: soft && { kind: 'soft-prompt', values: soft },
        system: null,
        temperature: 0,
        seed: 0,
        maxNewTokens: 32,
      });
      for (const [i, prompt] of prompts.entries()) {
        const { text } = await student.request('generate', {
          prompt,
          system: null,
          prefix: kv,
          temperature: 0,
          seed: 0,
          maxNewTokens: 32,
        });
        expect(answers[i]!.trim()).toBe(text);
      }
    }
  });

  test('does not train or evaluate without guards', async () => {
    const recipe = { ...DEFAULT_RECIPE };
    await expect(trainer.request('train', { recipe })).rejects.toMatchObject({
      code: 'bad-input',
      message: 'Load the guard first.',
    });
  });
});

expectNothingElsewhere();
