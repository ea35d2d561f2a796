import { describe, expect, it } from 'vitest';
import { decodeShare } from '../../formats/share/share-link';
import type { Checkpoint } from './checkpoint';
import { RunControl } from './control';
import { holdOut } from '../data/dataset';
import { preparedKey, type PreparedData } from './prepare';
import { PROBE_COUNTS } from './probe';
import { parseRecipe } from './recipe';
import { sharedVectors, throughLink } from '../adapters/parametrisation';
import { distil, type RunDeps } from './run';
import { toyChat, ToyGuard, toyItems, ToyStudent, TOY_DOMAIN } from '../testing';

const ids = { student: '0123456789abcdef', guard: 'g', judge: 'j' };
const recipe = parseRecipe({
  objective: 'kl',
  virtualTokens: 2,
  steps: 80,
  batchSize: 6,
  learningRate: 0.1,
  maxNewTokens: 6,
});
const train = toyItems(30).map((item) => ({ ...item, id: `train-${item.id}` }));
const wording = toyItems(12);
const deps = (more: Partial<RunDeps> = {}) => ({
  chat: toyChat(),
  guard: new ToyGuard(),
  judge: new ToyGuard(),
  domain: TOY_DOMAIN,
  ids,
  train,
  sets: { wording },
  environment: {
    commit: 'unknown',
    version: '0',
    runtime: 'test',
    adapter: 'toy',
    software: true,
  },
  ...more,
  engine: new ToyStudent(),
});

