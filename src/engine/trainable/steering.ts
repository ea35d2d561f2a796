/**
 * Steering vectors: h ← h + v on the residual stream behind layers. A vector is a thin matrix of one
 * row, which a column of ones adds to every row.
 */
import type { Gpu } from '../../kernels/gpu/gpu';
import type { DecoderWeights, LayerWeights, Steering } from '../weights';
import { adapterLayout, type AdapterSlice, type SteeringShape } from './shape';
import { type Inside, ThinMatrices } from './thin-matrices';

/** @throws RangeError on layers that this decoder has not. */
export async function insertSteering(
  gpu: Gpu,
  frozen: DecoderWeights,
  shape: SteeringShape,
  training: boolean,
): Promise<Inside> {
  const layout = adapterLayout(shape, frozen.config);
  const matrices = await ThinMatrices.create(gpu, layout, { rank: 1, scale: 1, training });
  const columns = new Set<GPUBuffer>();
  let weight = 1;
  const fill = (column: GPUBuffer) =>
    gpu.write(column, new Float32Array(column.size / 4).fill(weight));
  const ones = (like: GPUBuffer, width: number) =>
    matrices.rows('ones', like, width, (column) => {
      columns.add(column);
      fill(column);
    });
  const behind = (slice: AdapterSlice): Steering => {
    const kernel = matrices.kernel(slice.width);
    const m = matrices.valuesOf(slice);
    return {
      bindAdd: ({ y, span }) => kernel.bindUp({ h: ones(y, slice.width), m, y, span }),
      bindGradient: ({ dy, span }) => {
        const g = matrices.gradientOf(slice);
        return kernel.bindOuter({ h: ones(dy, slice.width), x: dy, g, span });
      },
    };
  };
  const layers = frozen.layers.map((layer, index): LayerWeights => {
    const vector = layout.slices.find((slice) => slice.layer === index);
    return vector ? { ...layer, steering: behind(vector) } : layer;
  });
  return {
    matrices,
    layers,
    enable: (on) => {
      weight = on ? 1 : 0;
      columns.forEach(fill);
    },
  };
}
