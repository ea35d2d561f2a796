/**
 * The same few questions, answered by the base model and the recipe's guarded system: the reference
 * columns beside the trained student's live one. Runtime and guard answer once, in their own workers.
 */
import { hash32, Random } from '../../../distill/statistics/prng';
import { guardedReply } from '../../../distill/target/guarded-system';
import type { ProbeRecord, Recipe } from '../../../distill/types';
import { guardItem, type GuardReading } from '../chat/answer';
import { loadDomain } from '../models/bundle';
import { session } from '../models/session.svelte';

export interface ReferenceAnswer {
  base: string;
  reading: GuardReading;
  guarded: string;
}

/** All that a reference answer depends on. */
type Teacher = Pick<
  Recipe,
  'student' | 'guard' | 'guardCase' | 'strictness' | 'guardTemperature' | 'guardClip'
>;

function teacherKey(recipe: Teacher): string {
  const { student, guard, guardCase, strictness, guardTemperature, guardClip } = recipe;
  return JSON.stringify([student, guard, guardCase.kind, strictness, guardTemperature, guardClip]);
}

class ProbeBoard {
  answers = $state.raw<ReadonlyMap<string, ReferenceAnswer>>(new Map());
  #of = '';
  #asked = new Set<string>();

  /** Answers each prompt once; another teacher answers afresh. */
  async fill(samples: ProbeRecord['samples'], recipe: Teacher): Promise<void> {
    const key = teacherKey(recipe);
    if (key !== this.#of) {
      this.#of = key;
      this.answers = new Map();
      this.#asked = new Set();
    }
    const asked = this.#asked;
    const fresh = samples.map((s) => s.prompt).filter((prompt) => !asked.has(prompt));
    if (fresh.length === 0) return;
    for (const prompt of fresh) asked.add(prompt);
    try {
      await session.load(['student', 'guard']);
      const domain = await loadDomain(session.root);
      for (const prompt of fresh) {
        const { text: base } = await session.student('generate', {
          prompt,
          system: null,
          prefix: null,
          temperature: 1,
          // Of the question alone, so that one answers alike beside whatever others.
          seed: hash32('reference', prompt),
          maxNewTokens: domain.maxNewTokens,
        });
        const { of, item } = guardItem(recipe, prompt, base);
        const safe = (await session.score('guard', [item])).safe[0]!;
        const random = new Random('guarded', prompt);
        const { answer } = guardedReply(base, safe, recipe, domain.refusals, random);
        // Meanwhile another run may have begun, with another teacher.
        if (this.#of !== key) return;
        const reference = { base, reading: { of, safe }, guarded: answer };
        this.answers = new Map([...this.answers, [prompt, reference]]);
      }
    } catch {
      // The columns are a comfort, not the experiment: they may be asked for again later.
      for (const prompt of fresh) if (!this.answers.has(prompt)) asked.delete(prompt);
    }
  }
}

export const probeBoard = new ProbeBoard();
