/** Where answers end, on the engine: a model that names two ends answers as it did with one. */
import { expect, it } from 'vitest';
import { loadEngine, repositoryFile, repositoryJson } from '../../engine/testing';
import { ChatTokenizer } from './chat';
import { parsePromptItems } from './dataset';

const FOLDER = 'public/models/pocket';

it('answers alike with one end and with two, however the template shows it', async () => {
  const engine = await loadEngine(FOLDER);
  const tokenizer = await repositoryJson<object>(`${FOLDER}/tokenizer.json`);
  const config = await repositoryJson<{ chat_template: string }>(`${FOLDER}/tokenizer_config.json`);
  const between = config.chat_template.replace(
    "{% if message['role'] == 'assistant' %}{{ eos_token }}",
    "{% if message['role'] == 'assistant' and not loop.last %}{{ '<end>' }}",
  );
  expect(between).not.toBe(config.chat_template);
  const silent = { ...config, eos_token: '<pad>', chat_template: between };
  const generation = { eos_token_id: [0, 2] };
  const pocket = new ChatTokenizer(tokenizer, config);
  const chats = [
    new ChatTokenizer(tokenizer, config, { generation }),
    new ChatTokenizer(tokenizer, silent, { generation }),
    new ChatTokenizer(tokenizer, silent),
  ];

  const text = new TextDecoder().decode(await repositoryFile('public/data/wording.jsonl'));
  const items = parsePromptItems(text).filter((_, i) => i % 150 === 0);
  const answers = async (chat: ChatTokenizer) => {
    const generated = await engine.generate(
      items.map(({ prompt }, stream) => ({ prompt: chat.encodeChat({ user: prompt }), stream })),
      { temperature: 0, seed: 0, maxNewTokens: 48, stopTokens: chat.stopTokens },
    );
    return generated.map(({ tokens, finished }) => ({ text: chat.decode(tokens), finished }));
  };
  const own = await answers(pocket);
  expect(own.length).toBeGreaterThan(3);
  expect(own.every(({ finished }) => finished)).toBe(true);
  for (const chat of chats) expect(await answers(chat)).toEqual(own);
});
