/** The engine against PyTorch (float64) on the bundled students: tests/fixtures/pocket/README.md. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GPU_VARIANTS, relativeError } from '../kernels/gpu/testing';
import type { Engine } from './engine';
import { floats, goldenExamples, type PocketGolden } from './golden.testing';
import { bare } from './pack';
import { loadEngine, repositoryJson } from './testing';

const CASES = ['pocket', 'class'].flatMap((student) =>
  GPU_VARIANTS.map((variant) => ({ ...variant, student })),
);

describe.each(CASES)('$student against PyTorch, with $name', ({ student, subgroups }) => {
  const fixture = (name: string) => floats(name, `tests/fixtures/${student}`);
  let engine: Engine;
  let golden: PocketGolden;
  let soft: Float32Array;

  beforeAll(async () => {
    engine = await loadEngine(`public/models/${student}`, subgroups);
    golden = await repositoryJson<PocketGolden>(`tests/fixtures/${student}/golden.json`);
    soft = await fixture('soft');
  });
  afterAll(() => engine?.destroy());

  it('has the same logits', async () => {
    const logits = await engine.logits(golden.ids);
    const expected = await fixture('logits');
    expect(relativeError(logits.subarray(-expected.length), expected)).toBeLessThan(1e-5);
  });

  it('has the same logits behind a soft prompt', async () => {
    const logits = await engine.logits(golden.ids, soft);
    const expected = await fixture('soft_logits');
    expect(relativeError(logits.subarray(-expected.length), expected)).toBeLessThan(1e-5);
  });

  it('has the same keys and values of a soft prompt', async () => {
    const layers = await engine.prefixCache(soft);
    const join = (part: 'key' | 'value') => layers.flatMap((layer) => [...layer[part]]);
    expect(relativeError(join('key'), await fixture('prefix_keys'))).toBeLessThan(1e-5);
    expect(relativeError(join('value'), await fixture('prefix_values'))).toBeLessThan(1e-5);
  });

  it.each(['tv', 'kl'] as const)('has the same %s loss and gradient', async (objective) => {
    const examples = goldenExamples(golden);
    const trainer = await engine.createTrainer({
      trainable: { kind: 'soft-prompt', n: golden.n },
      objective: { family: 'divergence', name: objective },
      maxRows: 256,
      maxLossRows: 192,
      clipNorm: 1,
    });
    const teacher = await trainer.teach(examples.map(bare));
    trainer.setValues(soft);
    const { loss, gradient } = await trainer.gradient({ family: 'divergence', examples, teacher });
    const expected = golden.objectives[objective];
    expect(Math.abs(loss - expected.loss) / expected.loss).toBeLessThan(1e-4);
    expect(relativeError(gradient, await fixture(`${objective}_gradient`))).toBeLessThan(1e-4);
    const { gpuBytes } = trainer;
    trainer.destroy();
    engine.releaseInference();
    const before = engine.gpu.allocatedBytes;
    // Without a trainer: teacher and divergence of forward passes alone.
    const told = await engine.teach(examples.map(bare));
    for (const [e, paths] of teacher.entries()) {
      for (const [p, { hidden }] of paths.entries()) {
        expect(relativeError(told[e]![p]!.hidden, hidden)).toBeLessThan(1e-5);
      }
    }
    const batch = { family: 'divergence', examples, teacher: told } as const;
    const divergence = await engine.divergence(objective, batch, soft);
    expect(engine.gpu.allocatedBytes - before).toBeLessThan(gpuBytes);
    for (const [e, { sampled, refusal }] of expected.positions.entries()) {
      expect(relativeError(divergence[e]![0]!, sampled)).toBeLessThan(1e-3);
      expect(relativeError(divergence[e]![1]!, refusal)).toBeLessThan(1e-3);
    }
  });
});
