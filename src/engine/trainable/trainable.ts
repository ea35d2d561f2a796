/**
 * One face for everything that is trained: its values, where they enter the forward pass, where
 * their gradient is, and what it takes. A soft prompt enters in front of the text, LoRA and steering
 * vectors inside the model.
 */
import type { Op } from '../../kernels/gpu/gpu';
import type { BackwardPass } from '../backward';
import type { ForwardPass } from '../forward';
import type { DecoderWeights } from '../weights';
import type { TrainableShape, TrainableSize } from './shape';

/** What brings the values into a pass, run before it: as they are, or as a link carries them. */
export interface Entry {
  plain: readonly Op[];
  quantised: readonly Op[];
}

export interface Trainable {
  readonly shape: TrainableShape;
  readonly size: TrainableSize;
  /** Values, f32 [size.length]. */
  readonly values: GPUBuffer;
  /** Bytes of values and gradient. */
  readonly bytes: number;
  /** What passes run through: the frozen weights, or these with what is trained inside. */
  readonly weights: DecoderWeights;
  /** Once for each pass that the values are to enter. */
  enter(pass: ForwardPass): Entry;
  /** Where `backward` leaves the gradient, in the first size.length floats. */
  gradientOf(backward: BackwardPass): GPUBuffer;
  /** Off, passes without rows of it in front are passes of the frozen model; its values stay. */
  enable(on: boolean): void;
  release(): void;
}
