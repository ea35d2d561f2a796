/** The toy and its batch as tools/bench reads them: the same step in PyTorch. */
import { LEARNING_RATE, loadStudent, setUpTraining, toyStudent } from './student';
import { TOY, TOY_TASK, toyModel } from './toy';
import type { Host } from './types';

const bytesOf = (values: Float32Array) =>
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength);

/** Files by name. */
export async function exportToy(host: Host): Promise<Map<string, Uint8Array>> {
  const toy = toyModel();
  const bench = { host, repeats: 1, software: true };
  const engine = await loadStudent(bench, toyStudent());
  const setup = await setUpTraining(engine, TOY_TASK);
  const text = (value: unknown) => new TextEncoder().encode(`${JSON.stringify(value)}\n`);
  const files = new Map<string, Uint8Array>([
    ['model.onnx', toy.graph],
    [toy.dataFile, await toy.data()],
    ['config.json', text(toy.config)],
    ['prompt.f32', bytesOf(setup.prompt)],
    [
      'task.json',
      text({
        ...TOY_TASK,
        learningRate: LEARNING_RATE,
        layers: TOY.layers,
        sequences: setup.batch.examples.map(({ prompt, paths }) => ({
          prompt,
          path: paths[0]!.tokens,
        })),
      }),
    ],
  ]);
  for (const objective of ['tv', 'kl'] as const) {
    const { trainer, batch } = await setUpTraining(engine, TOY_TASK, objective);
    const { gradient } = await trainer.gradient(batch);
    files.set(`ours-${objective}.f32`, bytesOf(gradient));
  }
  engine.destroy();
  return files;
}
