// Runs in the trainer worker, on the bundled models, in a real browser.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DEFAULT_RECIPE } from '../../distill/train/recipe';
import { parseObjective } from '../../distill/objectives/spec';
import { recipeData } from '../../distill/data/imported-prompts';
import { parseAdapter } from '../../distill/adapters/adapter-spec';
import type { BoundMeasurement, PromptItem, Recipe, RunRecord } from '../../distill/types';
import golden from '../../../tests/fixtures/pocket/golden.json';
import softUrl from '../../../tests/fixtures/pocket/soft.f32?url';
import { createGuardClient, createStudentClient, createTrainerClient } from '../client';
import { baseUrl, bundled, expectNothingElsewhere, floats } from '../runtime/models.testing';
import type { SweepEvent, TrainEvent } from '../wire/protocol';

const trainer = createTrainerClient();
const guard = createGuardClient();
const judge = createGuardClient();

beforeAll(async () => {
  const student = createStudentClient();
  const source = bundled('pocket');
  await student.request('load', { source, baseUrl, device: 'auto' });
  const runtimeLogits = await student.request('logits', { tokens: golden.ids, prefix: null });
  student.terminate();
  await trainer.request('load', { source, baseUrl, runtimeLogits });
});

afterAll(() => {
  for (const client of [trainer, guard, judge]) client.terminate();
});

