/** Whatever is chosen, the model says the same. */
import { describe, expect, it } from 'vitest';
import { relativeError, testGpu } from '../kernels/gpu/testing';
import { Engine } from './engine';
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
  const settings = { temperature: 0, seed: 0, maxNewTokens: 10, stopToken: 0xffffffff };
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
