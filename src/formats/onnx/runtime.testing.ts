/** onnxruntime on WASM, in Node, for files that are in memory. */
import { InferenceSession, Tensor } from 'onnxruntime-web';
import { float16ToFloat32 } from '../float16';

/** Logits after each of `ids`, [ids.length, vocabSize]. */
export async function runtimeLogits(
  model: Uint8Array,
  config: Record<string, unknown>,
  ids: readonly number[],
  externalData: { path: string; data: Uint8Array }[] = [],
): Promise<Float32Array> {
  const session = await InferenceSession.create(model, {
    executionProviders: ['wasm'],
    logSeverityLevel: 3,
    ...(externalData.length > 0 && { externalData }),
  });
  const integers = (values: readonly number[]) =>
    new Tensor('int64', BigInt64Array.from(values, BigInt), [1, values.length]);
  const size = (name: string) => Number(config[name]);
  const past = [1, size('num_key_value_heads'), 0, size('head_dim')];
  const feeds = Object.fromEntries(
    session.inputMetadata.map((input) => {
      if (input.name === 'input_ids') return [input.name, integers(ids)];
      if (input.name === 'attention_mask') return [input.name, integers(ids.map(() => 1))];
      if (input.name === 'position_ids') return [input.name, integers(ids.map((_, i) => i))];
      const half = input.isTensor && input.type === 'float16';
      return [
        input.name,
        half
          ? new Tensor('float16', new Uint16Array(), past)
          : new Tensor('float32', new Float32Array(), past),
      ];
    }),
  );
  const { logits } = await session.run(feeds, ['logits']);
  // Half-precision logits come as bits or as numbers, by Node's version.
  const data = logits!.data as Float32Array | Uint16Array;
  const values = data instanceof Uint16Array ? float16ToFloat32(data) : Float32Array.from(data);
  await session.release();
  return values;
}
