import { describe, expect, it } from 'vitest';
import { adapterLayout } from '../../engine/trainable/shape';
import type { Tokens } from '../../engine/types';
import { adaptationOf } from './adaptation';
import { parseAdapter, type SteeringAdapter } from './adapter-spec';
import { refusalOpenings } from '../evaluation/calibration';
import { untrainedSteering } from './difference';
import { refusalScores } from '../evaluation/refusal-scores';
import { TOY_DOMAIN, toyChat, toyItems, ToyStudent } from '../testing';
import { adapterDistances } from '../evaluation/token-distance';

const chat = toyChat();
const items = toyItems(4);
const engine = new ToyStudent();
const deps = { engine, chat, domain: TOY_DOMAIN };
const recipe = { seed: 0, maxNewTokens: 6 };
const parse = (fields: object) =>
  parseAdapter({ kind: 'steering', source: 'difference', ...fields }) as SteeringAdapter;

describe('untrainedSteering', () => {
  it('is the scaled difference of means behind each of its layers', async () => {
    const { shape, values } = await untrainedSteering(parse({ scale: 2 }), items, recipe, deps);
    const harmful = chat.encodeChat({ user: items[0]!.prompt });
    const [expected] = await engine.residuals([harmful]);
    const { slices, length } = adapterLayout(shape, engine.config);
    expect(values).toHaveLength(length);
    expect(slices.map(({ layer }) => layer)).toEqual([0, 1]);
    for (const { offset, width } of slices) {
      for (let i = 0; i < width; i++) expect(values[offset + i]).toBeCloseTo(2 * expected![i]!, 6);
    }
  });

  it('stands behind one layer where it is told to, and makes the toy student refuse', async () => {
    const adaptation = await untrainedSteering(
      parse({ layers: 'one', depth: 0.5, scale: 3 }),
      items,
      recipe,
      deps,
    );
    expect(adaptation.shape).toEqual({ kind: 'steering', layers: [1] });
    const prompt = chat.encodeChat({ user: items[0]!.prompt });
    const sorry = chat.encodeAnswer('sorry')[0]!;
    const before = engine.next(prompt, [], null)[sorry]!;
    expect(engine.next(prompt, [], adaptation)[sorry]).toBeGreaterThan(3 * before);
  });

  it('needs prompts of both kinds', async () => {
    const harmless = items.filter(({ label }) => label !== 'harmful');
    await expect(untrainedSteering(parse({}), harmless, recipe, deps)).rejects.toThrow(RangeError);
  });
});

describe('the refusal direction', () => {
  /** Behind its first layer the difference points away from refusals. */
  class TwoFaced extends ToyStudent {
    override async residuals(prompts: readonly Tokens[]): Promise<Float32Array[]> {
      const whole = await super.residuals(prompts);
      return whole.map((values) => values.map((v, i) => (i < this.dim ? -v : v)));
    }
  }
  const many = toyItems(10);
  const refusal = (fields: object = {}) => parse({ source: 'refusal', ...fields });
  const prompts = (label: string) =>
    many
      .filter((item) => item.label === label)
      .map(({ prompt }) => chat.encodeChat({ user: prompt }));
  const openings = refusalOpenings(TOY_DOMAIN.refusals.map((text) => chat.encodeAnswer(text)));
  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

  it('stands behind the layer that makes the student refuse, and spares harmless answers', async () => {
    const student = new TwoFaced();
    const adaptation = await untrainedSteering(refusal(), many, recipe, {
      ...deps,
      engine: student,
    });
    const [first, second] = adapterLayout(adaptation.shape, student.config).slices.map(
      ({ offset, width }) => adaptation.values.subarray(offset, offset + width),
    );
    expect(first!.every((value) => value === 0)).toBe(true);
    expect(second!.some((value) => value !== 0)).toBe(true);
    const [before, after] = [null, adaptation].map((used) =>
      refusalScores(student, prompts('harmful'), openings, used),
    );
    expect(mean(await after!)).toBeGreaterThan(mean(await before!) + 0.2);
    const answered = prompts('benign').map((prompt) => ({
      prompt,
      answer: chat.encodeAnswer('it says meow'),
    }));
    const { kl } = await adapterDistances(student, adaptation, answered);
    expect(mean(kl)).toBeLessThan(0.2);
    // A recipe rebuilds the adaptation from its values alone.
    expect(adaptationOf(refusal(), adaptation.values, student.config)).toEqual(adaptation);
  });

  it('is the same for the same seed', async () => {
    const [one, again] = await Promise.all(
      [0, 1].map(() => untrainedSteering(refusal(), many, recipe, deps)),
    );
    expect(again).toEqual(one);
  });

  it('is refused where nothing that was tried spares harmless answers, or too few prompts are there', async () => {
    const wild = untrainedSteering(refusal({ scale: 100 }), many, recipe, deps);
    await expect(wild).rejects.toThrow('Try a smaller scale');
    await expect(untrainedSteering(refusal(), toyItems(1), recipe, deps)).rejects.toThrow(
      'five prompts of each kind',
    );
  });
});
