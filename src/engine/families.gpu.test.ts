/** The engine against PyTorch (float64) on every family and export structure: tools/models/fixtures. */
import { beforeAll, describe, expect, it } from 'vitest';
import { relativeError, testGpu } from '../kernels/gpu/testing';
import { Engine } from './engine';
import { bare } from './pack';
import { type Family, familyExamples, loadFamily } from './testing';

const FAMILIES = [
  'llama-optimum',
  'llama-optimum-2024',
  'qwen2-optimum-2024',
  'llama3-optimum',
  'llama-optimum-f16',
  'llama3-packed-f16',
  'smollm2-separate',
  'llama-shared-table',
  'llama-unpacked-table',
  'llama-ragged-blocks',
  'qwen2-optimum',
  'qwen2-packed',
  'qwen3-separate-f16',
  'qwen3-packed',
  'qwen3-optimum',
  'gemma2-packed',
  'gemma2-optimum',
].map((name) => ({ name, subgroups: true }));
const CASES = [
  ...FAMILIES,
  { name: 'qwen3-packed', subgroups: false },
  { name: 'gemma2-packed', subgroups: false },
];

describe.each(CASES)('$name against PyTorch, subgroups $subgroups', ({ name, subgroups }) => {
  let family: Family;
  let engine: Engine;

  beforeAll(async () => {
    family = await loadFamily(name);
    // One device for all: models of equal shapes share their pipelines.
    engine = await Engine.load(await testGpu(subgroups), family.files, family.config);
  });

  it('has the same logits, with and without a soft prompt', async () => {
    const { golden } = family;
    const plain = await engine.logits(golden.ids);
    expect(relativeError(plain, family.array('logits'))).toBeLessThan(1e-4);
    const behind = await engine.logits(golden.ids, family.array('soft'));
    expect(relativeError(behind, family.array('softLogits'))).toBeLessThan(1e-4);
  });

  it('writes the same greedy text', async () => {
    const { golden } = family;
    const prompt = golden.ids.slice(0, 6);
    const write = async (softPrompt?: Float32Array) => {
      const options = { temperature: 0, seed: 0, maxNewTokens: 10, stopTokens: [] };
      const [text] = await engine.generate([{ prompt, stream: 0 }], { ...options, softPrompt });
      return text!.tokens;
    };
    expect(await write()).toEqual(golden.greedy.plain);
    expect(await write(family.array('soft'))).toEqual(golden.greedy.soft);
  });

  it.each(['tv', 'kl'] as const)('has the same %s loss and gradient', async (objective) => {
    const { golden } = family;
    const examples = familyExamples(family);
    const trainer = await engine.createTrainer({
      trainable: { kind: 'soft-prompt', n: golden.n },
      objective: { family: 'divergence', name: objective },
      maxRows: 64,
      maxLossRows: 32,
      clipNorm: 1,
    });
    const teacher = await trainer.teach(examples.map(bare));
    trainer.setValues(family.array('soft'));
    const { loss, gradient } = await trainer.gradient({ family: 'divergence', examples, teacher });
    const expected = golden.losses[objective];
    expect(Math.abs(loss - expected)).toBeLessThan(1e-4 * expected);
    expect(relativeError(gradient, family.array(`${objective}Gradient`))).toBeLessThan(1e-4);
    trainer.destroy();
  });
});
