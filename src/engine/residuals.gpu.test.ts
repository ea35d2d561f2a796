/** Residual streams against steering: what moves one prompt's stream to another's gives its logits. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GPU_VARIANTS, relativeError } from '../kernels/gpu/testing';
import { adapterLayout } from './trainable/shape';
import type { Engine } from './engine';
import { SequenceTooLongError } from './errors';
import { loadEngine } from './testing';

describe.each(GPU_VARIANTS)('residual streams, with $name', ({ subgroups }) => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await loadEngine('public/models/pocket', subgroups);
  });
  afterAll(() => engine?.destroy());

  it('are those behind every layer', async () => {
    // Of one token: nothing but its own stream decides what follows.
    const [here, there] = [[17], [903]];
    const [from, to] = await engine.residuals([here, there]);
    const { dim, layers } = engine.config;
    const wanted = await engine.logits(there);
    for (let layer = 0; layer < layers; layer++) {
      const shape = { kind: 'steering', layers: [layer] } as const;
      const { length } = adapterLayout(shape, engine.config);
      const values = Float32Array.from({ length }, (_, i) =>
        i < dim ? to![layer * dim + i]! - from![layer * dim + i]! : 0,
      );
      const moved = await engine.logits(here, { shape, values });
      expect(relativeError(moved, wanted)).toBeLessThan(1e-4);
    }
    expect(relativeError(await engine.logits(here), wanted)).toBeGreaterThan(0.1);
  });

  it('do not depend on what else is in the batch, nor on how it is split', async () => {
    const prompts = Array.from({ length: 40 }, (_, i) =>
      Array.from({ length: 5 + (i % 23) }, (_, t) => (7 + 31 * i + 13 * t) % engine.vocabSize),
    );
    const together = await engine.residuals(prompts);
    expect(together).toHaveLength(40);
    for (const i of [0, 25, 39]) {
      const [alone] = await engine.residuals([prompts[i]!]);
      expect(relativeError(together[i]!, alone!)).toBeLessThan(1e-5);
    }
    expect(await engine.residuals([])).toEqual([]);
    const long = new Array<number>(engine.maxPositions + 1).fill(3);
    await expect(engine.residuals([long])).rejects.toThrow(SequenceTooLongError);
  });
});
