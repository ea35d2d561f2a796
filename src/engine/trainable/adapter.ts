/**
 * LoRA or steering vectors on the GPU: the frozen weights with thin matrices inside, so that every
 * pass over these weights is a pass of the adapted model.
 */
import type { Gpu } from '../../kernels/gpu/gpu';
import type { DecoderWeights } from '../weights';
import { insertLora } from './lora';
import { type AdapterShape, trainableSize, type TrainableSize } from './shape';
import { insertSteering } from './steering';
import type { Inside } from './thin-matrices';
import type { Entry, Trainable } from './trainable';

function insert(
  gpu: Gpu,
  frozen: DecoderWeights,
  shape: AdapterShape,
  training: boolean,
): Promise<Inside> {
  switch (shape.kind) {
    case 'lora':
      return insertLora(gpu, frozen, shape, training);
    case 'steering':
      return insertSteering(gpu, frozen, shape, training);
  }
}

export class Adapter implements Trainable {
  readonly size: TrainableSize;
  readonly weights: DecoderWeights;
  readonly values: GPUBuffer;
  readonly bytes: number;
  private on = true;

  private constructor(
    frozen: DecoderWeights,
    readonly shape: AdapterShape,
    private readonly inside: Inside,
  ) {
    const { layers, matrices } = inside;
    this.size = trainableSize(shape, frozen.config);
    this.weights = { ...frozen, layers };
    this.values = matrices.values;
    this.bytes = this.values.size + (matrices.gradient?.size ?? 0);
  }

  /** @throws RangeError on a shape that this decoder cannot have. */
  static async create(
    gpu: Gpu,
    frozen: DecoderWeights,
    shape: AdapterShape,
    { training }: { training: boolean },
  ): Promise<Adapter> {
    return new Adapter(frozen, shape, await insert(gpu, frozen, shape, training));
  }

  /** @throws RangeError on another length than the layout's. */
  write(values: Float32Array): void {
    this.inside.matrices.write(values);
  }

  /** Its values are inside already. */
  enter(): Entry {
    return { plain: [], quantised: [] };
  }

  /** @throws RangeError where it was not made for training. */
  gradientOf(): GPUBuffer {
    const { gradient } = this.inside.matrices;
    if (!gradient) throw new RangeError('This adapter was not made for training.');
    return gradient;
  }

  enable(on: boolean): void {
    if (on === this.on) return;
    this.on = on;
    this.inside.enable(on);
  }

  release(): void {
    this.inside.matrices.release();
  }
}
