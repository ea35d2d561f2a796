/** Engine against runtime on the same tokens: no parity, no training (MODELS.md). */
import { KnownError } from '../../formats/errors';
import { relativeError } from '../../formats/relative-error';
import type { ParityReport, RuntimeLogits } from '../wire/protocol';

/** Largest ‖engine − runtime‖/‖runtime‖; WebGPU runtimes sum in another order and precision. */
export const PARITY_TOLERANCE: Readonly<Record<RuntimeLogits['device'], number>> = {
  wasm: 1e-4,
  webgpu: 2e-3,
};

/** Of half-precision weights, which the engine computes with in float32. */
export const PARITY_TOLERANCE_F16 = 5e-3;

/** The engine's logits differ from the runtime's: training would optimise another model. */
export class ParityError extends KnownError {
  override readonly name = 'ParityError';
  readonly errorCode = 'parity';
  constructor(
    readonly relativeError: number,
    readonly tolerance: number,
  ) {
    super(
      `The engine and the runtime disagree about this model: relative error ${relativeError.toExponential(1)}, tolerance ${tolerance.toExponential(0)}. Training is refused.`,
    );
  }
}

/**
 * @param engine logits of `runtime.tokens`, [tokens.length, vocabSize].
 * @throws ParityError naming the numbers.
 */
export function checkParity(engine: Float32Array, runtime: RuntimeLogits): ParityReport {
  const { device, logits, f16 } = runtime;
  const error = relativeError(engine, logits);
  const tolerance = f16 ? PARITY_TOLERANCE_F16 : PARITY_TOLERANCE[device];
  if (error > tolerance) throw new ParityError(error, tolerance);
  return { reference: `onnxruntime-web on ${device}`, relativeError: error, tolerance };
}
