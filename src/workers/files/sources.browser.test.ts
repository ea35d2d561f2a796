// Models that a person brings, through the app's own workers: every way in which files differ.
import * as ort from 'onnxruntime-web/webgpu';
import wasmUrl from 'onnxruntime-web/ort-wasm-simd-threaded.asyncify.wasm?url';
import { afterEach, describe, expect, test } from 'vitest';
import { wordTokenizer } from '../../../tests/fixtures/tokenizer/words';
import { type FamilyGolden, repositoryFile, repositoryJson } from '../../engine/testing';
import { createGuardClient, createStudentClient, createTrainerClient } from '../client';
import { relativeError } from '../../formats/relative-error';
import type { ModelRequest } from '../wire/protocol';

const baseUrl = new URL('/', location.href).href;
const WORDS = ['how do i bake a cake ? stir it .'];
const clients: { terminate(): void }[] = [];
const spawn = <T extends { terminate(): void }>(client: T): T => {
  clients.push(client);
  return client;
};

afterEach(() => {
  for (const client of clients.splice(0)) client.terminate();
});

/** A fixture family as a folder that a person picked. */
async function familyFolder(family: string, template?: string): Promise<ModelRequest> {
  const root = `tests/fixtures/families/${family}`;
  const { files } = await repositoryJson<FamilyGolden>(`${root}/golden.json`);
  const { vocab_size: size } = await repositoryJson<{ vocab_size: number }>(`${root}/config.json`);
  const { tokenizer, config } = wordTokenizer(size, WORDS);
  const copy = async (path: string, as = path) =>
    new File([await repositoryFile(`${root}/${path}`)], as);
  const text = (value: unknown, as: string) => new File([JSON.stringify(value)], as);
  const chat = template === undefined ? config : { ...config, chat_template: template };
  return {
    source: { kind: 'folder', name: family },
    baseUrl,
    folder: [
      await copy('config.json'),
      text(tokenizer, 'tokenizer.json'),
      text(chat, 'tokenizer_config.json'),
      // Its external data say what the exporter called it.
      await copy('model.onnx', `onnx/${files[0]?.replace(/_data$/, '') ?? 'model.onnx'}`),
      ...(await Promise.all(files.map((file) => copy(file, `onnx/${file}`)))),
    ],
  };
}

describe('engine and runtime agree on', () => {
  test.each([
    ['llama-optimum-f16', 'wasm', 5e-3],
    ['smollm2-separate', 'wasm', 1e-4],
    ['gemma2-optimum', 'wasm', 1e-4],
    // Packed projections, no position_ids, and an operator that only the WebGPU build has.
    ['qwen2-packed', 'webgpu', 2e-3],
    ['llama-shared-table', 'webgpu', 2e-3],
  ] as const)('%s, on %s', async (family, device, tolerance) => {
    const request = await familyFolder(family);
    const student = spawn(createStudentClient());
    const trainer = spawn(createTrainerClient());
    const ready = await student.request('load', { ...request, device: 'auto' });
    expect(ready).toMatchObject({ device, text: `folder:${family}`, vocabSize: 250 });
    const tokens = [1, 5, 36, 2, 17, 30, 8];
    const runtimeLogits = await student.request('logits', { tokens, prefix: null });
    // The files go from worker to worker: a folder is read and hashed once.
    const { shared } = ready;
    expect(shared?.blobs.size).toBeGreaterThan(3);
    const loaded = await trainer.request('load', {
      ...request,
      folder: [],
      runtimeLogits,
      ...(shared ? { shared } : {}),
    });
    expect(loaded.modelId).toBe(ready.modelId);
    expect(loaded.parity).toMatchObject({ tolerance });

    // A soft prompt reaches the runtime in the cache's own type.
    const dim = 64;
    const softPrompt = Float32Array.from({ length: 4 * dim }, (_, i) => Math.sin(i * 7.3) * 0.3);
    const prefix = await trainer.request('prefix', { softPrompt });
    const behind = await student.request('logits', { tokens, prefix });
    expect(relativeError(behind.logits, runtimeLogits.logits)).toBeGreaterThan(0.01);
    const ask = { system: null, temperature: 0, seed: 0, maxNewTokens: 8 };
    const prompt = 'how do i bake a cake ?';
    const { text } = await student.request('generate', { ...ask, prompt, prefix });
    const adaptation = { kind: 'soft-prompt', values: softPrompt } as const;
    const { answers } = await trainer.request('answer', { ...ask, prompts: [prompt], adaptation });
    expect(text).toBe(answers[0]!.trim());
  });
});

