/** LoRA and steering against PyTorch (float64): tests/fixtures/pocket/README.md, adapters.json. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GPU_VARIANTS, relativeError } from '../../kernels/gpu/testing';
import { adapterLayout, type AdapterShape } from './shape';
import type { Engine } from '../engine';
import { FIXTURES, floats, goldenExamples, type PocketGolden } from '../golden.testing';
import { bare } from '../pack';
import { loadEngine, repositoryJson } from '../testing';
import type { Example, MixturePath, TeacherPath } from '../types';

interface Case {
  shape: AdapterShape;
  losses: Record<'tv' | 'kl', number>;
}

const NAMES = ['lora', 'lora-qv', 'steering', 'steering-one'];
const STOP = 0xffffffff;

describe.each(GPU_VARIANTS)('adapters against PyTorch, with $name', ({ subgroups }) => {
  let engine: Engine;
  let golden: PocketGolden;
  let cases: Record<string, Case>;
  let examples: Example<MixturePath>[];

  beforeAll(async () => {
    engine = await loadEngine('public/models/pocket', subgroups);
    golden = await repositoryJson(`${FIXTURES}/golden.json`);
    cases = await repositoryJson(`${FIXTURES}/adapters.json`);
    examples = goldenExamples(golden);
  });
  afterAll(() => engine?.destroy());

  const trainer = (name: string, objective: 'tv' | 'kl', options = {}) =>
    engine.createTrainer({
      trainable: cases[name]!.shape,
      objective: { family: 'divergence', name: objective },
      maxRows: 512,
      maxLossRows: 512,
      clipNorm: 1,
      ...options,
    });
  const inputs = () => examples.map(bare);

  it.each(NAMES)('%s has the same logits', async (name) => {
    const values = await floats(`${name}_values`);
    const adapter = { shape: cases[name]!.shape, values };
    const logits = await engine.logits(golden.ids, adapter);
    const wanted = await floats(`${name}_logits`);
    expect(relativeError(logits.slice(-wanted.length), wanted)).toBeLessThan(1e-5);
    const frozen = await engine.logits(golden.ids);
    expect(relativeError(frozen, await floats('logits'))).toBeLessThan(1e-5);
  });

  describe.each(NAMES)('%s', (name) => {
    it.each(['tv', 'kl'] as const)('has the same %s loss and gradient', async (objective) => {
      const made = await trainer(name, objective);
      made.setValues(await floats(`${name}_values`));
      // The teacher is the frozen model, whatever the adapter's values are.
      const teacher = await made.teach(inputs());
      const got = await made.gradient({ family: 'divergence', examples, teacher });
      expect(got.loss).toBeCloseTo(cases[name]!.losses[objective], 5);
      const wanted = await floats(`${name}_${objective}_gradient`);
      expect(relativeError(got.gradient, wanted)).toBeLessThan(1e-4);
      made.destroy();
    });

    it.each(['tv', 'kl'] as const)('measures the same %s without a trainer', async (objective) => {
      const adapter = { shape: cases[name]!.shape, values: await floats(`${name}_values`) };
      const teacher = await engine.teach(inputs());
      const batch = { family: 'divergence', examples, teacher } as const;
      const at = await engine.divergence(objective, batch, adapter);
      let loss = 0;
      for (const [e, { paths }] of examples.entries()) {
        for (const [p, { coef }] of paths.entries()) {
          for (const [t, c] of coef.entries()) loss += c * at[e]![p]![t]!;
        }
      }
      expect(loss).toBeCloseTo(cases[name]!.losses[objective], 5);
    });
  });

  it.each(['lora', 'steering'])(
    '%s in several passes, or recomputed, is the same',
    async (name) => {
      const values = await floats(`${name}_values`);
      const gradients: Float32Array[] = [];
      let teacher: TeacherPath[][] | null = null;
      for (const options of [{}, { keep: 'inputs' }, { passRows: 200, maxExampleRows: 120 }]) {
        const made = await trainer(name, 'tv', options);
        made.setValues(values);
        teacher ??= await made.teach(inputs());
        gradients.push((await made.gradient({ family: 'divergence', examples, teacher })).gradient);
        made.destroy();
      }
      expect(relativeError(gradients[1]!, gradients[0]!)).toBeLessThan(1e-5);
      expect(relativeError(gradients[2]!, gradients[0]!)).toBeLessThan(1e-5);
    },
  );

  it.each(NAMES)(
    '%s learns: the loss falls, and the frozen model stays as it was',
    async (name) => {
      const made = await trainer(name, 'kl');
      const start = (await floats(`${name}_values`)).fill(0);
      // LoRA starts with B = 0: the frozen model.
      if (name.startsWith('lora')) start.set(await lorasA(name));
      made.setValues(start);
      const teacher = await made.teach(inputs());
      const step = () =>
        made.step(
          { family: 'divergence', examples, teacher },
          { learningRate: 0.02, fakeQuantise: false },
        );
      const { loss: first } = await step();
      for (let i = 0; i < 11; i++) await step();
      const { loss: last } = await step();
      // One vector of 128 values can do less than 29,000 weights.
      expect(last).toBeLessThan((name === 'steering-one' ? 0.95 : 0.7) * first);
      const again = await made.teach(inputs());
      expect(again[0]![0]!.logProbs).toEqual(teacher[0]![0]!.logProbs);

      const values = await made.readValues();
      const adapter = { shape: cases[name]!.shape, values };
      const prompt = examples[0]!.prompt;
      const options = { temperature: 0, seed: 0, maxNewTokens: 9, stopTokens: [STOP], adapter };
      const [generated] = await engine.generate([{ prompt, stream: 0 }], options);
      const [scored] = await engine.score([{ prompt, path: generated!.tokens }], adapter);
      expect(relativeError(generated!.logProbs, scored!)).toBeLessThan(1e-4);
      made.destroy();
    },
  );

  /** The golden's values with every B at zero. */
  async function lorasA(name: string): Promise<Float32Array> {
    const values = await floats(`${name}_values`);
    const { slices } = adapterLayout(cases[name]!.shape, engine.config);
    for (const { part, offset, rows, width } of slices) {
      if (part === 'b') values.fill(0, offset, offset + rows * width);
    }
    return values;
  }

  it('refuses adapters that the model cannot have', async () => {
    const refuse = (adapter: AdapterShape) =>
      expect(
        engine.createTrainer({
          trainable: adapter,
          objective: { family: 'divergence', name: 'tv' },
          maxRows: 64,
          maxLossRows: 64,
          clipNorm: 1,
        }),
      ).rejects.toThrow(RangeError);
    await refuse({ kind: 'lora', rank: 0, alpha: 1, targets: ['q'] });
    await refuse({ kind: 'lora', rank: 65, alpha: 1, targets: ['v'] });
    await refuse({ kind: 'lora', rank: 2, alpha: 1, targets: [] });
    await refuse({ kind: 'steering', layers: [4] });
    await refuse({ kind: 'steering', layers: [] });
    const values = new Float32Array(3);
    const shape = { kind: 'steering', layers: [0] } as const;
    await expect(engine.logits([1, 2], { shape, values })).rejects.toThrow(RangeError);
  });
});
