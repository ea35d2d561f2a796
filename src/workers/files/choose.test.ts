import { describe, expect, it } from 'vitest';
import { choosePaths } from './choose';

const SMALL = ['config.json', 'tokenizer.json', 'tokenizer_config.json'];

describe('choosePaths', () => {
  it('takes small files first, then the weights of one dtype with all their data in order', () => {
    const there = [
      'README.md',
      'onnx/model_q4.onnx_data_10',
      'onnx/model_q4.onnx_data_2',
      'onnx/model_q4.onnx_data',
      'onnx/model_q4.onnx',
      'onnx/model_q4f16.onnx',
      'onnx/model_q4f16.onnx_data',
      'onnx/model_q4.onnx_data.bak',
      'onnx/model_q4.onnx_data/x/model_q4.onnx',
      'generation_config.json',
      'chat_template.jinja',
      ...SMALL,
    ];
    expect(choosePaths(there, 'q4', 'It')).toEqual([
      ...SMALL,
      'generation_config.json',
      'chat_template.jinja',
      'onnx/model_q4.onnx',
      'onnx/model_q4.onnx_data',
      'onnx/model_q4.onnx_data_2',
      'onnx/model_q4.onnx_data_10',
    ]);
  });

  it.each([
    [['onnx/model_q4.onnx', 'config.json'], /no tokenizer\.json, no tokenizer_config\.json/],
    [[...SMALL, 'onnx/model_fp16.onnx'], /no file onnx\/model_q4\.onnx\. It has onnx\/model_fp16/],
    [[...SMALL, 'model.safetensors'], /no ONNX file/],
  ])('names what is missing of %j', (there, message) => {
    expect(() => choosePaths(there, 'q4', 'It')).toThrow(
      expect.objectContaining({
        name: 'NotFoundError',
        message: expect.stringMatching(message) as string,
      }),
    );
  });
});
