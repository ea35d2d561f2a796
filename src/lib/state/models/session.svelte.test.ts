// The tab's real workers on the bundled models: who is told of a failure, and who goes on living.
import { afterAll, describe, expect, test } from 'vitest';
import { DEFAULT_RECIPE } from '../../../distill/train/recipe';
import { sourceText } from '../../../formats/source-text';
import { models } from './models.svelte';
import { session } from './session.svelte';

const FILES = ['config.json', 'tokenizer.json', 'tokenizer_config.json', 'onnx/model_q4.onnx'];

/** The bundled guard, but that its tokenizer gives " moon" an id that its model does not have. */
async function moonlessGuard(): Promise<string> {
  const files = await Promise.all(
    FILES.map(async (path) => {
      const bytes = await (await fetch(`/models/guard/${path}`)).arrayBuffer();
      if (path !== 'tokenizer.json') return new File([bytes], `guard/${path}`);
      const tokenizer = JSON.parse(new TextDecoder().decode(bytes)) as {
        model: { vocab: Record<string, number> };
      };
      expect(tokenizer.model.vocab['Ġmoon']).toBeGreaterThan(0);
      tokenizer.model.vocab['Ġmoon'] = 1_000_000;
      return new File([JSON.stringify(tokenizer)], `guard/${path}`);
    }),
  );
  return sourceText(models.addFolder('moonless', files));
}

const tokens = (prompt: string) =>
  session.trainer('tokens', {
    ...{ prompt, answer: 'Tokyo.', other: null, recipe: DEFAULT_RECIPE, values: null },
  });

afterAll(() => void session.use({ student: 'none', guard: 'none' }));

describe('callers that share a load', () => {
  test('each end their own wait, at once', async () => {
    const [first, second] = [new AbortController(), new AbortController()];
    const waits = [first, second].map(({ signal }) => session.load(['student'], signal));
    await expect.poll(() => session.phases.length, { timeout: 30_000 }).toBeGreaterThan(0);
    first.abort();
    await expect(waits[0]).rejects.toMatchObject({ code: 'cancelled' });
    expect(session.runtime).toBeNull();
    await waits[1];
    expect(session.runtime?.label).toBe('pocket');
  });
});

describe('a guard that breaks while the engine asks it', () => {
  test('goes alone, and is loaded again; the engine keeps its weights', async () => {
    session.use({ guard: await moonlessGuard() });
    await session.load(['trainer', 'guard']);
    const { engine } = session;
    expect(engine).not.toBeNull();
    const { safe } = await tokens('What is the capital of Japan?');
    expect(safe).toBeGreaterThan(0.5);

    await expect(tokens('Is the moon round?')).rejects.toMatchObject({
      code: 'internal',
      broken: true,
      owner: 'guard',
    });
    expect(session.guards.guard).toBeUndefined();
    expect(session.engine).toBe(engine);
    // Until it is loaded again the engine has no guard, and says so.
    expect((await tokens('What is the capital of Japan?')).safe).toBeNull();

    await session.load(['trainer', 'guard']);
    expect(session.engine).toBe(engine);
    expect((await tokens('What is the capital of Japan?')).safe).toBeCloseTo(safe!, 5);
  });

  test('is not broken by what it refuses; neither is the engine', async () => {
    const { engine } = session;
    const guard = session.guards.guard!;
    await expect(tokens('moonless '.repeat(3000))).rejects.toMatchObject({
      code: 'bad-input',
      broken: false,
    });
    const recipe = { ...DEFAULT_RECIPE, steps: -1 };
    await expect(session.trainer('train', { recipe })).rejects.toMatchObject({
      code: 'bad-input',
    });
    expect(session.engine).toBe(engine);
    expect(session.guards.guard).toBe(guard);
    expect((await tokens('What is the capital of Japan?')).safe).toBeGreaterThan(0.5);
  });
});
