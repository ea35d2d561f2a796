import { describe, expect, it } from 'vitest';
import { parseAdapter } from '../adapters/adapter-spec';
import type { Checkpoint } from './checkpoint';
import { RunControl } from './control';
import { parseObjective } from '../objectives/spec';
import { bare } from '../../engine/pack';
import type { Batch, OptimiserState } from '../../engine/types';
import { mixtureExample } from '../objectives/rows';
import { plan, type Plan } from '../target/paths';
import { prepare, preparedKey } from './prepare';
import { parseRecipe } from './recipe';
import { toyChat, ToyGuard, toyItems, ToyStudent, TOY_DOMAIN } from '../testing';
import { initialTokens } from '../adapters/parametrisation';
import { train } from './trainer';
import type { Recipe } from '../types';

const chat = toyChat();
const items = toyItems(6);
const recipe: Recipe = parseRecipe({
  virtualTokens: 2,
  steps: 60,
  batchSize: 6,
  learningRate: 0.1,
  maxNewTokens: 6,
});
const prepared = await prepare(
  items,
  preparedKey(items, { student: 'toy', guard: 'toy' }, 6, chat),
  {
    engine: new ToyStudent(),
    chat,
    guard: new ToyGuard(),
  },
);
const planFor = (wanted: Recipe): Plan =>
  plan(
    items,
    items.map((_, i) => i),
    prepared,
    wanted,
    chat,
    TOY_DOMAIN.refusals,
    64,
  );
const input = (engine: ToyStudent, wanted: Recipe = recipe) => ({
  recipe: wanted,
  plan: planFor(wanted),
  engine,
  chat,
});

/** Probability that the first word refuses, averaged over the prompts of a label. */
function refusalRate(student: ToyStudent, prompt: Float32Array, label: string): number {
  const first = [...new Set(TOY_DOMAIN.refusals.map((text) => chat.encodeAnswer(text)[0]!))];
  const rates = items
    .filter((item) => item.label === label)
    .map((item) => {
      const q = student.next(chat.encodeChat({ user: item.prompt }), [], prompt);
      return first.reduce((sum, token) => sum + q[token]!, 0);
    });
  return rates.reduce((a, b) => a + b, 0) / rates.length;
}

describe('the toy student', () => {
  it.each(['tv', 'kl'] as const)('has the gradient of its %s loss', async (objective) => {
    const student = new ToyStudent();
    const { examples, trie, maxRows, maxLossRows } = planFor(recipe);
    const drawn = [examples[0]!, examples[13]!, examples[30]!];
    const trainer = await student.createTrainer({
      trainable: { kind: 'soft-prompt', n: 2 },
      objective: { family: 'divergence', name: objective },
      maxRows,
      maxLossRows,
      clipNorm: 1,
    });
    const teacher = await trainer.teach(drawn.map(bare));
    const batch: Batch = {
      family: 'divergence',
      examples: drawn.map((example, i) => mixtureExample(example, teacher[i]!, trie, recipe)),
      teacher,
    };
    // Far from the student without a prompt: q = p is TV's kink.
    const start = (await student.embeddingRows([7, 9])).map((value) => 8 * value);
    const lossAt = (values: Float32Array) => {
      trainer.setValues(values);
      return trainer.lossAndGradient(batch);
    };
    const { gradient } = lossAt(start);
    for (const i of [0, 5, 17, start.length - 1]) {
      const [above, below] = [1e-2, -1e-2].map((h) => {
        const moved = start.slice();
        moved[i]! += h;
        return { at: moved[i]!, loss: lossAt(moved).loss };
      });
      const slope = (above!.loss - below!.loss) / (above!.at - below!.at);
      expect(Math.abs(slope - gradient[i]!)).toBeLessThan(1e-6 + 1e-3 * Math.abs(slope));
    }
  });
});

