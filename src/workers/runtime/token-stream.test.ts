import { describe, expect, it } from 'vitest';
import { ChatTokenizer } from '../../distill/data/chat';
import { wordTokenizer } from '../../../tests/fixtures/tokenizer/words';
import { StreamedText } from './token-stream';

describe('StreamedText', () => {
  it('gives the whole text so far, special tokens left out', () => {
    const { tokenizer, config, vocab } = wordTokenizer(60, ['stir it well']);
    const chat = new ChatTokenizer(tokenizer, config);
    const shown: string[] = [];
    const stream = new StreamedText(
      (ids) => chat.decode(ids),
      (soFar) => shown.push(soFar),
    );
    for (const word of ['stir', 'it', 'well', '<|end|>']) stream.push([vocab[word]!]);
    stream.finish();
    expect(shown).toEqual(['stir', 'stir it', 'stir it well']);
    expect(stream.text).toBe('stir it well');
    expect(stream.count).toBe(4);
  });

  it('keeps back a character until its last byte is there', () => {
    const bytes = [...new TextEncoder().encode('a🐈b')];
    const shown: string[] = [];
    const stream = new StreamedText(
      (ids) => new TextDecoder().decode(Uint8Array.from(ids)),
      (soFar) => shown.push(soFar),
    );
    for (const byte of bytes) stream.push([byte]);
    expect(shown).toEqual(['a', 'a🐈', 'a🐈b']);
  });

  it('gives what is left at the end, complete or not', () => {
    const stream = new StreamedText(
      (ids) => new TextDecoder().decode(Uint8Array.from(ids)),
      () => undefined,
    );
    stream.push([0xf0, 0x9f]);
    expect(stream.text).toBe('');
    stream.finish();
    expect(stream.text).toBe('\uFFFD');
  });
});