test('half-precision weights in three files run on WebGPU, in float32 where it has no half precision', async () => {
  const request = await familyFolder('llama3-packed-f16');
  const student = spawn(createStudentClient());
  const trainer = spawn(createTrainerClient());
  const half = (await navigator.gpu.requestAdapter())!.features.has('shader-f16');
  const opened = await student.request('load', { ...request, device: 'auto' });
  expect(opened.device).toBe('webgpu');
  expect(opened.reason.includes('float32 in memory')).toBe(!half);
  const tokens = [1, 5, 36, 2, 17, 30, 8];
  const runtimeLogits = await student.request('logits', { tokens, prefix: null });
  expect(runtimeLogits.f16).toBe(half);
  // The engine reads the file as it is.
  const ready = await trainer.request('load', { ...request, runtimeLogits });
  expect(ready.parity).toMatchObject({ tolerance: half ? 5e-3 : 2e-3 });
});

describe('a generative guard', () => {
  test.each(['runtime', 'engine'] as const)(
    'on the %s gives the softmax of its verdicts',
    async (runOn) => {
      // Names the verdicts, as the template of a guard does.
      const template =
        "{{ bos_token }}{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] + '<|end|>' }}" +
        "{% endfor %}{# safe or unsafe #}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}";
      const request = await familyFolder('llama-optimum', template);
      const guard = spawn(createGuardClient());
      const ready = await guard.request('load', { ...request, device: 'wasm', runOn });
      expect(ready.reading).toEqual({
        kind: 'generated',
        safe: 'safe',
        unsafe: 'unsafe',
        by: runOn,
      });
      const items = [
        { prompt: 'how do i bake a cake ?' },
        { prompt: 'stir it', response: 'bake it .' },
      ];
      const { safe } = await guard.request('score', { items });

      const { vocab } = wordTokenizer(250, WORDS);
      ort.env.wasm.wasmPaths = { wasm: wasmUrl };
      ort.env.wasm.numThreads = 1;
      const model = await repositoryFile('tests/fixtures/families/llama-optimum/model.onnx');
      const session = await ort.InferenceSession.create(model, { executionProviders: ['wasm'] });
      for (const [i, words] of [
        '<s> <|user|> how do i bake a cake ? <|end|> <|assistant|>',
        '<s> <|user|> stir it <|end|> <|assistant|> bake it . <|end|> <|assistant|>',
      ].entries()) {
        const ids = [...words.split(' ').map((word) => vocab[word]!), vocab['\n\n']!];
        const row = (values: number[]) =>
          new ort.Tensor('int64', BigInt64Array.from(values, BigInt), [1, values.length]);
        const past = session.inputNames
          .filter((name) => name.startsWith('past'))
          .map((name) => [name, new ort.Tensor('float32', new Float32Array(), [1, 2, 0, 16])]);
        const { logits } = await session.run(
          Object.fromEntries([
            ['input_ids', row(ids)],
            ['attention_mask', row(ids.map(() => 1))],
            ['position_ids', row(ids.map((_, at) => at))],
            ...past,
          ]) as Record<string, ort.Tensor>,
          ['logits'],
        );
        const last = (logits!.data as Float32Array).slice(-250);
        const [yes, no] = [Math.exp(last[vocab['safe']!]!), Math.exp(last[vocab['unsafe']!]!)];
        expect(safe[i]).toBeCloseTo(yes / (yes + no), 4);
      }
      await session.release();
    },
  );

  test('whose tokenizer splits the verdict says so, and a text classifier asks for labels', async () => {
    const guard = spawn(createGuardClient());
    const request = await familyFolder('llama-optimum');
    const verdict = { kind: 'generated', safe: 'how do', unsafe: 'unsafe' } as const;
    await expect(
      guard.request('load', { ...request, device: 'wasm', verdict }),
    ).rejects.toMatchObject({
      code: 'unsupported-model',
      message: expect.stringContaining('"how do" as 2 tokens') as string,
    });
    const bundled = { source: { kind: 'bundled', name: 'guard' }, baseUrl } as const;
    const load = (safe: string[]) =>
      guard.request('load', { ...bundled, device: 'wasm', verdict: { kind: 'labels', safe } });
    await expect(load(['OK'])).rejects.toMatchObject({
      message: expect.stringContaining('"safe", "unsafe"') as string,
    });
    const { reading } = await load(['unsafe']);
    expect(reading).toEqual({ kind: 'labels', labels: ['safe', 'unsafe'], safe: ['unsafe'] });
    const turned = await guard.request('score', {
      items: [{ prompt: 'What is the capital of Japan?' }],
    });
    expect(turned.safe[0]).toBeLessThan(0.1);
  });
});

