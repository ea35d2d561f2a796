import { expect, it } from 'vitest';
import { parseRecipe } from '../../../distill/train/recipe';
import type { RunRecord } from '../../../distill/types';
import { adapterOfRun, adapterWords, chatHash, chatRefusal, runOfHash } from './chat-adapters';

function run(adapter: unknown, values: number[], share: string | null = null): RunRecord {
  return {
    ...{ id: '20260101-abc', createdAt: '2026-01-01T00:00:00Z', modelId: '0123456789abcdef' },
    ...{ recipe: parseRecipe({ adapter }), values: Float32Array.from(values), dim: 4 },
    environment: { commit: '', version: '', runtime: '', adapter: '', software: true },
    ...{ steps: [], probes: [], evaluations: [], seconds: {}, status: 'finished' as const, share },
  };
}

it('names a run by its link, or by its id where it has none, and finds it again', () => {
  expect(chatHash(run('soft-prompt', [1], 'AQID'))).toBe('AQID');
  const lora = run('lora', [1]);
  expect(runOfHash(`#${chatHash(lora)}`)).toBe(lora.id);
  expect(adapterOfRun(lora).id).toBe(chatHash(lora));
  for (const hash of ['', '#', '#AQID', '#xrun=1']) expect(runOfHash(hash)).toBeNull();
});

it('calls each kind by its name', () => {
  const title = (adapter: unknown) => adapterWords(adapterOfRun(run(adapter, [1]))).title;
  expect(['soft-prompt', 'lora', 'steering', 'preamble'].map(title)).toEqual([
    'Soft prompt',
    'LoRA',
    'Steering',
    'Written preamble',
  ]);
  expect(adapterWords(null).title).toBe('Soft prompt');
});

it('says why there is nothing to talk to', () => {
  const refusal = (adapter: unknown, values: number[]) =>
    chatRefusal(adapterOfRun(run(adapter, values)));
  expect(refusal('lora', [])).toContain('kept no values');
  expect(refusal('lora', [1])).toBeNull();
  expect(refusal('preamble', [])).toBeNull();
});