describe('a run', () => {
  test('compiles training kernels when asked, not with the student, and each once', async () => {
    const objective = DEFAULT_RECIPE.objective;
    // Gradients of every layer's operations, and the loss.
    expect(await trainer.request('prepareTraining', { objective })).toBeGreaterThan(5);
    expect(await trainer.request('prepareTraining', { objective })).toBe(0);
    const other = parseObjective('js');
    expect(await trainer.request('prepareTraining', { objective: other })).toBe(1);
  });

  test('trains, pauses, steps, answers in between, resumes and gives a record', async () => {
    for (const [name, client] of [
      ['guard', guard],
      ['judge', judge],
    ] as const) {
      const { modelId } = await client.request('load', {
        source: bundled(name),
        baseUrl,
        device: 'auto',
      });
      const { port1, port2 } = new MessageChannel();
      await client.request('connect', { port: port1 }, { transfer: [port1] });
      await trainer.request('connectGuard', { name, port: port2, modelId }, { transfer: [port2] });
    }
    const recipe = { ...DEFAULT_RECIPE, steps: 4, batchSize: 2 };
    const seen: TrainEvent[] = [];
    let meanwhile = null as Promise<{ answers: string[] }> | null;
    const run: RunRecord = await trainer.request(
      'train',
      { recipe },
      {
        onEvent: (event) => {
          seen.push(event);
          if (event.kind === 'step' && event.record.step === 1) {
            void trainer.request('pause', null);
            meanwhile = trainer.request('answer', {
              prompts: ['What is the capital of Japan?'],
              adaptation: null,
              system: null,
              temperature: 0,
              seed: 0,
              maxNewTokens: 8,
            });
            void meanwhile
              .then(() => trainer.request('step', null))
              .then(() => trainer.request('resume', null));
          }
        },
      },
    );
    expect(run.status).toBe('finished');
    expect(run.steps.map(({ step }) => step)).toEqual([1, 2, 3, 4]);
    expect(run.values).toHaveLength(16 * 128);
    expect(run.share!.length).toBeLessThanOrEqual(1500);
    expect(run.modelId).toMatch(/^[0-9a-f]{16}$/);
    expect((await meanwhile)?.answers).toHaveLength(1);
    const states = seen.flatMap((event) => (event.kind === 'state' ? [event.state] : []));
    expect(states).toEqual(['paused', 'running']);
    expect(seen.filter(({ kind }) => kind === 'probe').length).toBeGreaterThanOrEqual(2);
    expect(await trainer.request('checkpoint', null)).toBeNull();
  });

  test('can be stopped, cancelled, and taken up again from its checkpoint', async () => {
    const recipe = { ...DEFAULT_RECIPE, steps: 4000, batchSize: 1 };
    const abort = new AbortController();
    const seconds: number[] = [];
    const begun = performance.now();
    const cancelled = trainer.request(
      'train',
      { recipe },
      {
        signal: abort.signal,
        onEvent: (event) => {
          if (event.kind !== 'kept') return;
          expect(event.problem).toBeNull();
          seconds.push((performance.now() - begun) / 1000);
          if (seconds.length === 2) abort.abort();
        },
      },
    );
    await expect(cancelled).rejects.toMatchObject({ code: 'cancelled' });
    // By time: many steps of this little model go by between two checkpoints.
    expect(seconds[1]! - seconds[0]!).toBeGreaterThan(2);
    const found = (await trainer.request('checkpoint', null))!;
    expect(found.recipe).toEqual(recipe);
    const { step } = found;
    expect(step).toBeGreaterThan(1);

    const steps: number[] = [];
    const run = await trainer.request(
      'train',
      { recipe: DEFAULT_RECIPE, resume: true },
      {
        onEvent: (event) => {
          if (event.kind !== 'step') return;
          steps.push(event.record.step);
          if (steps.length === 2) void trainer.request('stop', null);
        },
      },
    );
    expect(steps.slice(0, 2)).toEqual([step + 1, step + 2]);
    expect(run.status).toBe('stopped');
    expect(run.recipe).toEqual(recipe);
    expect(run.steps.map((each) => each.step)).toEqual(run.steps.map((_, i) => i + 1));
    expect(run.steps.length).toBe(steps.at(-1));
    expect(run.steps.length).toBeLessThan(4000);
    expect(await trainer.request('checkpoint', null)).toBeNull();
  });

  test('is measured as it is, not as a run before it had been kept', async () => {
    const recipe = { ...DEFAULT_RECIPE, steps: 4000, batchSize: 1 };
    const trainUntil = async (wanted: Recipe, isEnough: (event: TrainEvent) => boolean) => {
      const abort = new AbortController();
      const onEvent = (event: TrainEvent) => isEnough(event) && abort.abort();
      const run = trainer.request('train', { recipe: wanted }, { signal: abort.signal, onEvent });
      await expect(run).rejects.toMatchObject({ code: 'cancelled' });
    };
    await trainUntil(recipe, ({ kind }) => kind === 'kept');
    // Another adapter, after its first step: it has no checkpoint yet.
    const other = { ...recipe, adapter: parseAdapter({ kind: 'lora', rank: 1 }) };
    const abort = new AbortController();
    let looked: Promise<BoundMeasurement> | null = null;
    const onEvent = ({ kind }: TrainEvent) => {
      if (kind !== 'step' || looked) return;
      const asked = { set: 'wording', values: null, recipe: other, limit: 1 } as const;
      looked = trainer.request('bound', asked).finally(() => abort.abort());
    };
    const run = trainer.request('train', { recipe: other }, { signal: abort.signal, onEvent });
    await expect(run).rejects.toMatchObject({ code: 'cancelled' });
    const { prompts, event } = await looked!;
    expect(prompts).toBeGreaterThan(0);
    expect(event.student).toBeGreaterThanOrEqual(0);
    // Once nothing trains, there is nothing to look at.
    const late = { set: 'wording', values: null, recipe, limit: 1 } as const;
    await expect(trainer.request('bound', late)).rejects.toMatchObject({
      code: 'bad-input',
      message: 'No run is under way, or it has not begun to train.',
    });
  });

  test('a sweep of other adapters runs cell by cell, and is kept', async () => {
    const spec = {
      version: 1,
      base: { steps: 2, batchSize: 2, maxNewTokens: 8 },
      adapters: [{ kind: 'lora', rank: 1 }, 'preamble'],
      objectives: ['kl'],
      sets: ['intent'],
      limit: 1,
    };
    const seen: SweepEvent[] = [];
    const document = await trainer.request(
      'sweep',
      { spec },
      { onEvent: (event) => void seen.push(event) },
    );
    expect(document.cells.map(({ id, status }) => [id, status])).toEqual([
      ['lora1-a2-qv_kl_prompt_b0_s0', 'finished'],
      ['preamble', 'finished'],
    ]);
    expect(seen.flatMap((event) => (event.kind === 'cell' ? [event.id] : []))).toEqual(
      document.cells.map(({ id }) => id),
    );
    expect(document.cells[0]!.result!.losses).toHaveLength(2);
    expect(await trainer.request('sweepResults', null)).toEqual(document);
    // Nothing is left to do.
    expect(await trainer.request('sweep', { spec })).toEqual(document);
    await expect(
      trainer.request('sweep', { spec: { ...spec, adapters: ['none'] } }),
    ).rejects.toMatchObject({ code: 'bad-input' });
  });

  test('is scored with all four systems', async () => {
    const evaluation = await trainer.request('evaluate', {
      set: 'wording',
      systems: ['base', 'preamble', 'guarded', 'adapter'],
      temperature: 1,
      seed: 0,
      values: await floats(softUrl),
      recipe: DEFAULT_RECIPE,
      limit: 2,
    });
    expect(evaluation.counts).toEqual({ harmful: 2, borderline: 2, benign: 2 });
    expect(Object.keys(evaluation.systems)).toEqual(['base', 'preamble', 'guarded', 'adapter']);
    expect(evaluation.systems.guarded?.scores.safety.judge.n).toBe(2);
  });

  test('is scored on imported prompts, and trains on none but those that its recipe names', async () => {
    const verbs = ['stop', 'paint', 'hide', 'wind'];
    const items = verbs.map((verb, i): PromptItem => {
      const prompt = `How do I ${verb} a clock?`;
      return { id: String(i), prompt, label: i % 2 ? 'harmful' : 'borderline', intent: prompt };
    });
    const long = { ...items[0]!, id: 'long', prompt: 'clock '.repeat(2000) };
    const imported = { name: 'Clocks', items: [...items, long] };
    const evaluation = await trainer.request('evaluate', {
      set: 'custom',
      imported,
      systems: ['base', 'guarded'],
      temperature: 0,
      seed: 0,
      values: null,
      recipe: DEFAULT_RECIPE,
      limit: 1,
    });
    const data = recipeData(imported, 'replace');
    expect(evaluation.imported).toEqual({ name: 'Clocks', hash: data.hash, tooLong: 1 });
    expect(evaluation.counts).toEqual({ harmful: 1, borderline: 1, benign: 0 });

    const recipe = { ...DEFAULT_RECIPE, steps: 1, batchSize: 2, data };
    const run = await trainer.request('train', { recipe, imported });
    expect(run.trainedOn).toEqual({ prompts: 4, tooLong: 1 });
    expect(run.recipe.data).toEqual(data);
    await expect(trainer.request('train', { recipe })).rejects.toMatchObject({
      code: 'bad-input',
      message: 'The imported prompts of “Clocks” are not here.',
    });
    const others = { ...imported, items };
    await expect(trainer.request('train', { recipe, imported: others })).rejects.toMatchObject({
      code: 'bad-input',
    });
  });

  test('ends with an error, not with silence, when a guard dies', async () => {
    const { port1, port2 } = new MessageChannel();
    await guard.request('connect', { port: port1 }, { transfer: [port1] });
    await trainer.request(
      'connectGuard',
      { name: 'judge', port: port2, modelId: '0000000000000000' },
      { transfer: [port2] },
    );
    await trainer.request('disconnectGuard', { name: 'judge' });
    await expect(
      trainer.request('train', { recipe: { ...DEFAULT_RECIPE, steps: 1 } }),
    ).rejects.toMatchObject({ code: 'bad-input', message: 'Load the judge first.' });
  });
});

expectNothingElsewhere();
