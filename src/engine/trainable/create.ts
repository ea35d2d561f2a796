/** Makes what a shape says is to be trained. */
import type { Gpu } from '../../kernels/gpu/gpu';
import type { DecoderWeights } from '../weights';
import { Adapter } from './adapter';
import type { TrainableShape } from './shape';
import { SoftPrompt } from './soft-prompt';
import type { Trainable } from './trainable';

/** @throws RangeError on a shape that this decoder cannot have. */
export function createTrainable(
  gpu: Gpu,
  frozen: DecoderWeights,
  shape: TrainableShape,
): Promise<Trainable> {
  switch (shape.kind) {
    case 'soft-prompt':
      return SoftPrompt.create(gpu, frozen, shape);
    case 'lora':
    case 'steering':
      return Adapter.create(gpu, frozen, shape, { training: true });
  }
}
