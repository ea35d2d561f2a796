import { expect, it } from 'vitest';
import { dataChoice, dataFrom } from './training-prompts';

const sets = [
  { name: 'Clocks', hash: '0'.repeat(16) },
  { name: 'Weeds', hash: '1'.repeat(16) },
];

it('goes from a choice to what a recipe says and back', () => {
  for (const prompts of ['replace', 'add'] as const) {
    const data = { prompts, ...sets[1]! };
    expect(dataFrom(dataChoice(data), sets)).toEqual(data);
  }
  expect(dataChoice(undefined)).toBe('');
  expect(dataFrom('', sets)).toBeUndefined();
  expect(dataFrom(dataChoice({ prompts: 'add', hash: '2'.repeat(16) }), sets)).toBeUndefined();
});