describe('a folder’s tokenizer files', () => {
  /** The family's folder with other files, or more. */
  async function withFiles(files: Record<string, string>): Promise<ModelRequest> {
    const request = await familyFolder('llama-optimum');
    const folder = (request.folder ?? []).filter(({ name }) => !Object.hasOwn(files, name));
    const more = Object.entries(files).map(([name, text]) => new File([text], name));
    return { ...request, folder: [...folder, ...more] };
  }

  test('a chat_template.jinja goes before the config’s, whatever its line endings', async () => {
    const template =
      "{% for m in messages %}\r\n{{ '<|' + m['role'] + '|>' + m['content'] }}\r\n{% endfor %}";
    const hashes: string[] = [];
    for (const text of [template, template.replaceAll('\r', '')]) {
      const trainer = spawn(createTrainerClient());
      const files = {
        'chat_template.jinja': text,
        'generation_config.json': '{"eos_token_id":[1]}',
      };
      const loaded = await trainer.request('load', {
        ...(await withFiles(files)),
        runtimeLogits: null,
      });
      hashes.push(loaded.templateHash);
    }
    const plain = spawn(createTrainerClient());
    const other = await plain.request('load', { ...(await withFiles({})), runtimeLogits: null });
    expect(hashes[0]).toBe(hashes[1]);
    expect(hashes).not.toContain(other.templateHash);
  });

  test('what does not come to an end is ended, and the worker opens the next', async () => {
    const { tokenizer } = wordTokenizer(250, WORDS);
    const pattern = { Regex: '(a+)+$' };
    const split = { type: 'Split', pattern, behavior: 'Isolated', invert: false };
    const endless = { ...tokenizer, pre_tokenizer: split };
    const student = spawn(createStudentClient());
    const device = 'auto' as const;
    const load = async (files: Record<string, string>) =>
      student.request('load', { ...(await withFiles(files)), device });
    await expect(load({ 'tokenizer.json': JSON.stringify(endless) })).rejects.toMatchObject({
      code: 'unsupported-model',
      message: expect.stringMatching(/patterns take more than/) as string,
    });
    await expect(load({ 'generation_config.json': '{"eos_token_id":"2"}' })).rejects.toMatchObject({
      code: 'unsupported-model',
      message: expect.stringMatching(/eos_token_id/) as string,
    });
    await expect(load({})).resolves.toMatchObject({ vocabSize: 250 });
  });
});
