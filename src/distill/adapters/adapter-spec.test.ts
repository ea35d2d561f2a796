import { describe, expect, it } from 'vitest';
import {
  ADAPTER_KINDS,
  adapterKey,
  isTrained,
  matchedRank,
  parseAdapter,
  trainedValues,
  type DecoderShape,
} from './adapter-spec';
import { SpecError } from '../data/spec-fields';

describe('parseAdapter', () => {
  it.each(ADAPTER_KINDS)('reads %s from its kind and again from what it wrote', (kind) => {
    const spec = parseAdapter(kind);
    expect(parseAdapter(JSON.parse(JSON.stringify(spec)))).toEqual(spec);
  });

  it('has short stable keys', () => {
    const key = (value: unknown) => adapterKey(parseAdapter(value));
    expect(key('soft-prompt')).toBe('soft-prompt16');
    expect(key({ kind: 'soft-prompt', form: 'rows' })).toBe('soft-prompt16-rows20');
    expect(key({ kind: 'soft-prompt', n: 8, form: 'global' })).toBe('soft-prompt8-global512');
    expect(key({ kind: 'lora', rank: 4, targets: ['v', 'q', 'v'] })).toBe('lora4-a8-qv');
    expect(key('steering')).toBe('steering-all');
    expect(key({ kind: 'steering', layers: 'one', source: 'difference', scale: -2 })).toBe(
      'steering-one0.6-difference-2',
    );
    const refusal = { kind: 'steering', source: 'refusal', scale: 2 };
    expect(key(refusal)).toBe('steering-refusal2');
    // Its layer is chosen by trial, whatever stands there.
    expect(parseAdapter({ ...refusal, layers: 'all', depth: 0.2 })).toEqual(parseAdapter(refusal));
    expect(key('preamble')).toBe('preamble');
  });

  it.each([
    [undefined, 'adapter'],
    [{ n: 4 }, 'adapter.kind'],
    ['prefix', 'adapter.kind'],
    [{ kind: 'soft-prompt', n: 0 }, 'adapter.n'],
    [{ kind: 'soft-prompt', size: 4 }, 'adapter.size'],
    [{ kind: 'lora', n: 4 }, 'adapter.n'],
    [{ kind: 'lora', targets: [] }, 'adapter.targets'],
    [{ kind: 'lora', targets: ['q', 'x'] }, 'adapter.targets[1]'],
    [{ kind: 'lora', targets: [null] }, 'adapter.targets[0]'],
    [{ kind: 'steering', scale: 3 }, 'adapter.scale'],
  ])('refuses %j and names %s', (value, path) => {
    expect(() => parseAdapter(value)).toThrow(SpecError);
    expect(() => parseAdapter(value)).toThrow(expect.objectContaining({ path }));
  });
});

describe('counts of trained values', () => {
  // Published shapes; the counts are those of METHOD.md §6's table.
  const llama1b: DecoderShape = {
    layers: 16,
    dim: 2048,
    queryDim: 2048,
    keyDim: 512,
    mlpDim: 8192,
  };
  const qwen: DecoderShape = { layers: 28, dim: 1536, queryDim: 1536, keyDim: 256, mlpDim: 8960 };

  it('are those of METHOD.md §6', () => {
    const count = (value: unknown, shape: DecoderShape) =>
      trainedValues(parseAdapter(value), shape);
    expect(count({ kind: 'soft-prompt', n: 100 }, llama1b)).toBe(204_800);
    expect(count({ kind: 'lora', rank: 1 }, llama1b)).toBe(106_496);
    expect(count('steering', llama1b)).toBe(32_768);
    expect(count({ kind: 'soft-prompt', n: 100 }, qwen)).toBe(153_600);
    expect(count({ kind: 'lora', rank: 1 }, qwen)).toBe(136_192);
    expect(count({ kind: 'steering', layers: 'one' }, qwen)).toBe(1536);
    expect(matchedRank(204_800, ['q', 'v'], llama1b)).toBe(2);
    expect(matchedRank(153_600, ['q', 'v'], qwen)).toBe(1);
    expect(matchedRank(1, ['q', 'v'], qwen)).toBe(1);
  });

  it('are small in the small forms and 0 where nothing is trained', () => {
    const count = (value: unknown) => trainedValues(parseAdapter(value), llama1b);
    expect(count({ kind: 'soft-prompt', form: 'rows', size: 16 })).toBe(256);
    expect(count({ kind: 'soft-prompt', form: 'global' })).toBe(512);
    expect(count('preamble')).toBe(0);
    expect(isTrained(parseAdapter({ kind: 'steering', source: 'difference' }))).toBe(false);
    expect(isTrained(parseAdapter({ kind: 'steering', source: 'refusal' }))).toBe(false);
    expect(isTrained(parseAdapter('lora'))).toBe(true);
  });
});
