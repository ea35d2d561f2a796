import { expect, it } from 'vitest';
import { holdsWords, wordsOf } from './words';

it.each([
  ['It has seven days.', 'seven'],
  ['SEVEN', 'seven'],
  ['The answer is: 7.', '7'],
  ['**7**', '7'],
  ['Garçon, in French.', 'garcon'],
  ['New  York-City', 'new york city'],
  ['It is 1,000 metres.', '1000'],
  ['It is -3 degrees', '-3'],
  ['It’s Shakespeare’s', 'shakespeares'],
  ['in 1, 2 and 7, I think', '7'],
  ['about 2.5', '2.5'],
  ['10-7', '7'],
])('“%s” holds %s', (text, part) => expect(holdsWords(text, part)).toBe(true));

it.each([
  ['It is 17.', '7'],
  ['It is 70.', '7'],
  ['It is 7.5.', '7'],
  ['It is 0.7', '7'],
  ['It is -7.', '7'],
  ['At 7:30', '7'],
  ['7,000 of them', '7'],
  ['1/7 of it', '7'],
  ['seventeen', 'seven'],
  ['York is new', 'new york'],
  ['new', 'new york'],
  ['', '7'],
  ['anything', '!'],
])('“%s” does not hold %s', (text, part) => expect(holdsWords(text, part)).toBe(false));

it('words are letters and digits of every script', () => {
  expect(wordsOf('Ünder 3 μm, ok? 東京')).toEqual(['under', '3', 'μm', 'ok', '東京']);
});
