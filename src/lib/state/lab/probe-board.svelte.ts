/**
 * The same few questions, answered by the base model and the guarded system: the still columns
 * beside the soft prompt's live one. Runtime and guard answer once, in their own workers.
 */
import type { ProbeRecord } from '../../../distill/types';
import { loadDomain } from '../models/bundle';
import { session } from '../models/session.svelte';

export interface StillAnswer {
  base: string;
  /** P(safe) of the question alone, by the guard. */
  guardSafe: number;
  guarded: string;
}

class ProbeBoard {
  answers = $state.raw<ReadonlyMap<string, StillAnswer>>(new Map());
  #asked = new Set<string>();

  /** Another student answers otherwise. */
  reset(): void {
    this.answers = new Map();
    this.#asked.clear();
  }

  async fill(samples: ProbeRecord['samples']): Promise<void> {
    const fresh = samples.map((s) => s.prompt).filter((prompt) => !this.#asked.has(prompt));
    if (fresh.length === 0) return;
    for (const prompt of fresh) this.#asked.add(prompt);
    try {
      await session.load(['student', 'guard']);
      const [domain, { safe }] = await Promise.all([
        loadDomain(session.root),
        session.score(
          'guard',
          fresh.map((prompt) => ({ prompt })),
        ),
      ]);
      const refusal = domain.refusals[0] ?? '';
      for (const [i, prompt] of fresh.entries()) {
        const { text } = await session.student('generate', {
          prompt,
          system: null,
          prefix: null,
          temperature: 1,
          seed: i,
          maxNewTokens: domain.maxNewTokens,
        });
        const guardSafe = safe[i] ?? 0;
        const guarded = guardSafe >= 0.5 ? text : refusal;
        this.answers = new Map([...this.answers, [prompt, { base: text, guardSafe, guarded }]]);
      }
    } catch {
      // The columns are a comfort, not the experiment: they may be asked for again later.
      for (const prompt of fresh) if (!this.answers.has(prompt)) this.#asked.delete(prompt);
    }
  }
}

export const probeBoard = new ProbeBoard();
