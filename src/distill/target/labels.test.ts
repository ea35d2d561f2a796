import { describe, expect, it } from 'vitest';
import { LabelError, readLabels, safeProbability } from './labels';

const pair = { id2label: { 0: 'unsafe', 1: 'safe' } };
const harms = {
  id2label: { 0: 'toxic', 1: 'insult', 2: 'threat' },
  problem_type: 'multi_label_classification',
};

describe('readLabels', () => {
  it('finds the safe label by its name, whatever its case and place', () => {
    expect(readLabels(pair)).toEqual({
      labels: ['unsafe', 'safe'],
      safe: [1],
      activation: 'softmax',
    });
    expect(readLabels({ id2label: { 1: 'Toxic', 0: 'Non-Toxic' } }).safe).toEqual([0]);
  });

  it('lets a person correct it', () => {
    expect(readLabels(pair, ['unsafe']).safe).toEqual([0]);
    const three = { id2label: { 0: 'LABEL_0', 1: 'LABEL_1', 2: 'LABEL_2' } };
    expect(readLabels(three, ['LABEL_0', 'LABEL_2']).safe).toEqual([0, 2]);
    expect(readLabels(harms, []).safe).toEqual([]);
  });

  it('asks, naming the labels, where none is known', () => {
    expect(() => readLabels({ id2label: { 0: 'LABEL_0', 1: 'LABEL_1' } })).toThrow(
      /"LABEL_0", "LABEL_1"/,
    );
    expect(() => readLabels(pair, ['OK'])).toThrow(/none of its labels is OK/);
    expect(() => readLabels(harms)).toThrow(LabelError);
  });

  it('refuses what cannot be a reading', () => {
    expect(() => readLabels(pair, [])).toThrow(/At least one/);
    expect(() => readLabels(pair, ['safe', 'unsafe'])).toThrow(/At least one/);
    for (const id2label of [undefined, {}, { 0: 1 }, { 7: 'safe' }, { x: 'safe' }]) {
      expect(() => readLabels({ id2label })).toThrow(LabelError);
    }
  });
});

describe('safeProbability', () => {
  it('is a softmax over exclusive labels', () => {
    const reading = readLabels(pair);
    expect(safeProbability([0, 0], reading)).toBe(0.5);
    expect(safeProbability([-1, 2], reading)).toBeCloseTo(1 / (1 + Math.exp(-3)), 12);
    expect(safeProbability([1000, 0], reading)).toBe(0);
    const three = readLabels({ id2label: { 0: 'a', 1: 'b', 2: 'c' } }, ['a', 'b']);
    expect(safeProbability([0, 0, 0], three)).toBeCloseTo(2 / 3, 12);
  });

  it('is what the surest harm leaves, of independent labels', () => {
    const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
    const reading = readLabels(harms, []);
    expect(safeProbability([-3, 0.5, -1], reading)).toBeCloseTo(1 - sigmoid(0.5), 12);
    const one = { id2label: { 0: 'toxic' } };
    expect(safeProbability([2], readLabels(one, []))).toBeCloseTo(1 - sigmoid(2), 12);
    const safe = { id2label: { 0: 'safe' } };
    expect(safeProbability([2], readLabels(safe))).toBeCloseTo(sigmoid(2), 12);
  });
});
