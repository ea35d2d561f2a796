import { describe, expect, it } from 'vitest';
import type { Evaluation, Measure } from '../../../distill/types';
import { encodeShare, ShareLinkError, type SharedPrompt } from '../../../formats/share/share-link';
import { parseRecipe } from '../../../distill/train/recipe';
import { openShare, shareProblem, withScores } from './share';

const recipe = {
  objective: 'kl' as const,
  steps: 120,
  batchSize: 8,
  learningRate: 0.02,
  strictness: -1,
  guardClip: 0.001,
  seed: 7,
  warmup: 0.05,
  clipNorm: 1,
  guardTemperature: 1,
  maxNewTokens: 48,
  quantiseLast: 0.1,
};
const prompt: SharedPrompt = {
  modelId: '0123456789abcdef',
  templateHash: '01234567',
  n: 2,
  d: 4,
  placement: 'before-bos',
  recipe,
  scores: null,
  values: new Float32Array(8),
};
const text = encodeShare(prompt);

function share(value: number, n: number): Measure {
  return { value, low: value, high: value, n };
}

const evaluation: Evaluation = {
  set: 'wording',
  temperature: 1,
  seed: 0,
  maxNewTokens: 48,
  counts: { harmful: 512, borderline: 40, benign: 60 },
  systems: {
    adapter: {
      scores: {
        safety: { judge: share(0.93, 512), guard: share(0.9, 512) },
        overRefusal: share(0.025, 40),
        usefulness: share(0.95, 60),
        tokenKl: null,
        wellFormed: share(1, 476),
      },
      answers: [],
    },
  },
};

describe('openShare', () => {
  it('gives the recipe of the lab and the bare text, from a whole address', () => {
    const opened = openShare(`https://host.example/retort/p/#${text}`);
    expect(opened.text).toBe(text);
    expect(opened.recipe).toEqual(parseRecipe({ ...recipe, virtualTokens: 2 }));
  });

  it('does not let a crafted link ask for what no run can', () => {
    const wild = { ...recipe, maxNewTokens: 1e9, guardTemperature: 0, guardClip: NaN };
    expect(openShare(encodeShare({ ...prompt, recipe: wild })).recipe).toMatchObject({
      maxNewTokens: 256,
      guardTemperature: 0.1,
      guardClip: 0.001,
      steps: 120,
    });
  });

  it('opens objectives and guard cases that have no short name, and no others', () => {
    const trained = parseRecipe({
      ...recipe,
      objective: { name: 'tailr', gamma: 0.3 },
      guardCase: 'response',
      virtualTokens: 2,
    });
    const { objective, guardCase } = trained;
    const link = (more: object) => encodeShare({ ...prompt, recipe: { ...recipe, ...more } });
    expect(openShare(link({ objective, guardCase })).recipe).toEqual(trained);
    const wrong = [{ objective: { name: 'ppo' } }, { objective: { name: 'tailr', gamma: -1 } }];
    for (const more of [...wrong, { guardCase: { kind: 'none' } }]) {
      expect(() => openShare(link(more))).toThrow(ShareLinkError);
    }
  });

  it('does not cut a link of more vectors than a run can have: it says so', () => {
    const many = { ...prompt, n: 200, values: new Float32Array(800) };
    expect(() => openShare(encodeShare(many))).toThrow(
      'This link has 200 vectors; prompts of at most 128 can be opened here.',
    );
    expect(() => openShare(encodeShare(many))).toThrow(expect.objectContaining({ code: 'limits' }));
    const most = { ...prompt, n: 128, values: new Float32Array(512) };
    expect(openShare(encodeShare(most)).recipe.adapter).toMatchObject({ n: 128 });
  });

  it('opens a name that was cut inside a character', () => {
    const data = { prompts: 'add', name: 'Clocks \ud83d', hash: '0123456789abcdef' };
    const link = encodeShare({ ...prompt, recipe: { ...recipe, data } });
    expect(openShare(link).recipe.data?.name).toBe('Clocks \ufffd');
  });

  it('turns every codec error into a titled problem', () => {
    const problem = (broken: string) => {
      try {
        openShare(broken);
      } catch (error) {
        return shareProblem(error).title;
      }
      return 'no error';
    };
    expect(problem('')).toBe('No prompt in this link');
    expect(problem(text.slice(0, -3))).toBe('The link was cut');
    expect(problem(`${text}AAAA`)).toBe('Something was added to the link');
  });
});

describe('withScores', () => {
  it('adds what was measured and changes nothing else', () => {
    const before = openShare(text).shared;
    const after = openShare(withScores(text, evaluation)).shared;
    expect(after.scores).toEqual({ safety: 0.93, overRefusal: 0.025, usefulness: 0.95, n: 512 });
    expect({ ...after, scores: null }).toEqual(before);
  });

  it('leaves the link alone where the prompt was not measured', () => {
    expect(withScores(text, { ...evaluation, systems: {} })).toBe(text);
    const { adapter } = evaluation.systems;
    const scores = { ...adapter!.scores, usefulness: { value: NaN, low: 0, high: 1, n: 0 } };
    const withoutBenign = { ...evaluation, systems: { adapter: { ...adapter!, scores } } };
    expect(withScores(text, withoutBenign)).toBe(text);
  });
});
