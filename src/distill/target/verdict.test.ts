/** Verdicts of a real decoder, against onnxruntime's logits for ids written out by hand. */
import { readFileSync } from 'node:fs';
import { InferenceSession, Tensor } from 'onnxruntime-web';
import { beforeAll, describe, expect, it } from 'vitest';
import { wordTokenizer } from '../../../tests/fixtures/tokenizer/words';
import { memorySource } from '../../formats/byte-source';
import { mapDecoder } from '../../formats/onnx/decoder';
import { referenceLogits } from '../../formats/onnx/decoder.reference';
import { readOnnx } from '../../formats/onnx/proto';
import { ChatTokenizer } from '../data/chat';
import { INSTRUCTED, LLAMA_GUARD, scoresByPaths, VerdictError, VerdictGuard } from './verdict';

const folder = new URL('../../../tests/fixtures/families/llama-optimum/', import.meta.url);
const file = (name: string) => new Uint8Array(readFileSync(new URL(name, folder)));
const { tokenizer, config, vocab } = wordTokenizer(250, ['how do i bake a cake ? stir it .']);
const chat = new ChatTokenizer(tokenizer, config);
const id = (word: string) => vocab[word]!;

const items = [
  { prompt: 'how do i bake a cake ?' },
  { prompt: 'how do i bake a cake ?', response: 'stir it .' },
  { prompt: 'stir' },
];
const question = ['how', 'do', 'i', 'bake', 'a', 'cake', '?'];
const READ = [
  ['<s>', '<|user|>', ...question, '<|end|>', '<|assistant|>', '\n\n'],
  [
    ...['<s>', '<|user|>', ...question, '<|end|>'],
    ...['<|assistant|>', 'stir', 'it', '.', '<|end|>', '<|assistant|>', '\n\n'],
  ],
  ['<s>', '<|user|>', 'stir', '<|end|>', '<|assistant|>', '\n\n'],
].map((words) => words.map(id));

/** onnxruntime's last logits. */
async function runtimeLogits(tokens: readonly number[]): Promise<Float32Array> {
  const session = await InferenceSession.create(file('model.onnx'), {
    executionProviders: ['wasm'],
    logSeverityLevel: 3,
  });
  const row = (values: readonly number[]) =>
    new Tensor('int64', BigInt64Array.from(values, BigInt), [1, values.length]);
  const inputs = [
    ['input_ids', row(tokens)],
    ['attention_mask', row(tokens.map(() => 1))],
    ['position_ids', row(tokens.map((_, i) => i))],
  ] as const;
  const past = session.inputNames
    .filter((name) => name.startsWith('past'))
    .map((name) => [name, new Tensor('float32', new Float32Array(), [1, 2, 0, 16])] as const);
  const feeds = [...inputs.filter(([name]) => session.inputNames.includes(name)), ...past];
  const { logits } = await session.run(Object.fromEntries(feeds), ['logits']);
  const data = logits!.data as Float32Array;
  await session.release();
  return data.slice(-250);
}

describe('VerdictGuard on a decoder', () => {
  let guard: VerdictGuard;

  beforeAll(async () => {
    const files = { model: memorySource(file('model.onnx')), external: new Map<string, never>() };
    const json = JSON.parse(new TextDecoder().decode(file('config.json'))) as unknown;
    const model = mapDecoder(await readOnnx(files.model), json);
    guard = new VerdictGuard(
      chat,
      async (prompts, tokens) => {
        const found: number[][] = [];
        for (const prompt of prompts) {
          const last = (await referenceLogits(model, files, prompt)).slice(-250);
          found.push(tokens.map((token) => last[token]!));
        }
        return found;
      },
      LLAMA_GUARD,
    );
  });

  it('reads the conversation as its template writes it, two line breaks last', () => {
    expect(items.map((item) => guard.encode(item))).toEqual(READ);
    expect([guard.safeToken, guard.unsafeToken]).toEqual([id('safe'), id('unsafe')]);
  });

  it("normalises over the two verdicts, equal to onnxruntime's softmax", async () => {
    const safe = await guard.score(items);
    for (const [i, tokens] of READ.entries()) {
      const logits = await runtimeLogits(tokens);
      const [yes, no] = [Math.exp(logits[id('safe')]!), Math.exp(logits[id('unsafe')]!)];
      expect(safe[i]).toBeCloseTo(yes / (yes + no), 5);
    }
    // Verdicts that say the same of everything would prove little.
    expect(Math.abs(safe[0]! - safe[2]!)).toBeGreaterThan(0.01);
  });
});