describe('train', () => {
  it.each(['tv', 'kl'] as const)('teaches the guard with %s', async (objective) => {
    const student = new ToyStudent();
    const { steps, values, status } = await train(
      input(student, { ...recipe, objective: parseObjective(objective), steps: 150 }),
    );
    expect(status).toBe('finished');
    expect(steps.map(({ step }) => step)).toEqual(Array.from({ length: 150 }, (_, i) => i + 1));
    const average = (part: typeof steps) => part.reduce((sum, { loss }) => sum + loss, 0) / 20;
    expect(average(steps.slice(-20))).toBeLessThan(0.5 * average(steps.slice(0, 20)));
    expect(refusalRate(student, new Float32Array(student.dim), 'harmful')).toBeLessThan(0.1);
    expect(refusalRate(student, values, 'harmful')).toBeGreaterThan(0.8);
    expect(refusalRate(student, values, 'benign')).toBeLessThan(0.1);
    expect(refusalRate(student, values, 'borderline')).toBeLessThan(0.15);
  });

  it('is repeatable, and another run with another seed', async () => {
    const short = { ...recipe, steps: 8 };
    const first = await train(input(new ToyStudent(), short));
    const again = await train(input(new ToyStudent(), short));
    const other = await train(input(new ToyStudent(), { ...short, seed: 1 }));
    expect(again.values).toEqual(first.values);
    expect(other.values).not.toEqual(first.values);
    const losses = (result: typeof first) => result.steps.map(({ loss }) => loss);
    expect(losses(again)).toEqual(losses(first));
  });

  it('asks the teacher once for each example, however many epochs', async () => {
    const student = new ToyStudent();
    await train(input(student));
    expect(student.taught).toBe(items.length);
  });

  it('starts from distinct ordinary words', () => {
    const tokens = initialTokens(chat, 64, {
      ...recipe,
      adapter: parseAdapter({ kind: 'soft-prompt', n: 10 }),
    });
    expect(new Set(tokens).size).toBe(10);
    expect(tokens.some((token) => chat.specialTokens.has(token))).toBe(false);
    expect(tokens.every((token) => token < chat.vocabSize)).toBe(true);
  });

  it('probes at the start, on the way and at the end, and fake-quantises the last tenth', async () => {
    const student = new ToyStudent();
    const seen: boolean[] = [];
    const create = student.createTrainer.bind(student);
    student.createTrainer = async (options) => {
      const trainer = await create(options);
      const step = trainer.step.bind(trainer);
      trainer.step = (batch, how) => {
        seen.push(how.fakeQuantise);
        return step(batch, how);
      };
      return trainer;
    };
    const none = { value: 0, low: 0, high: 1, n: 0 };
    const { probes } = await train({
      ...input(student, { ...recipe, steps: 20 }),
      probeEvery: 8,
      probe: async (adaptation, step) => {
        expect(adaptation?.values).toHaveLength(2 * student.dim);
        return { step, safety: none, overRefusal: none, usefulness: none, samples: [] };
      },
    });
    expect(probes.map(({ step }) => step)).toEqual([0, 2, 4, 6, 8, 16, 20]);
    expect(seen.filter(Boolean)).toHaveLength(2);
    expect(seen.lastIndexOf(false)).toBe(17);
  });

  it('takes the gradient of a small form without a step of the engine', async () => {
    const student = new ToyStudent();
    const seen = { steps: 0, gradients: 0 };
    const create = student.createTrainer.bind(student);
    let state = null as OptimiserState | null;
    student.createTrainer = async (options) => {
      const trainer = await create(options);
      const gradient = trainer.gradient.bind(trainer);
      trainer.step = () => Promise.reject(new Error(`step ${++seen.steps}`));
      trainer.gradient = async (...args) => {
        seen.gradients++;
        const result = await gradient(...args);
        state = await trainer.readState();
        return result;
      };
      return trainer;
    };
    const adapter = parseAdapter({ kind: 'soft-prompt', n: 2, form: 'rows', size: 3 });
    const { steps, values } = await train(input(student, { ...recipe, adapter, steps: 6 }));
    expect(seen).toEqual({ steps: 0, gradients: 6 });
    // The engine's own optimiser has seen nothing.
    expect(state).toMatchObject({ updates: 0 });
    expect(state!.first.every((moment) => moment === 0)).toBe(true);
    expect(steps).toHaveLength(6);
    expect(values.some((value) => value !== 0)).toBe(true);
  });

  it('goes on from a checkpoint as if it had never stopped', async () => {
    const long = { ...recipe, steps: 24 };
    const whole = await train(input(new ToyStudent(), long));
    const checkpoints: Checkpoint[] = [];
    const control = new RunControl();
    const half = await train(
      { ...input(new ToyStudent(), long), checkpointSeconds: 0 },
      {
        control,
        onCheckpoint: (checkpoint) => {
          checkpoints.push(structuredClone(checkpoint));
          if (checkpoint.step === 10) control.stop();
        },
      },
    );
    expect(half.status).toBe('stopped');
    expect(half.steps).toHaveLength(10);
    const rest = await train({ ...input(new ToyStudent(), long), resumeFrom: checkpoints.at(-1)! });
    expect(rest.status).toBe('finished');
    expect(rest.values).toEqual(whole.values);
    expect(rest.steps.map(({ loss }) => loss)).toEqual(whole.steps.map(({ loss }) => loss));
  });

  it('takes checkpoints by time, not by steps', async () => {
    const taken: number[] = [];
    const onCheckpoint = ({ step }: Checkpoint) => void taken.push(step);
    const short = { ...recipe, steps: 12 };
    await train({ ...input(new ToyStudent(), short), checkpointSeconds: 3600 }, { onCheckpoint });
    expect(taken).toEqual([]);
    await train(input(new ToyStudent(), short), { onCheckpoint });
    expect(taken).toEqual([]);
    await train({ ...input(new ToyStudent(), short), checkpointSeconds: 0 }, { onCheckpoint });
    expect(taken).toEqual(Array.from({ length: 12 }, (_, i) => i + 1));
  });

  it('waits for a checkpoint to be kept, and copies no history for it', async () => {
    const seen: string[] = [];
    const lists = new Set<unknown>();
    await train(
      { ...input(new ToyStudent(), { ...recipe, steps: 3 }), checkpointSeconds: 0 },
      {
        onStep: ({ step }) => seen.push(`step ${step}`),
        onCheckpoint: async ({ step, steps }) => {
          lists.add(steps);
          expect(steps).toHaveLength(step);
          await new Promise((resolve) => setTimeout(resolve, 20));
          seen.push(`kept ${step}`);
        },
      },
    );
    expect(seen).toEqual(['step 1', 'kept 1', 'step 2', 'kept 2', 'step 3', 'kept 3']);
    expect(lists.size).toBe(1);
  });

  it('takes values and optimiser in one reading', async () => {
    const student = new ToyStudent();
    const reads: string[] = [];
    const create = student.createTrainer.bind(student);
    student.createTrainer = async (options) => {
      const trainer = await create(options);
      for (const name of ['readValues', 'readState'] as const) {
        const read = trainer[name].bind(trainer) as () => Promise<never>;
        trainer[name] = () => (reads.push(name), read());
      }
      return trainer;
    };
    const onCheckpoint = () => void reads.push('checkpoint');
    const three = { ...recipe, steps: 3 };
    await train({ ...input(student, three), checkpointSeconds: 0 }, { onCheckpoint });
    // The last is what the run gives.
    const each = ['readState', 'checkpoint'];
    expect(reads).toEqual([...each, ...each, ...each, 'readValues']);
  });

  it('lets the student be looked at as it is between two steps', async () => {
    const control = new RunControl();
    let look!: () => Promise<{ values: Float32Array }>;
    const looks: Float32Array[] = [];
    const kept: Float32Array[] = [];
    const short = { ...recipe, steps: 5, quantiseLast: 0.2 };
    await train(
      { ...input(new ToyStudent(), short), checkpointSeconds: 0 },
      {
        control,
        onStudent: (given) => (look = given),
        onStep: () => {
          control.pause();
          void look().then(({ values }) => {
            looks.push(values.slice());
            control.resume();
          });
        },
        onCheckpoint: ({ values }) => void kept.push(values),
      },
    );
    expect(looks.slice(0, 3)).toEqual(kept.slice(0, 3));
    expect(looks[2]).not.toEqual(looks[1]);
    // As the last step sees it: through the link's quantisation.
    expect(looks[3]).not.toEqual(kept[3]);
  });

  it('waits while paused, steps once, and lets go of the trainer when cancelled', async () => {
    const student = new ToyStudent();
    const cancel = new AbortController();
    const control = new RunControl();
    control.pause();
    const done: number[] = [];
    let destroyed = () => false;
    const create = student.createTrainer.bind(student);
    student.createTrainer = async (options) => {
      const trainer = await create(options);
      destroyed = () => trainer.destroyed;
      return trainer;
    };
    const running = train(input(student), {
      control,
      signal: cancel.signal,
      onStep: ({ step }) => done.push(step),
    });
    const turn = () => new Promise((resolve) => setTimeout(resolve, 30));
    await turn();
    expect(done).toEqual([]);
    control.step();
    await turn();
    expect(done).toEqual([1]);
    cancel.abort();
    await expect(running).rejects.toThrow(/abort/i);
    expect(destroyed()).toBe(true);
  });
});
