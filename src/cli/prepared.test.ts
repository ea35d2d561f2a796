// The prepared data that ships with the bundled students belongs to the models that ship.
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { parsePrepared, preparedKey } from '../distill/train/prepare';
import { DEFAULT_RECIPE } from '../distill/train/recipe';
import { bundledData, chatTokenizer, jsonOf, openModel } from './node-files';

const root = fileURLToPath(new URL('../../public', import.meta.url));
const { maxNewTokens } = DEFAULT_RECIPE;
const NAME = 'public/data/prepared-%s.json fits the bundled models and prompts';

it.each(['pocket', 'class'])(NAME, async (student) => {
  const [model, guard] = await Promise.all(
    [student, 'guard'].map((name) => openModel(join(root, 'models'), name)),
  );
  const { train } = await bundledData(join(root, 'data'));
  const chat = await chatTokenizer(model!);
  const key = preparedKey(train, { student: model!.id, guard: guard!.id }, maxNewTokens, chat);
  const shipped = await jsonOf(join(root, 'data', `prepared-${student}.json`));
  // Made with: npm run distill -- --student NAME --fresh --prepare-only --prepared public/data/prepared-NAME.json
  const data = parsePrepared(shipped, key, train.length, chat.vocabSize);

  const mean = (label: string) => {
    const scores = data.safe.filter((_, i) => train[i]!.label === label);
    return scores.reduce((sum, safe) => sum + safe, 0) / scores.length;
  };
  expect(mean('harmful')).toBeLessThan(0.03);
  expect(mean('benign')).toBeGreaterThan(0.97);
  expect(mean('borderline')).toBeGreaterThan(0.97);
  // Answers end by themselves and read as words, not as role markers.
  const ended = data.samples.filter((sample) => sample.at(-1) === chat.eosToken);
  expect(ended.length / data.samples.length).toBeGreaterThan(0.98);
  const odd = ended.filter((sample) =>
    sample.slice(0, -1).some((token) => chat.specialTokens.has(token)),
  );
  expect(odd.length / data.samples.length).toBeLessThan(0.01);
});
