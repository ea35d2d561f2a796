import { describe, expect, it } from 'vitest';
import { importPrompts } from '../../../formats/datasets/import';
import { labelValues } from '../../../formats/datasets/column-texts';
import { recognise } from '../../../formats/datasets/recognise';
import { read } from '../../../formats/datasets/testing';
import {
  describeSet,
  labelChoice,
  withColumn,
  withLabelChoice,
  withLabelValue,
} from './dataset-plan';

const open = async (text: string) => {
  const table = await read('x.csv', text);
  return { table, plan: recognise(table)[0]!.plan };
};

describe('the labels of a plan', () => {
  it('can be one for all, by a column, or the set’s own rule again', async () => {
    const { table, plan } = await open(
      'text,target_group,toxicity_ai,toxicity_human,kind\na,b,3,3,odd\nc,d,1,1,Even\n',
    );
    expect(labelChoice(plan)).toBe('rule');
    const labelsOf = (next: typeof plan) => importPrompts(table, next).items.map((i) => i.label);
    expect(labelsOf(plan)).toEqual(['harmful', 'borderline']);

    const all = withLabelChoice(plan, 'benign', plan);
    expect(labelChoice(all)).toBe('benign');
    expect(labelsOf(all)).toEqual(['benign', 'benign']);

    let column = withColumn(withLabelChoice(all, 'column', plan), 'label', 'kind');
    expect(labelChoice(column)).toBe('column');
    expect(labelValues(table, 'kind')).toEqual([
      { value: 'odd', rows: 1 },
      { value: 'even', rows: 1 },
    ]);
    column = withLabelValue(withLabelValue(column, 'odd', 'harmful'), 'even', 'benign');
    expect(labelsOf(column)).toEqual(['harmful', 'benign']);
    expect(labelsOf(withLabelValue(column, 'even', null))).toEqual(['harmful']);

    expect(withLabelChoice(column, 'rule', plan)).toEqual(plan);
    expect(labelChoice(withLabelChoice(plan, 'none', plan))).toBe('none');
  });

  it('are found in their column, the most frequent first, and long texts are none', async () => {
    const long = 'x'.repeat(41);
    const { table } = await open(`prompt,label\na,Safe\nb, unsafe\nc,UNSAFE\nd,\ne,${long}\n`);
    expect(labelValues(table, 'label')).toEqual([
      { value: 'unsafe', rows: 2 },
      { value: 'safe', rows: 1 },
    ]);
    expect(labelValues(table, 'label', 1)).toHaveLength(1);
    expect(labelValues(table, null)).toEqual([]);
    expect(labelValues(table, 'nothing')).toEqual([]);
  });
});

it('a set says how it was read and what was left out', async () => {
  const { table, plan } = await open('prompt,label\na,safe\nb,odd\nc,unsafe\n');
  const report = importPrompts(table, plan);
  const set = describeSet('  ', 'https://a.org/x.csv', table, plan, report, '0123456789abcdef');
  expect(set).toMatchObject({
    ...{ name: 'x.csv', source: 'https://a.org/x.csv', leftOut: 1, firstRowsOnly: false, plan },
    counts: { harmful: 1, borderline: 0, benign: 1 },
  });
  expect(describeSet('Mine ', '', table, plan, report, '0123456789abcdef').name).toBe('Mine');
  expect(set.id).not.toBe(describeSet('', '', table, plan, report, '0123456789abcdef').id);
});