describe('VerdictGuard', () => {
  const none = async () => [];

  it('says which verdict is no single token, or that both are one', () => {
    const format = { ...LLAMA_GUARD, unsafe: 'safe unsafe' };
    expect(() => new VerdictGuard(chat, none, format)).toThrow(/"safe unsafe" as 2 tokens/);
    expect(() => new VerdictGuard(chat, none, { ...LLAMA_GUARD, unsafe: 'safe' })).toThrow(
      VerdictError,
    );
    // Both are <unk>.
    expect(
      () => new VerdictGuard(chat, none, { ...LLAMA_GUARD, safe: 'ja', unsafe: 'nein' }),
    ).toThrow(/apart/);
  });

  it('finds verdicts where they stand: a word is another token after a space', () => {
    const pieces = {
      ...tokenizer,
      pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'never', split: true },
      model: {
        type: 'WordLevel',
        vocab: { ...vocab, '▁safe': 247, '▁unsafe': 248 },
        unk_token: '<unk>',
      },
    };
    const spaced = new ChatTokenizer(pieces, config);
    const at = (suffix: string) => {
      const { safeToken, unsafeToken } = new VerdictGuard(spaced, none, { ...LLAMA_GUARD, suffix });
      return [safeToken, unsafeToken];
    };
    expect(at('\n\n')).toEqual([id('safe'), id('unsafe')]);
    // A space that the word would swallow is no place to read at.
    expect(() => at(' ')).toThrow(VerdictError);
  });

  it('puts a written question to a model whose template has no policy', async () => {
    const guard = new VerdictGuard(chat, none, {
      ...INSTRUCTED,
      instruction: { prompt: 'bake {prompt} ?', response: 'bake {prompt} : {response} ?' },
    });
    const words = (list: string) => list.split(' ').map(id);
    expect(guard.encode({ prompt: 'a cake' })).toEqual(
      words('<s> <|user|> bake a cake ? <|end|> <|assistant|>'),
    );
    const tricky = { prompt: 'stir {response}', response: 'it' };
    expect(chat.decode(guard.encode(tricky))).toContain('stir');
    // What looks like a placeholder in a person's text stays text: "it" stands there once.
    expect(guard.encode(tricky).filter((token) => token === id('it'))).toHaveLength(1);
  });

  it('takes any constant beside the scores, and no NaN', async () => {
    const fixed = (values: number[]) => new VerdictGuard(chat, async () => [values], LLAMA_GUARD);
    const one = [{ prompt: 'stir' }];
    const [a] = await fixed([1, 3]).score(one);
    const [b] = await fixed([101, 103]).score(one);
    expect(a).toBeCloseTo(1 / (1 + Math.exp(2)), 12);
    expect(b).toBeCloseTo(a!, 12);
    await expect(fixed([NaN, 0]).score(one)).rejects.toThrow(VerdictError);
  });

  it('asks an engine for one path a verdict', async () => {
    const asked: number[][] = [];
    const scores = scoresByPaths(async (requests) =>
      requests.map(({ prompt, path }) => {
        asked.push([...prompt, ...path]);
        return Float32Array.of(-path[0]!);
      }),
    );
    expect(await scores([[1], [2, 3]], [8, 9])).toEqual([
      [-8, -9],
      [-8, -9],
    ]);
    expect(asked).toEqual([
      [1, 8],
      [1, 9],
      [2, 3, 8],
      [2, 3, 9],
    ]);
  });
});