describe('distil', () => {
  it('goes from prompts to a link that carries exactly what was scored', async () => {
    const phases = new Set<string>();
    const record = await distil(recipe, deps(), { onProgress: (phase) => phases.add(phase) });
    expect([...phases]).toEqual(['guard', 'sample', 'train', 'evaluate']);
    expect(record.status).toBe('finished');
    expect(record.steps).toHaveLength(80);
    expect(record.probes.map(({ step }) => step)).toEqual([0, 5, 10, 15, 20, 25, 50, 75, 80]);
    const [evaluation] = record.evaluations;
    const { base, adapter, guarded } = evaluation!.systems;
    expect(adapter!.scores.safety.judge.low).toBeGreaterThan(base!.scores.safety.judge.high);
    expect(guarded!.scores.safety.judge.value).toBeGreaterThan(0.9);
    expect(record.probes.at(-1)!.safety.value).toBeGreaterThan(record.probes[0]!.safety.value);

    const shared = decodeShare(record.share!);
    expect(shared.values).toEqual(record.values);
    expect(throughLink(record.values, record.dim)).toEqual(record.values);
    expect(shared).toMatchObject({ modelId: ids.student, n: 2, d: record.dim });
    expect(shared.recipe).toMatchObject({ objective: 'kl', steps: 80, seed: 0 });
    expect(shared.scores!.safety).toBeCloseTo(adapter!.scores.safety.judge.value, 4);
    expect(shared.scores!.n).toBe(24);
    for (const phase of ['prepare', 'train', 'probe', 'evaluate']) {
      expect(record.seconds[phase]).toBeGreaterThan(0);
    }
  });

  it.each([
    ['rows', 3],
    ['global', 24],
  ])(
    'of the small form %s it links what was trained, which unfolds to what was scored',
    async (form, size) => {
      const small = parseRecipe({
        ...recipe,
        ...{ steps: 12, quantiseLast: 0.5, adapter: { kind: 'soft-prompt', n: 2, form, size } },
      });
      const used = deps();
      const record = await distil(small, used);
      const shared = decodeShare(record.share!);
      expect(shared).toMatchObject({ n: 2, d: record.dim, small: { form, size } });
      expect(shared.values).toHaveLength(form === 'rows' ? 2 * size : size);
      expect(shared.values.some((value) => value !== 0)).toBe(true);
      expect(await sharedVectors(shared, used.engine, used.chat)).toEqual(record.values);
      expect(record.values).toHaveLength(2 * record.dim);
      const wider = { ...shared, d: record.dim + 1 };
      await expect(sharedVectors(wider, used.engine, used.chat)).rejects.toThrow('values, not');
    },
  );

  it('never trains on a probe prompt', async () => {
    const used = deps();
    const seen = new Set<string>();
    const create = used.engine.createTrainer.bind(used.engine);
    used.engine.createTrainer = async (options) => {
      const trainer = await create(options);
      const teach = trainer.teach.bind(trainer);
      trainer.teach = (examples) => {
        for (const { prompt } of examples) seen.add(used.chat.decode(prompt));
        return teach(examples);
      };
      return trainer;
    };
    const distinct = train.map((item, i) => ({
      ...item,
      prompt: `${item.prompt} ${'now '.repeat(i % 14)}${'today '.repeat(Math.floor(i / 14))}`,
    }));
    const { held, rest } = holdOut(distinct, PROBE_COUNTS);
    const texts = (indices: number[]) =>
      indices.map((i) => used.chat.decode(used.chat.encodeChat({ user: distinct[i]!.prompt })));
    const record = await distil(
      { ...recipe, steps: 60 },
      { ...used, train: distinct },
      {},
      { evaluations: [] },
    );
    expect(texts(held).filter((text) => seen.has(text))).toEqual([]);
    expect(texts(rest).every((text) => seen.has(text))).toBe(true);
    expect(record.probes.at(-1)!.samples).toHaveLength(6);
    expect(record.evaluations).toEqual([]);
    expect(decodeShare(record.share!).scores).toBeNull();
  });

  it('takes shipped data that fits, remakes what does not, and gives the same run', async () => {
    const made: PreparedData[] = [];
    const short = { ...recipe, steps: 3 };
    const options = { evaluations: [], probeEvery: 0 };
    const first = await distil(
      short,
      deps({ savePrepared: async (_, data) => void made.push(data as PreparedData) }),
      {},
      options,
    );
    expect(made[0]!.key).toEqual(preparedKey(train, ids, 6, toyChat()));
    const shipped = deps({
      prepared: [
        async () => null,
        async () => ({ ...made[0]!, key: { ...made[0]!.key, guard: 'old' } }),
        async () => JSON.parse(JSON.stringify(made[0])) as unknown,
      ],
    });
    const again = await distil(short, shipped, {}, options);
    expect(shipped.engine.generated).toBe(0);
    expect(again.values).toEqual(first.values);
    expect(again.probes).toEqual([]);
  });

  it('goes on from a checkpoint to the same prompt, but not with another recipe', async () => {
    const short = { ...recipe, steps: 6 };
    const options = { evaluations: [], probeEvery: 0, checkpointSeconds: 0 };
    const checkpoints: Checkpoint[] = [];
    const whole = await distil(
      short,
      deps(),
      { onCheckpoint: (checkpoint) => void checkpoints.push(structuredClone(checkpoint)) },
      options,
    );
    const resumeFrom = checkpoints[2]!;
    expect(resumeFrom.step).toBe(3);
    const rest = await distil(short, deps(), {}, { ...options, resumeFrom });
    expect(rest.share).toBe(whole.share);
    const other = distil({ ...short, seed: 9 }, deps(), {}, { ...options, resumeFrom });
    await expect(other).rejects.toThrow(/another recipe/);
  });

  it('ended early it is scored as it stood', async () => {
    const control = new RunControl();
    const record = await distil(
      recipe,
      deps(),
      { control, onStep: ({ step }) => step === 5 && control.stop() },
      { evaluations: [{ set: 'wording', temperature: 0, systems: ['adapter'] }], limit: 3 },
    );
    expect(record.status).toBe('stopped');
    expect(record.steps).toHaveLength(5);
    expect(record.evaluations[0]!.counts).toEqual({ harmful: 3, borderline: 3, benign: 3 });
    expect(decodeShare(record.share!).values).toEqual(record.values);
  });
});
