/** A model's tokenizer, chat template and ends of answers, from its files. */
import { ChatTokenizer } from '../../distill/data/chat';
import { type ModelFileSet, readFile, readJson } from '../files/open-model';

/** @throws DownloadError, TokenizerError, ChatTemplateError */
export async function chatTokenizer(
  files: ModelFileSet,
): Promise<{ chat: ChatTokenizer; config: unknown }> {
  const optional = async <T>(path: string, read: (path: string) => Promise<T>) =>
    files.files.has(path) ? read(path) : null;
  const json = (path: string) => readJson(files, path);
  const text = async (path: string) => new TextDecoder().decode(await readFile(files, path));
  const [tokenizer, tokenizerConfig, config, generation, template] = await Promise.all([
    json('tokenizer.json'),
    json('tokenizer_config.json'),
    json('config.json'),
    optional('generation_config.json', json),
    optional('chat_template.jinja', text),
  ]);
  const chat = new ChatTokenizer(tokenizer, tokenizerConfig, { template, generation, config });
  return { chat, config };
}
