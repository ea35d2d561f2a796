/** The view of tokens on the real student, held to the engine's own scores of the same answer. */
import { describe, expect, it } from 'vitest';
import { adapterShape } from '../../distill/adapters/adaptation';
import { ChatTokenizer } from '../../distill/data/chat';
import { parseRecipe } from '../../distill/train/recipe';
import type { Guard } from '../../distill/types';
import { adapterLayout } from '../../engine/trainable/shape';
import { loadEngine, repositoryJson } from '../../engine/testing';
import { tokenView } from './token-view';

const POCKET = 'public/models/pocket';
const refusals = ["Sorry, I can't do that.", 'I cannot help with that.'];
const guard: Guard = { score: (items) => Promise.resolve(Float64Array.from(items, () => 0.3)) };

describe('tokens of pocket', async () => {
  const engine = await loadEngine(POCKET);
  const chat = new ChatTokenizer(
    await repositoryJson(`${POCKET}/tokenizer.json`),
    await repositoryJson(`${POCKET}/tokenizer_config.json`),
  );
  const deps = { engine, chat, guard, refusals };
  const request = {
    prompt: 'What is the capital of Japan?',
    answer: "Sorry, I can't do that.",
    other: 'The capital of Japan is Tokyo.',
  };
  const item = {
    prompt: chat.encodeChat({ user: request.prompt }),
    path: chat.encodeAnswer(request.answer),
  };

  it.each(['soft-prompt', 'lora'] as const)('are what the engine scores, with %s', async (kind) => {
    const recipe = parseRecipe({ adapter: kind });
    const shape = adapterShape(recipe.adapter, engine.config);
    const length = shape ? adapterLayout(shape, engine.config).length : 16 * engine.dim;
    const values = Float32Array.from({ length }, (_, i) => Math.sin(i * 12.9898) * 0.05);
    const view = await tokenView({ ...request, recipe, values }, deps);
    expect(view.partsAt).toBe(0);
    expect(view.positions).toHaveLength(item.path.length);
    expect(view.positions.map(({ text }) => text).join('')).toContain(request.answer);

    const [base] = await engine.score([item]);
    const [adapted] = await engine.score([item], shape ? { shape, values } : values);
    let apart = 0;
    for (const [t, position] of view.positions.entries()) {
      expect(Math.log(position.base)).toBeCloseTo(base![t]!, 3);
      expect(Math.log(position.student!)).toBeCloseTo(adapted![t]!, 3);
      apart = Math.max(apart, Math.abs(position.base - position.student!));
    }
    expect(apart).toBeGreaterThan(1e-4);
    // Half of the refusals begin so: s·π + (1 − s)/2.
    const [first] = view.positions;
    expect(first!.target).toBeCloseTo(0.3 * first!.base + 0.35, 5);
  });
});
