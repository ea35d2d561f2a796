/** Whatever is chosen, the model says the same. */
import { describe, expect, it, vi } from 'vitest';
import { relativeError, testGpu } from '../kernels/gpu/testing';
import { Autotuner, type Candidates } from './autotune';
import { Engine } from './engine';
import { LinearTuner } from './linear-tuning';
import { bare } from './pack';
import { familyExamples, loadFamily } from './testing';

/** Logits, greedy texts of one and of three prompts, and a gradient where `choice` is always taken. */
async function resultsWith(name: string, choice: string) {
  const family = await loadFamily(name);
  const { golden } = family;
  const gpu = await testGpu(true);
  const cache = { get: () => Promise.resolve(choice), put: () => Promise.resolve() };
  // No time to measure: what is not a candidate of a question leaves its usual answer.
  const autotune = { cache, software: true, budget: 0 };
  const engine = await Engine.load(gpu, family.files, family.config, { autotune });
  const logits = await engine.logits(golden.ids);
  const settings = { temperature: 0, seed: 0, maxNewTokens: 10, stopTokens: [] };
  const prompt = golden.ids.slice(0, 6);
  const prompts = [0, 1, 2].map((stream) => ({ prompt, stream }));
  const texts = [
    ...(await engine.generate(prompts.slice(0, 1), settings)),
    ...(await engine.generate(prompts, settings)),
  ];
  const examples = familyExamples(family);
  const trainer = await engine.createTrainer({
    trainable: { kind: 'soft-prompt', n: golden.n },
    objective: { family: 'divergence', name: 'tv' },
    maxRows: 64,
    maxLossRows: 32,
    clipNorm: 1,
  });
  const teacher = await trainer.teach(examples.map(bare));
  trainer.setValues(family.array('soft'));
  const { gradient } = await trainer.gradient({ family: 'divergence', examples, teacher });
  trainer.destroy();
  return { golden, logits, texts, gradient, wanted: family.array('tvGradient') };
}

describe.each(['llama-shared-table', 'qwen2-packed'])('tiles of %s', (name) => {
  it.each(['usual', '8x8x8', '4x8x8', '1x8x4', '4x16x4'])(
    'give the same logits, texts and gradient with %s',
    async (choice) => {
      const { golden, logits, texts, gradient, wanted } = await resultsWith(name, choice);
      const usual = await resultsWith(name, 'none of them');
      expect(relativeError(logits, usual.logits)).toBeLessThan(1e-5);
      for (const { tokens } of texts) expect(tokens).toEqual(golden.greedy.plain);
      expect(relativeError(gradient, wanted)).toBeLessThan(1e-4);
    },
  );
});

/** Takes the first candidate of every question, and shows them all. */
class Listening extends Autotuner {
  readonly seen = new Map<string, [name: string, code: string, compiled: string[]][]>();

  private turn: Promise<unknown> = Promise.resolve();

  override choose(question: string, candidates: Candidates): Promise<string> {
    // One after the other, as it measures: they share what they listen to.
    const chosen = this.turn.then(() => this.listen(question, candidates));
    this.turn = chosen;
    return chosen;
  }

  private async listen(question: string, candidates: Candidates): Promise<string> {
    const gpu = await testGpu(true);
    const pipeline = vi.spyOn(gpu, 'pipeline');
    const list: [string, string, string[]][] = [];
    for (const [name, candidate] of Object.entries(candidates)) {
      pipeline.mockClear();
      (await candidate.make()).release();
      list.push([name, candidate.code(), pipeline.mock.calls.map(([, code]) => code)]);
    }
    pipeline.mockRestore();
    this.seen.set(question, list);
    return list[0]![0];
  }
}

describe('what a choice is remembered by', () => {
  it('is the text that every candidate compiles, for all questions', async () => {
    const gpu = await testGpu(true);
    const shape = { inFeatures: 64, outFeatures: 96, zeroPoints: false, bias: false };
    const words = shape.inFeatures * shape.outFeatures;
    const weight = {
      data: gpu.storage('data', words / 2),
      scales: gpu.storage('scales', words / 8),
    };
    const listening = new Listening(gpu);
    const tuner = new LinearTuner(gpu, listening);
    await tuner.tile(shape, weight, 'forward');
    await tuner.tile(shape, weight, 'backward-accumulate');
    await tuner.few({ ...shape, residual: true }, weight);
    expect(listening.seen.size).toBe(4);
    for (const [question, candidates] of listening.seen) {
      expect(candidates.length, question).toBeGreaterThan(1);
      for (const [name, code, compiled] of candidates) {
        expect(compiled, `${question}: ${name}`).toContain(code);
      }
      expect(new Set(candidates.map(([, code]) => code)).size).toBe(candidates.length);
    }
    gpu.release(weight.data, weight.scales);
  });
});
