/** A model's tokenizer and chat template, from its files. */
import { ChatTokenizer } from '../../distill/data/chat';
import { type ModelFileSet, readFile, readJson } from '../files/open-model';

/** @throws DownloadError, ChatTemplateError */
export async function chatTokenizer(
  files: ModelFileSet,
): Promise<{ chat: ChatTokenizer; config: unknown }> {
  const json = async (path: string) => (await readJson(files, path)) as object;
  const template = files.files.has('chat_template.jinja')
    ? new TextDecoder().decode(await readFile(files, 'chat_template.jinja'))
    : null;
  const chat = new ChatTokenizer(
    await json('tokenizer.json'),
    await json('tokenizer_config.json'),
    template,
  );
  return { chat, config: await json('config.json') };
}
