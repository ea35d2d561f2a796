import { describe, expect, it } from 'vitest';
import type { Checkpoint } from './checkpoint';
import { RunControl } from './control';
import { ToyGuard, toyChat, toyItems, ToyStudent, TOY_DOMAIN } from '../testing';
import { parametrisationOf } from '../adapters/parametrisation';
import { parseRecipe } from './recipe';
import { train, type TrainInput } from './trainer';
import { answerScorer, planRun } from './training-data';
import type { Recipe } from '../types';

const chat = toyChat();
const items = toyItems(6);
const all = items.map((_, i) => i);
const guard = new ToyGuard();
const ids = { student: 's', guard: 'g', judge: 'j' };

/** A guard on the prompt where an objective can do with it, else one on the answer. */
const OBJECTIVES = [
  ['tv', 'prompt'],
  ['naive-tv', 'prompt'],
  ['kl', 'prompt'],
  ['kl', 'response'],
  ['reverse-kl', 'prompt'],
  ['js', { kind: 'response', sampling: 'mean' }],
  ['tv', { kind: 'response', sampling: 'accepted' }],
  [{ name: 'kl', studentShare: 0.5 }, 'prompt'],
  [{ name: 'tv', studentShare: 1, klWarmup: 0.5 }, 'prompt'],
  ['tailr', 'prompt'],
  [{ name: 'tailr', klWarmup: 0.5 }, 'response'],
  ['nll', 'response'],
  [{ name: 'nll', reading: 'hard' }, 'prompt'],
  [{ name: 'nll', reading: 'refusal-only' }, 'prompt'],
  ['reinforce', 'response'],
  [{ name: 'ppo', epochs: 3 }, 'response'],
] as const;
const ADAPTERS = [
  { kind: 'soft-prompt', n: 2 },
  { kind: 'soft-prompt', n: 2, form: 'rows', size: 5 },
  { kind: 'soft-prompt', n: 2, form: 'global', size: 12 },
  { kind: 'lora', rank: 1 },
  'steering',
  { kind: 'steering', layers: 'one' },
] as const;

const base = { batchSize: 5, learningRate: 0.1, maxNewTokens: 6, quantiseLast: 0.25 };

async function inputOf(recipe: Recipe): Promise<TrainInput> {
  const engine = new ToyStudent();
  const deps = { engine, chat, guard, domain: TOY_DOMAIN, ids, train: items };
  return {
    recipe,
    engine,
    chat,
    plan: await planRun(recipe, all, deps),
    scoreAnswers: answerScorer(guard, chat, items, recipe),
  };
}

