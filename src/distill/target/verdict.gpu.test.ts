/** A generative guard on the engine, against a plain float64 forward pass (which PyTorch checks). */
import { expect, it } from 'vitest';
import { wordTokenizer } from '../../../tests/fixtures/tokenizer/words';
import { Engine } from '../../engine/engine';
import { loadFamily } from '../../engine/testing';
import { mapDecoder } from '../../formats/onnx/decoder';
import { referenceLogits } from '../../formats/onnx/decoder.reference';
import { readOnnx } from '../../formats/onnx/proto';
import { testGpu } from '../../kernels/gpu/testing';
import { ChatTokenizer } from '../data/chat';
import { LLAMA_GUARD, scoresByPaths, VerdictGuard } from './verdict';

it.each(['llama-optimum', 'qwen2-packed', 'gemma2-packed'])(
  'gives the verdicts of %s',
  async (name) => {
    const { files, config } = await loadFamily(name);
    const { tokenizer, config: chatConfig, vocab } = wordTokenizer(250, ['how to bake a cake ?']);
    const engine = await Engine.load(await testGpu(true), files, config);
    const chat = new ChatTokenizer(tokenizer, chatConfig);
    const guard = new VerdictGuard(
      chat,
      scoresByPaths((items) => engine.score(items)),
      LLAMA_GUARD,
    );
    const items = [
      { prompt: 'how to bake a cake ?' },
      { prompt: 'bake ?', response: 'a cake' },
      { prompt: 'cake' },
    ];
    const safe = await guard.score(items);
    const model = mapDecoder(await readOnnx(files.model), config);
    for (const [i, item] of items.entries()) {
      const logits = await referenceLogits(model, files, guard.encode(item));
      const last = logits.slice(-model.config.vocabSize);
      const [yes, no] = [Math.exp(last[vocab['safe']!]!), Math.exp(last[vocab['unsafe']!]!)];
      expect(safe[i]).toBeCloseTo(yes / (yes + no), 4);
    }
    expect(new Set(safe).size).toBe(items.length);
  },
);
