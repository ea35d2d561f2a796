import { describe, expect, it } from 'vitest';
import { adapterLayout } from '../engine/adapter-shape';
import { parseAdapter, type SteeringAdapter } from './adapter-spec';
import { steeringByDifference } from './difference';
import { toyChat, toyItems, ToyStudent } from './testing';

const chat = toyChat();
const items = toyItems(4);
const engine = new ToyStudent();
const parse = (fields: object) =>
  parseAdapter({ kind: 'steering', source: 'difference', ...fields }) as SteeringAdapter;

describe('steeringByDifference', () => {
  it('is the scaled difference of means behind each of its layers', async () => {
    const { shape, values } = (await steeringByDifference(parse({ scale: 2 }), items, 0, {
      engine,
      chat,
    })) as Extract<Awaited<ReturnType<typeof steeringByDifference>>, { kind: 'adapter' }>;
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
    const adaptation = await steeringByDifference(
      parse({ layers: 'one', depth: 0.5, scale: 3 }),
      items,
      0,
      { engine, chat },
    );
    if (adaptation.kind !== 'adapter') throw new Error('no adapter');
    expect(adaptation.shape).toEqual({ kind: 'steering', layers: [1] });
    const prompt = chat.encodeChat({ user: items[0]!.prompt });
    const sorry = chat.encodeAnswer('sorry')[0]!;
    const before = engine.next(prompt, [], null)[sorry]!;
    expect(engine.next(prompt, [], adaptation)[sorry]).toBeGreaterThan(3 * before);
  });

  it('needs prompts of both kinds', async () => {
    const harmless = items.filter(({ label }) => label !== 'harmful');
    await expect(steeringByDifference(parse({}), harmless, 0, { engine, chat })).rejects.toThrow(
      RangeError,
    );
  });
});