function name(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

describe.each(OBJECTIVES.map(([objective, guardCase]) => ({ objective, guardCase })))(
  '$objective on a guard of the $guardCase',
  ({ objective, guardCase }) => {
    it.each(ADAPTERS.map((adapter) => [name(adapter), adapter] as const))(
      'trains %s, and goes on from a checkpoint as if it had never stopped',
      async (_, adapter) => {
        const recipe = parseRecipe({ ...base, adapter, objective, guardCase, steps: 9 });
        const whole = await train(await inputOf(recipe));
        expect(whole.steps).toHaveLength(9);
        for (const { loss, gradientNorm, policy } of whole.steps) {
          expect(Number.isFinite(loss) && gradientNorm >= 0).toBe(true);
          const own = recipe.objective.name === 'reinforce' || recipe.objective.name === 'ppo';
          expect(policy !== undefined).toBe(own);
        }
        const { initial } = await parametrisationOf(recipe, new ToyStudent(), chat);
        expect(whole.values).not.toEqual(initial);

        const checkpoints: Checkpoint[] = [];
        const control = new RunControl();
        const half = await train(
          { ...(await inputOf(recipe)), checkpointSeconds: 0 },
          {
            control,
            onCheckpoint: (checkpoint) => {
              checkpoints.push(structuredClone(checkpoint));
              if (checkpoint.step >= 4) control.stop();
            },
          },
        );
        expect(half.status).toBe('stopped');
        const resumeFrom = checkpoints.at(-1)!;
        expect(resumeFrom.step).toBe(recipe.objective.name === 'ppo' ? 6 : 4);
        const rest = await train({ ...(await inputOf(recipe)), resumeFrom });
        expect(rest.values).toEqual(whole.values);
        expect(rest.steps.map(({ loss }) => loss)).toEqual(whole.steps.map(({ loss }) => loss));
      },
    );
  },
);

/** Share of sampled answers to prompts of a label that open like a refusal. */
async function refusals(
  student: ToyStudent,
  adaptation: Parameters<ToyStudent['next']>[2],
  label: 'harmful' | 'benign',
): Promise<number> {
  const chosen = items.filter((item) => item.label === label);
  const words = ['sorry', 'no'].map((word) => chat.encodeAnswer(word)[0]!);
  const shares = chosen.map(({ prompt }) => {
    const q = student.next(chat.encodeChat({ user: prompt }), [], adaptation);
    return words.reduce((sum, word) => sum + q[word]!, 0);
  });
  return shares.reduce((a, b) => a + b, 0) / shares.length;
}

describe('what is learned', () => {
  it.each([
    ['kl', 'response', 'lora'],
    ['tv', 'prompt', 'steering'],
    ['tailr', 'prompt', { kind: 'soft-prompt', n: 2 }],
    ['nll', 'response', { kind: 'soft-prompt', n: 2, form: 'rows', size: 20 }],
    ['kl', 'prompt', { kind: 'soft-prompt', n: 2, form: 'global', size: 40 }],
    [{ name: 'kl', studentShare: 0.5 }, 'prompt', 'lora'],
    [{ name: 'reinforce', beta: 0.5 }, 'response', { kind: 'soft-prompt', n: 2 }],
    [{ name: 'ppo', beta: 0.5 }, 'response', 'steering'],
  ])('%o on %s makes %o refuse harm and little else', async (objective, guardCase, adapter) => {
    const recipe = parseRecipe({
      ...{ ...base, batchSize: 8, steps: 100, quantiseLast: 0.1 },
      ...{ adapter, objective, guardCase },
    });
    const input = await inputOf(recipe);
    const { values, parametrisation } = await train(input);
    const adaptation = parametrisation.adaptation(parametrisation.quantised(values));
    const conditioned = adaptation.kind === 'soft-prompt' ? adaptation.values : adaptation;
    const student = new ToyStudent();
    expect(await refusals(student, null, 'harmful')).toBeLessThan(0.1);
    expect(await refusals(student, conditioned, 'harmful')).toBeGreaterThan(0.7);
    expect(await refusals(student, conditioned, 'benign')).toBeLessThan(0.2);
  });

  it('starts LoRA and steering at the frozen student', async () => {
    for (const adapter of ['lora', 'steering']) {
      const parametrisation = await parametrisationOf(
        parseRecipe({ adapter }),
        new ToyStudent(),
        chat,
      );
      const student = new ToyStudent();
      const prompt = chat.encodeChat({ user: items[0]!.prompt });
      const adaptation = parametrisation.adaptation(parametrisation.initial);
      if (adaptation.kind === 'soft-prompt') throw new Error(adapter);
      const adapted = student.next(prompt, [], adaptation);
      expect(adapted).toEqual(student.next(prompt, [], null));
      expect(parametrisation.initial.some((value) => value !== 0)).toBe(adapter === 'lora');
    }
  });

  it('needs a scorer of answers for objectives that learn from them', async () => {
    const recipe = parseRecipe({ ...base, objective: 'ppo', guardCase: 'response' });
    const { scoreAnswers: _, ...input } = await inputOf(recipe);
    await expect(train(input)).rejects.toThrow(/guard that reads answers/);
  });
});
