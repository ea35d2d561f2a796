import { readFileSync } from 'node:fs';
import { memorySource } from '../byte-source';
import { type OnnxModel, readOnnx } from './proto';
import type { ModelFiles } from '../decoder/tensor';

export const FIXTURE_TOKENS = [1, 5, 36, 2, 17, 17, 30, 8, 0, 11, 23];

export interface Fixture {
  bytes: Uint8Array;
  files: ModelFiles;
  model: OnnxModel;
  config: Record<string, unknown>;
  /** onnxruntime's float32 logits of FIXTURE_TOKENS, [tokens, vocabSize]. */
  logits: Float32Array;
}

const folder = new URL('../../../tests/fixtures/onnx/', import.meta.url);

function load(name: string): Uint8Array {
  return new Uint8Array(readFileSync(new URL(name, folder)));
}

/** A decoder that tests/fixtures/onnx/make.py wrote with onnxruntime-genai. */
export async function loadFixture(name: string): Promise<Fixture> {
  const bytes = load(`${name}.onnx`);
  const external = new Map<string, ReturnType<typeof memorySource>>();
  if (name === 'rotary') external.set('model.onnx.data', memorySource(load('rotary.onnx.data')));
  const files = { model: memorySource(bytes), external };
  return {
    bytes,
    files,
    model: await readOnnx(files.model),
    config: JSON.parse(new TextDecoder().decode(load(`${name}.config.json`))) as Record<
      string,
      unknown
    >,
    logits: new Float32Array(load(`${name}.logits.f32`).buffer),
  };
}
