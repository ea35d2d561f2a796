import { describe, expect, it } from 'vitest';
import { ChatTokenizer } from '../../distill/data/chat';
import { wordTokenizer } from '../../../tests/fixtures/tokenizer/words';
import { StreamedText } from './token-stream';

describe('StreamedText', () => {
  it('emits text piece by piece, special tokens left out', () => {
    const { tokenizer, config, vocab } = wordTokenizer(60, ['stir it well']);
    const chat = new ChatTokenizer(tokenizer, config);
    const pieces: string[] = [];
    const stream = new StreamedText(
      (ids) => chat.decode(ids),
      (piece) => pieces.push(piece),
    );
    for (const word of ['stir', 'it', 'well', '<|end|>']) stream.push([vocab[word]!]);
    stream.finish();
    expect(pieces.join('')).toBe('stir it well');
    expect(stream.text).toBe('stir it well');
    expect(stream.count).toBe(4);
  });

  it('keeps back a character until its last byte is there', () => {
    const bytes = [...new TextEncoder().encode('a🐈b')];
    const pieces: string[] = [];
    const stream = new StreamedText(
      (ids) => new TextDecoder().decode(Uint8Array.from(ids)),
      (piece) => pieces.push(piece),
    );
    for (const byte of bytes) stream.push([byte]);
    expect(pieces).toEqual(['a', '🐈', 'b']);
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
