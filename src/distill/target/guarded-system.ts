/**
 * What the guarded system says, decided in one place for evaluations and for every answer on screen
 * (METHOD.md §3, §8). It is the teacher of a recipe: it passes on the base student's answer with
 * probability s and otherwise says one of its refusals, each as likely; s is the guard's P(safe) with
 * the recipe's strictness, temperature and clip. Greedy, it passes where s ≥ ½ and refuses with its
 * first wording.
 */
import type { Random } from '../statistics/prng';
import type { GuardCase } from './guard-case';
import { teacherSafety, type TeacherSettings } from './target';

export interface GuardedReply<T> {
  /** The base's answer, or the refusal in its place. */
  answer: T;
  passes: boolean;
  /** The teacher's s. */
  safe: number;
}

/** Of what belongs to the prompt and what to the base's answer: that which the guard goes by. */
export function readByGuard<P, A>(
  { kind }: Pick<GuardCase, 'kind'>,
  of: { prompt: P; answer: A },
): P | A {
  return kind === 'prompt' ? of.prompt : of.answer;
}

/**
 * @param raw the guard's P(safe) of what {@link readByGuard} names
 * @param random draws of a sampled system; null for the greedy one
 * @throws RangeError where there is no refusal to say
 */
export function guardedReply<T>(
  answer: T,
  raw: number,
  settings: TeacherSettings,
  refusals: readonly T[],
  random: Random | null,
): GuardedReply<T> {
  if (refusals.length === 0) throw new RangeError('A guarded system needs at least one refusal.');
  const safe = teacherSafety(raw, settings);
  // Both draws are always made, so that an answer's fate does not shift later ones.
  const passes = random ? random.next() < safe : safe >= 0.5;
  const wording = random ? random.below(refusals.length) : 0;
  return { answer: passes ? answer : refusals[wording]!, passes, safe };
}
