// The runtime that the app ships: onnxruntime's WASM, bundled, in the browser.
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { env } from '@huggingface/transformers';
import * as ort from 'onnxruntime-web/webgpu';
import { describe, expect, test } from 'vitest';
import { configureRuntime } from './runtime.ts';

type Write = (writer: BinaryWriter) => BinaryWriter;

/** One field that holds a message. */
const message =
  (field: number, ...parts: Write[]): Write =>
  (writer) =>
    parts.reduce((w, part) => part(w), writer.tag(field, WireType.LengthDelimited).fork()).join();
const text =
  (field: number, value: string): Write =>
  (writer) =>
    writer.tag(field, WireType.LengthDelimited).string(value);
const integer =
  (field: number, value: number): Write =>
  (writer) =>
    writer.tag(field, WireType.Varint).int64(value);

/** ONNX ModelProto of y = a + b over float32 [3]. */
function additionModel(): Uint8Array {
  const value = (field: number, name: string) =>
    message(
      field,
      text(1, name),
      message(2, message(1, integer(1, 1), message(2, message(1, integer(1, 3))))),
    );
  const node = message(1, text(1, 'a'), text(1, 'b'), text(2, 'y'), text(4, 'Add'));
  const graph = message(
    7,
    node,
    text(2, 'addition'),
    value(11, 'a'),
    value(11, 'b'),
    value(12, 'y'),
  );
  const writer = [integer(1, 8), graph, message(8, integer(2, 17))].reduce(
    (w, part) => part(w),
    new BinaryWriter(),
  );
  return writer.finish();
}

describe('configureRuntime', () => {
  test('onnxruntime runs a model on the WASM of our own origin', async () => {
    configureRuntime(env, { modelsPath: '/models/' });
    const session = await ort.InferenceSession.create(additionModel(), {
      executionProviders: ['wasm'],
    });
    const { y } = await session.run({
      a: new ort.Tensor('float32', [1, 2, 3], [3]),
      b: new ort.Tensor('float32', [10, 20, 30], [3]),
    });
    expect([...(y?.data as Float32Array)]).toEqual([11, 22, 33]);
    const fetched = performance.getEntriesByType('resource').map(({ name }) => name);
    expect(fetched.filter((name) => name.includes('.asyncify.wasm'))).not.toEqual([]);
    expect(fetched.filter((name) => !name.startsWith(location.origin))).toEqual([]);
    expect(env.allowRemoteModels).toBe(false);
  });

  test('transformers.js and the app share one onnxruntime', () => {
    expect(env.backends.onnx.wasm?.wasmPaths).toBe(ort.env.wasm.wasmPaths);
  });
});
