/** The lab's default step on the bundled student, by phase, and sampling. */
import type { Engine } from '../../src/engine/engine';
import { bare } from '../../src/engine/pack';
import type { Example, MixturePath } from '../../src/engine/types';
import { type Sample, medianSample, timed } from '../clock';
import type { Bench, Metric } from '../types';

/** 16 examples of one prompt with a refusal and an answer, which share the prompt's rows. */
const SHAPE = { batch: 16, prompt: 20, refusal: 12, answer: 24, virtualTokens: 16 };

function tokens(vocabulary: number, seed: number, length: number): number[] {
  return Array.from({ length }, (_, i) => (seed * 7919 + i * 104729) % vocabulary);
}

function examples(vocabulary: number): Example<MixturePath>[] {
  return Array.from({ length: SHAPE.batch }, (_, e) => {
    const path = (seed: number, length: number, posterior: number) => {
      const ids = tokens(vocabulary, seed, length);
      const next = posterior > 0 ? ids : [];
      return {
        tokens: ids,
        coef: new Float32Array(length).fill(1 / (SHAPE.batch * 48)),
        refusalPosterior: Float32Array.from(ids, (_, t) => (t === 0 ? 0.5 : posterior)),
        refusalNext: ids.map((token, t) =>
          t === 0
            ? { tokens: [1], probs: [1] }
            : { tokens: next.length ? [token] : [], probs: next.length ? [1] : [] },
        ),
      };
    };
    return {
      prompt: tokens(vocabulary, 3 * e, SHAPE.prompt),
      paths: [path(3 * e + 1, SHAPE.refusal, 0.9), path(3 * e + 2, SHAPE.answer, 0)],
    };
  });
}

export async function pocketPhases(bench: Bench, engine: Engine): Promise<Metric[]> {
  const drawn = examples(engine.vocabSize);
  const inputs = drawn.map(bare);
  const trainer = await engine.createTrainer({
    trainable: { kind: 'soft-prompt', n: SHAPE.virtualTokens },
    objective: { family: 'divergence', name: 'tv' },
    maxRows: 1024,
    maxLossRows: 640,
    clipNorm: 1,
  });
  trainer.setValues(await engine.embeddingRows(tokens(engine.vocabSize, 5, SHAPE.virtualTokens)));
  const teacher = await trainer.teach(inputs);
  const settings = { learningRate: 0.01, fakeQuantise: false };
  const batch = { family: 'divergence', examples: drawn, teacher } as const;
  await trainer.step(batch, settings);

  const samples = new Map<string, Sample[]>();
  const note = (name: string, sample: Sample) =>
    samples.set(name, [...(samples.get(name) ?? []), sample]);
  const time = async (name: string, work: () => Promise<unknown>) =>
    note(name, await timed(bench, async () => void (await work())));
  for (let repeat = 0; repeat < bench.repeats; repeat++) {
    for (const [phase, ms] of Object.entries(await trainer.measure(batch))) {
      note(phase, { wall: ms, cpu: NaN });
    }
    await time('step, teacher cached', () => trainer.step(batch, settings));
    await time('teacher pass (fresh batches only)', () => trainer.teach(inputs));
    await time('generate 64 × 24 tokens', () => {
      const requests = drawn.flatMap(({ prompt }, i) =>
        [0, 1, 2, 3].map((k) => ({ prompt, stream: 4 * i + k })),
      );
      const options = { temperature: 1, seed: repeat, maxNewTokens: SHAPE.answer };
      return engine.generate(requests, { ...options, stopTokens: [] });
    });
  }
  trainer.destroy();
  return [...samples].flatMap(([name, all]) => {
    const { wall, cpu } = medianSample(all);
    const metrics: Metric[] = [{ metric: `lab default: ${name}`, value: wall, unit: 'ms' }];
    if (bench.software && !Number.isNaN(cpu)) {
      metrics.push({ metric: `lab default: ${name}, CPU`, value: cpu / 1000, unit: 'CPU s' });
    }
    return metrics;
  });
}
