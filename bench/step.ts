/** One training step on the bundled student: milliseconds by phase and the ratios that matter. */
import type { Engine } from '../src/engine/engine';
import type { TrainExample } from '../src/engine/types';

export interface Metric {
  metric: string;
  value: number;
  unit: string;
  goal?: number;
  direction?: 'lower' | 'higher';
}

export type Suite = (engine: Engine, repeats: number) => Promise<Metric[]>;

const SHAPE = { batch: 16, prompt: 20, refusal: 12, answer: 24, virtualTokens: 16 };

function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)]!;
}

function tokens(vocabulary: number, seed: number, length: number): number[] {
  return Array.from({ length }, (_, i) => (seed * 7919 + i * 104729) % vocabulary);
}

function examples(vocabulary: number): TrainExample[] {
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

export const stepSuite: Suite = async (engine, repeats) => {
  const batch = examples(engine.vocabSize);
  const inputs = batch.map(({ prompt, paths }) => ({ prompt, paths: paths.map((p) => p.tokens) }));
  const trainer = await engine.createTrainer({
    virtualTokens: SHAPE.virtualTokens,
    objective: 'tv',
    maxRows: 1024,
    maxLossRows: 640,
    clipNorm: 1,
  });
  trainer.setPrompt(await engine.embeddingRows(tokens(engine.vocabSize, 5, SHAPE.virtualTokens)));
  const teacher = await trainer.teach(inputs);
  await trainer.step(batch, teacher, { learningRate: 0.01, fakeQuantise: false });

  const times: Record<string, number[]> = {};
  const note = (name: string, ms: number) => (times[name] ??= []).push(ms);
  for (let repeat = 0; repeat < repeats; repeat++) {
    for (const prefix of [true, false]) {
      const phases = await trainer.measure(batch, teacher, prefix);
      const name = prefix ? 'with' : 'without';
      for (const [phase, ms] of Object.entries(phases)) note(`${phase} ${name}`, ms);
      note(`all ${name}`, phases.forward + phases.head + phases.backward);
    }
    let start = performance.now();
    const cpu = process.cpuUsage();
    await trainer.step(batch, teacher, { learningRate: 0.01, fakeQuantise: false });
    note('step cached', performance.now() - start);
    const { user, system } = process.cpuUsage(cpu);
    note('step CPU', (user + system) / 1000);
    start = performance.now();
    await trainer.teach(inputs);
    note('teacher', performance.now() - start);
    start = performance.now();
    const requests = batch.flatMap(({ prompt }, i) =>
      [0, 1, 2, 3].map((k) => ({ prompt, stream: 4 * i + k })),
    );
    await engine.generate(requests, {
      temperature: 1,
      seed: repeat,
      maxNewTokens: SHAPE.answer,
      stopToken: 0xffffffff,
    });
    note('generate', performance.now() - start);
  }
  const at = (name: string) => median(times[name]!);
  const layers = at('forward with') + at('backward with');
  trainer.destroy();
  const ms = (metric: string, name: string): Metric => ({ metric, value: at(name), unit: 'ms' });
  return [
    ms('step, teacher cached', 'step cached'),
    ms('step, teacher cached, CPU time of all threads', 'step CPU'),
    ms('forward', 'forward with'),
    ms('head and divergence', 'head with'),
    ms('backward', 'backward with'),
    ms('teacher pass (fresh batches only)', 'teacher'),
    {
      metric: 'layers: step ÷ forward',
      value: layers / at('forward with'),
      unit: '×',
      goal: 2.6,
      direction: 'lower',
    },
    {
      metric: 'shared prefix: with ÷ without',
      value: at('all with') / at('all without'),
      unit: '×',
      goal: 1.15,
      direction: 'lower',
    },
    ms('generate 64 × 24 tokens', 'generate'),
  ];
};
