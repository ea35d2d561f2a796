import { describe, expect, it } from 'vitest';
import type { DecoderConfig } from '../formats/decoder/config';
import { MemoryPlanError } from './errors';
import { floorBytes, headBytes, LOSS_BYTES, type PlanRequest, planTraining } from './plan';

function config(changes: Partial<DecoderConfig> = {}): DecoderConfig {
  const layers = changes.layers ?? 4;
  return {
    architecture: 'llama',
    layers,
    dim: 256,
    heads: 8,
    kvHeads: 4,
    headDim: 32,
    ffnDim: 704,
    vocabSize: 32000,
    normEps: 1e-5,
    maxPositions: 2048,
    activation: 'silu',
    qkNorm: false,
    outputNorms: false,
    attentionScale: 32 ** -0.5,
    attentionSoftCap: null,
    logitSoftCap: null,
    embeddingScale: 1,
    windows: new Array<null>(layers).fill(null),
    ...changes,
  };
}

const LLAMA_1B = config({
  ...{ layers: 16, dim: 2048, heads: 32, kvHeads: 8, headDim: 64, ffnDim: 8192 },
  vocabSize: 128256,
});
const GEMMA_2B = config({
  ...{ layers: 26, dim: 2304, heads: 8, kvHeads: 4, headDim: 256, ffnDim: 9216 },
  ...{ architecture: 'gemma2', vocabSize: 256000, logitSoftCap: 30, outputNorms: true },
});

function request(changes: Partial<PlanRequest> = {}): PlanRequest {
  return {
    config: config(),
    weightBytes: 20e6,
    trainable: { kind: 'soft-prompt', n: 32 },
    rows: 384,
    lossRows: 256,
    exampleRows: 96,
    bindingBytes: 2 ** 31,
    budgetBytes: 2 ** 30,
    ...changes,
  };
}

describe('planTraining', () => {
  it('keeps everything in one pass where memory allows it', () => {
    const plan = planTraining(request());
    expect(plan).toMatchObject({ keep: 'layers', passes: 1, rows: 416 });
    expect(plan.totalBytes).toBeLessThanOrEqual(1.25 * plan.floorBytes);
    const { weights: _, ...rest } = plan.bytes;
    expect(Object.values(rest).reduce((a, b) => a + b)).toBe(plan.totalBytes);
    expect(plan.sentence).toMatch(/^Every layer’s activations are kept; .* 20 MB of weights\.$/);
  });

  it('takes less memory where less is allowed, and never more than that', () => {
    const seen = new Set<string>();
    let last = Infinity;
    for (let budget = 2 ** 28; ; budget *= 0.8) {
      let plan;
      try {
        plan = planTraining(request({ config: config({ layers: 12 }), budgetBytes: budget }));
      } catch (error) {
        expect(error).toBeInstanceOf(MemoryPlanError);
        expect((error as MemoryPlanError).neededBytes).toBeGreaterThan(budget);
        break;
      }
      expect(plan.totalBytes).toBeLessThanOrEqual(budget);
      expect(plan.totalBytes).toBeLessThanOrEqual(last);
      last = plan.totalBytes;
      seen.add(`${plan.keep} ${plan.passes > 1 ? 'split' : 'whole'}`);
    }
    expect(seen).toContain('layers whole');
    expect(seen).toContain('inputs split');
  });

  it('says what to lower where nothing fits', () => {
    const refuse = (changes: Partial<PlanRequest>) => () => planTraining(request(changes));
    expect(refuse({ budgetBytes: 1e6 })).toThrow(
      /at least [\d.]+ MB .* 1\.0 MB are allowed\. Shorten the longest example \(96 positions\)/,
    );
    expect(refuse({ budgetBytes: 1e6, exampleRows: undefined })).toThrow(/Lower the batch \(384/);
    const lora = { kind: 'lora', rank: 4, alpha: 8, targets: ['q'] } as const;
    const steering = { kind: 'steering', layers: [0] } as const;
    const tight = { budgetBytes: 1e6, exampleRows: undefined };
    expect(refuse(tight)).toThrow(
      /the batch \(384 positions\) or the soft prompt \(32 vectors\), or/,
    );
    expect(refuse({ ...tight, trainable: lora })).toThrow(/positions\) or LoRA’s rank \(4\), or/);
    expect(refuse({ ...tight, trainable: steering })).toThrow(
      /positions\), or take a smaller model/,
    );
    expect(refuse({ trainable: { kind: 'soft-prompt', n: 0 } })).toThrow(RangeError);
    expect(refuse({ trainable: { ...lora, rank: 0 } })).toThrow(RangeError);
    expect(refuse({ bindingBytes: 2 ** 14 })).toThrow(/larger than the 0\.0 MB that this device/);
    expect(refuse({ lossRows: 0 })).toThrow(RangeError);
  });

  it.each([
    { name: 'Llama 1B', model: LLAMA_1B, lossRows: 600 },
    { name: 'Gemma 2B', model: GEMMA_2B, lossRows: 1200 },
    { name: 'a million tokens', model: config({ vocabSize: 2 ** 20 }), lossRows: 5000 },
    { name: 'a small vocabulary', model: config({ vocabSize: 2048 }), lossRows: 100000 },
  ])('holds the loss of $name in 64 MB', ({ model, lossRows }) => {
    const budgetBytes = 2 ** 40;
    const plan = planTraining(request({ config: model, lossRows, budgetBytes }));
    expect(plan.logitsRows).toBeGreaterThanOrEqual(1);
    expect(plan.bytes.head).toBe(headBytes(model, plan.logitsRows));
    expect(plan.bytes.head).toBeLessThanOrEqual(LOSS_BYTES + 1000);
    // Tiles of kernels' sixteen rows, of one size.
    const tiles = Math.ceil(lossRows / plan.logitsRows);
    expect(tiles * plan.logitsRows - lossRows).toBeLessThan(16 * tiles);
  });

  it('keeps every buffer within what the device binds', () => {
    const bindingBytes = 2 ** 24;
    const big = { config: LLAMA_1B, rows: 2000, exampleRows: 200, budgetBytes: 2 ** 33 };
    const plan = planTraining(request({ ...big, bindingBytes }));
    expect(plan.rows * LLAMA_1B.ffnDim * 4).toBeLessThanOrEqual(bindingBytes);
    expect(plan.logitsRows * LLAMA_1B.vocabSize * 4).toBeLessThanOrEqual(bindingBytes);
    expect(plan.passes).toBeGreaterThan(1);
  });

  it.each([
    { name: 'toy Llama', model: config() },
    { name: 'Llama 1B', model: LLAMA_1B },
    { name: 'Gemma 2B', model: GEMMA_2B },
    { name: 'Qwen 3', model: config({ architecture: 'qwen3', qkNorm: true, layers: 28 }) },
  ])('stays near the floor for $name, kept and recomputed', ({ model }) => {
    const whole = { config: model, rows: 4 * 96, exampleRows: 4 * 96, lossRows: 4 * 64 };
    const plans = (['layers', 'inputs'] as const).map((keep) =>
      planTraining(request({ ...whole, budgetBytes: 2 ** 40, keep })),
    );
    for (const plan of plans) {
      expect(plan.totalBytes).toBeLessThanOrEqual(1.25 * plan.floorBytes);
      // Also where the logits, which dwarf them in a small model, do not count.
      const { head, optimiser } = plan.bytes;
      const { activations } = floorBytes(model, plan);
      const share = (plan.totalBytes - head - optimiser) / activations;
      expect(share).toBeLessThanOrEqual(model.layers > 4 ? 1.25 : 1.35);
    }
  });
});
