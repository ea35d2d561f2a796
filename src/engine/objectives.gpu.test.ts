/** Every objective against PyTorch (float64): tests/fixtures/pocket/README.md, objectives.json. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { dequantiseRows, quantiseRows } from '../formats/share/prompt-quant';
import { GPU_VARIANTS, normals, relativeError } from '../kernels/gpu/testing';
import type { AdapterShape, TrainableShape } from './trainable/shape';
import type { Engine } from './engine';
import {
  FIXTURES,
  floats,
  goldenExamples,
  goldenSparse,
  goldenTokens,
  type ObjectiveGolden,
  type PocketGolden,
} from './golden.testing';
import { bare } from './pack';
import { loadEngine, repositoryJson } from './testing';
import type { Trainer } from './trainer';
import type {
  EngineObjective,
  Example,
  MixturePath,
  TeacherPath,
  Teacher,
  TrainerOptions,
} from './types';

const TRAINED = ['soft', 'lora-qv', 'steering'];
const MIXTURES = ['naive-tv', 'reverse-kl', 'js'] as const;
const TOKENS = ['likelihood', 'tailr', 'ppo'] as const;
const KL: EngineObjective = { family: 'divergence', name: 'kl' };
const LIKELIHOOD: EngineObjective = { family: 'token', objective: { name: 'likelihood' } };

const mixtures = (examples: readonly Example<MixturePath>[], teacher: Teacher) =>
  ({ family: 'divergence', examples, teacher }) as const;
const untaught = (examples: readonly Example<MixturePath>[]) =>
  mixtures(
    examples,
    examples.map(({ paths }) => paths.map(() => null)),
  );

describe.each(GPU_VARIANTS)('objectives against PyTorch, with $name', ({ subgroups }) => {
  let engine: Engine;
  let golden: PocketGolden;
  let objectives: ObjectiveGolden;
  let shapes: Record<string, { shape: AdapterShape }>;
  let examples: Example<MixturePath>[];
  let sparse: Example<MixturePath>[];
  let teacher: TeacherPath[][];

  beforeAll(async () => {
    engine = await loadEngine('public/models/pocket', subgroups);
    golden = await repositoryJson(`${FIXTURES}/golden.json`);
    objectives = await repositoryJson(`${FIXTURES}/objectives.json`);
    shapes = await repositoryJson(`${FIXTURES}/adapters.json`);
    examples = goldenExamples(golden);
    sparse = goldenSparse(golden);
    const trainer = await make('steering', KL);
    teacher = await trainer.teach(examples.map(bare));
    trainer.destroy();
  });
  afterAll(() => engine?.destroy());

  /** A trainer of `name` at the golden's values. */
  async function make(
    name: string,
    objective: EngineObjective,
    options: Partial<TrainerOptions> = {},
  ): Promise<Trainer> {
    const trainable: TrainableShape =
      name === 'soft' ? { kind: 'soft-prompt', n: golden.n } : shapes[name]!.shape;
    const sizes = { maxRows: 512, maxLossRows: 512, clipNorm: 1 };
    const trainer = await engine.createTrainer({ trainable, objective, ...sizes, ...options });
    trainer.setValues(await floats(name === 'soft' ? 'soft' : `${name}_values`));
    return trainer;
  }

  async function expectGolden(
    got: { loss: number; gradient: Float32Array },
    name: string,
    objective: string,
  ) {
    const wanted = objectives.cases[name]!.losses[objective]!;
    expect(Math.abs(got.loss - wanted)).toBeLessThan(1e-4 * Math.abs(wanted));
    const gradient = await floats(`${name}_${objective}_gradient`);
    expect(relativeError(got.gradient, gradient)).toBeLessThan(1e-4);
  }

  const tokenObjective = (name: (typeof TOKENS)[number]): EngineObjective => {
    const { gamma, minWeight, clip } = objectives.settings;
    const all = {
      likelihood: { name: 'likelihood' },
      tailr: { name: 'tailr', gamma, minWeight },
      ppo: { name: 'ppo', clip },
    } as const;
    return { family: 'token', objective: all[name] };
  };

  describe.each(TRAINED)('%s', (name) => {
    it.each(MIXTURES)('has the loss and gradient of %s', async (objective) => {
      const trainer = await make(name, { family: 'divergence', name: objective });
      await expectGolden(await trainer.gradient(mixtures(examples, teacher)), name, objective);
      trainer.destroy();
    });

    it('has the loss and gradient of NLL, without a teacher, also after steps with one', async () => {
      const trainer = await make(name, KL);
      await expectGolden(await trainer.gradient(untaught(sparse)), name, 'nll');
      await trainer.gradient(mixtures(examples, teacher));
      await expectGolden(await trainer.gradient(untaught(sparse)), name, 'nll');
      trainer.destroy();
    });

    it.each(TOKENS)('has the loss and gradient of %s', async (objective) => {
      const trainer = await make(name, tokenObjective(objective));
      const rows = goldenTokens(golden, objectives, name);
      await expectGolden(
        await trainer.gradient({ family: 'token', examples: rows }),
        name,
        objective,
      );
      trainer.destroy();
    });

    it('hands out log q and hidden states along paths', async () => {
      const trainer = await make(name, LIKELIHOOD);
      const along = await trainer.along(examples.map(bare));
      const logProbs = along.flat().flatMap((path) => [...path.logProbs]);
      expect(relativeError(logProbs, objectives.cases[name]!.logProbs.flat())).toBeLessThan(1e-5);
      // The frozen student is what an adapter of zeros leaves; a soft prompt of zeros does not.
      trainer.setValues(new Float32Array(trainer.valuesLength));
      const [zero] = (await trainer.along(examples.map(bare))).flat();
      const same = relativeError(zero!.hidden, teacher[0]![0]!.hidden) < 1e-6;
      expect(same).toBe(name !== 'soft');
      expect(relativeError(along[0]![0]!.hidden, zero!.hidden)).toBeGreaterThan(1e-3);
      trainer.destroy();
    });
  });

  it('says along paths what the values that a link carries say, where it is told to', async () => {
    const trainer = await make('soft', LIKELIHOOD);
    const values = await trainer.readValues();
    const plain = (await trainer.along(examples.map(bare))).flat();
    const told = (await trainer.along(examples.map(bare), { fakeQuantise: true })).flat();
    const { n } = golden;
    trainer.setValues(dequantiseRows(quantiseRows(values, n, values.length / n)));
    const carried = (await trainer.along(examples.map(bare))).flat();
    for (const [i, { hidden, logProbs }] of told.entries()) {
      expect(relativeError(hidden, carried[i]!.hidden)).toBeLessThan(1e-5);
      expect(relativeError(logProbs, carried[i]!.logProbs)).toBeLessThan(1e-5);
      expect(relativeError(hidden, plain[i]!.hidden)).toBeGreaterThan(1e-4);
    }
    trainer.destroy();
  });

  it('adds up targets with and without a teacher', async () => {
    const trainer = await make('soft', KL);
    const halves = [
      await trainer.gradient(mixtures(examples.slice(0, 2), teacher.slice(0, 2))),
      await trainer.gradient(untaught(sparse.slice(2))),
    ];
    const both = await trainer.gradient(
      mixtures(
        [...examples.slice(0, 2), ...sparse.slice(2)],
        [...teacher.slice(0, 2), ...untaught(sparse.slice(2)).teacher],
      ),
    );
    const sum = halves[0]!.gradient.map((value, i) => value + halves[1]!.gradient[i]!);
    expect(relativeError(both.gradient, sum)).toBeLessThan(1e-5);
    expect(both.loss).toBeCloseTo(halves[0]!.loss + halves[1]!.loss, 6);
    trainer.destroy();
  });

  it('warms up with another objective of the family', async () => {
    const mixture = await make('soft', { family: 'divergence', name: 'tv' }, { warmUp: KL });
    const kl = await mixture.gradient(mixtures(examples, teacher), { warmUp: true });
    expect(relativeError(kl.gradient, await floats('kl_gradient'))).toBeLessThan(1e-4);
    const tv = await mixture.gradient(mixtures(examples, teacher));
    expect(relativeError(tv.gradient, await floats('tv_gradient'))).toBeLessThan(1e-4);
    const settings = { learningRate: 0.01, fakeQuantise: false };
    const warm = await mixture.step(mixtures(examples, teacher), { ...settings, warmUp: true });
    expect(warm.loss).toBeCloseTo(kl.loss, 6);
    mixture.destroy();
    const tailr = await make('soft', tokenObjective('tailr'), { warmUp: LIKELIHOOD });
    const rows = goldenTokens(golden, objectives, 'soft');
    await expectGolden(
      await tailr.gradient({ family: 'token', examples: rows }, { warmUp: true }),
      'soft',
      'likelihood',
    );
    await expectGolden(await tailr.gradient({ family: 'token', examples: rows }), 'soft', 'tailr');
    tailr.destroy();
  });

  it.each(['soft', 'lora-qv'])(
    'has the same token gradient of %s in several passes',
    async (name) => {
      const several = { passRows: 200, maxExampleRows: 120 };
      for (const options of [several, { keep: 'inputs' } as const]) {
        const trainer = await make(name, tokenObjective('ppo'), options);
        expect(trainer.plan.passes > 1).toBe('passRows' in options);
        const rows = goldenTokens(golden, objectives, name);
        await expectGolden(
          await trainer.gradient({ family: 'token', examples: rows }),
          name,
          'ppo',
        );
        trainer.destroy();
      }
    },
  );

  it('has the token gradient that its own loss has', async () => {
    const trainer = await make('soft', tokenObjective('likelihood'));
    const rows = goldenTokens(golden, objectives, 'soft');
    const { gradient } = await trainer.gradient({ family: 'token', examples: rows });
    const norm = Math.hypot(...gradient);
    const noise = normals(3, gradient.length);
    const direction = gradient.map((g, i) => g / norm + 0.01 * noise[i]!);
    const start = await floats('soft');
    const step = 1e-2;
    const lossAt = async (h: number) => {
      trainer.setValues(start.map((value, i) => value + h * direction[i]!));
      return (await trainer.gradient({ family: 'token', examples: rows })).loss;
    };
    const measured = ((await lossAt(step)) - (await lossAt(-step))) / (2 * step);
    const predicted = gradient.reduce((sum, g, i) => sum + g * direction[i]!, 0);
    expect(Math.abs(measured - predicted)).toBeLessThan(1e-2 * Math.abs(predicted));
    trainer.destroy();
  });

  it('learns the tokens it is shown', async () => {
    const trainer = await make('lora-qv', tokenObjective('likelihood'));
    const rows = goldenTokens(golden, objectives, 'lora-qv', true);
    const settings = { learningRate: 0.01, fakeQuantise: false };
    const { loss: first } = await trainer.step({ family: 'token', examples: rows }, settings);
    for (let i = 0; i < 10; i++) await trainer.step({ family: 'token', examples: rows }, settings);
    expect((await trainer.step({ family: 'token', examples: rows }, settings)).loss).toBeLessThan(
      0.7 * first,
    );
    trainer.destroy();
  });

  it('refuses what its objective cannot read', async () => {
    const settings = { learningRate: 0.01, fakeQuantise: false };
    const rows = goldenTokens(golden, objectives, 'soft');
    const tokens = await make('soft', LIKELIHOOD);
    expect(() => tokens.step(mixtures(examples, teacher), settings)).toThrow(RangeError);
    expect(() =>
      tokens.step({ family: 'token', examples: rows }, { ...settings, warmUp: true }),
    ).toThrow(RangeError);
    tokens.destroy();
    const mixture = await make('soft', KL);
    expect(() => mixture.step({ family: 'token', examples: rows }, settings)).toThrow(RangeError);
    expect(() => mixture.step(untaught(examples), settings)).toThrow(RangeError);
    mixture.destroy();
    await expect(make('soft', KL, { warmUp: LIKELIHOOD })).rejects.toThrow(RangeError);
  });
});
