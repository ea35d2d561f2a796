import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { SpecError } from '../../distill/data/spec-fields';
import { RecipeError } from '../../distill/train/recipe';
import { JsonTextError } from '../../formats/bounded-json';
import { changedJson, changedText, errorOf } from '../../formats/mutations.testing';
import { seededRandom } from '../../formats/random.testing';
import { parseRecording } from './run-json';

const text = readFileSync('public/recordings/pocket-tv.json', 'utf8');
const whole = JSON.parse(text) as Record<string, unknown[]>;
const [evaluation] = whole.evaluations as { systems: Record<string, { answers: unknown[] }> }[];

/** The same with a few steps and answers, and without what has one entry a prompt. */
const small = {
  ...whole,
  steps: whole.steps!.slice(0, 2),
  probes: whole.probes!.slice(0, 1),
  evaluations: [
    {
      ...evaluation,
      expectedRefusal: undefined,
      systems: Object.fromEntries(
        Object.entries(evaluation!.systems).map(([name, system]) => [
          name,
          { ...system, answers: system.answers.slice(0, 2) },
        ]),
      ),
    },
  ],
};

describe('parseRecording', () => {
  it('reads the recording that ships with the site, whole', () => {
    const run = parseRecording(text);
    const read = JSON.parse(JSON.stringify(run)) as typeof whole;
    expect(read.steps).toEqual(whole.steps);
    expect(read.probes).toEqual(whole.probes);
    expect(read.evaluations).toEqual(whole.evaluations);
    expect(read).toMatchObject({ share: whole.share, seconds: whole.seconds, id: 'recorded' });
  });

  it.each<[string, object, RegExp]>([
    ['a link that no address holds', { share: '[x]' }, /share/],
    ['no link', { share: undefined }, /share/],
    ['a recipe that is none', { recipe: { toString: 1 } }, /no field toString/],
    ['no steps', { steps: {} }, /steps must be a list/],
    ['more steps than it was to have', { steps: new Array(5000).fill(null) }, /steps must have/],
    ['a time that is none', { seconds: { train: -1 } }, /seconds\.train/],
    ['another status', { status: 'broken' }, /status must be one of/],
  ])('refuses one with %s', (_, change, message) => {
    const broken = JSON.stringify({ ...small, ...change });
    expect(() => parseRecording(broken)).toThrow(message);
  });

  it('refuses damage by name, whatever is damaged', () => {
    const random = seededRandom(9);
    const types = [SpecError, RecipeError, JsonTextError];
    const good = JSON.parse(JSON.stringify(small)) as unknown;
    for (let i = 0; i < 800; i++) {
      const damaged = [
        JSON.stringify(changedJson(good, random)) ?? '',
        changedText(JSON.stringify(good), random),
      ];
      for (const one of damaged) {
        const error = errorOf(() => parseRecording(one));
        const typed = error === null || types.some((type) => error instanceof type);
        expect(typed, String((error as Error | null)?.stack)).toBe(true);
      }
    }
  });
});
