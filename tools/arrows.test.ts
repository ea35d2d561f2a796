// The lint rules that keep the rooms of src/ apart, tried on imports that are not in the tree.
import { ESLint } from 'eslint';
import { expect, test } from 'vitest';

const eslint = new ESLint({ cwd: new URL('..', import.meta.url).pathname });

/** Messages of the arrow rule for one line of code in one file. */
async function complaints(filePath: string, code: string): Promise<string[]> {
  const [result] = await eslint.lintText(code, { filePath });
  return result.messages
    .filter(({ ruleId }) => ruleId === '@typescript-eslint/no-restricted-imports')
    .map(({ message }) => message);
}

const IMPORT = (from: string) => `import { x } from '${from}';\nexport const y = x;\n`;
const TYPE = (from: string) => `import type { X } from '${from}';\nexport type Y = X;\n`;

test.each([
  ['src/kernels/a.ts', '../engine/types.ts'],
  ['src/engine/a.ts', '../distill/types.ts'],
  ['src/distill/a.ts', '../workers/protocol.ts'],
  ['src/distill/a.ts', '$lib/state/run.ts'],
  ['src/workers/a.ts', '../cli/main.ts'],
  ['src/formats/deep/a.ts', '../../kernels/gpu.ts'],
  ['src/lib/state/a.ts', '../../engine/model.ts'],
  ['src/lib/state/a.ts', '../../workers/trainer/trainer.worker.ts'],
  ['src/lib/state/a.ts', '@huggingface/transformers'],
  ['src/routes/lab/a.ts', '../../kernels/gpu.ts'],
])('%s may not import %s', async (file, from) => {
  expect(await complaints(file, IMPORT(from))).toHaveLength(1);
});

test.each([
  ['src/engine/a.ts', '../kernels/gpu.ts'],
  ['src/kernels/a.ts', '../formats/onnx.ts'],
  ['src/workers/a.ts', '../distill/types.ts'],
  ['src/cli/a.ts', '../distill/types.ts'],
  ['src/lib/state/a.ts', '../../workers/client.ts'],
  ['src/routes/lab/a.ts', '$lib/state/run.ts'],
])('%s may import %s', async (file, from) => {
  expect(await complaints(file, IMPORT(from))).toEqual([]);
});

test('pages may name the types of lower rooms', async () => {
  expect(await complaints('src/lib/state/a.ts', TYPE('../../engine/types.ts'))).toEqual([]);
});
