/** LoRA: y = W x + (α / rank)·B A x beside linear layers. Formulas in kernels/linear/low-rank.wgsl. */
import type { Gpu } from '../../kernels/gpu/gpu';
import type { DecoderWeights, LayerWeights, LinearLayer } from '../weights';
import { adapterLayout, type AdapterSlice, type LoraShape } from './shape';
import { type Inside, ThinMatrices } from './thin-matrices';

/** @throws RangeError on a shape that this decoder cannot have. */
export async function insertLora(
  gpu: Gpu,
  frozen: DecoderWeights,
  shape: LoraShape,
  training: boolean,
): Promise<Inside> {
  const { rank, alpha } = shape;
  const scale = alpha / rank;
  const layout = adapterLayout(shape, frozen.config);
  const matrices = await ThinMatrices.create(gpu, layout, { rank, scale, training });
  const layers = frozen.layers.map((layer, index): LayerWeights => {
    const own = layout.slices.filter((slice) => slice.layer === index);
    const adapted = { ...layer };
    for (const a of own) {
      if (a.part !== 'a' || !a.target) continue;
      const b = own.find(({ part, target }) => part === 'b' && target === a.target)!;
      adapted[a.target] = beside(layer[a.target], matrices, a, b);
    }
    return adapted;
  });
  return { matrices, layers, enable: (on) => matrices.setScale(on ? scale : 0) };
}

/** `base` with A [rank, in] and, transposed, B [rank, out] beside it. */
function beside(
  base: LinearLayer,
  matrices: ThinMatrices,
  a: AdapterSlice,
  b: AdapterSlice,
): LinearLayer {
  const { inFeatures, outFeatures } = base;
  const down = matrices.kernel(inFeatures);
  const up = matrices.kernel(outFeatures);
  const [ofA, ofB] = [matrices.valuesOf(a), matrices.valuesOf(b)];
  return {
    inFeatures,
    outFeatures,
    adapted: true,
    prepare: (variants) => base.prepare(variants),
    bindForward: (args) => {
      const { x, y, span } = args;
      const h = matrices.rows('h', y, outFeatures);
      return [
        ...base.bindForward(args),
        down.bindDown({ x, m: ofA, h, span }),
        up.bindUp({ h, m: ofB, y, span }),
      ];
    },
    bindBackward: (args) => {
      const { dy, dx, x, span } = args;
      if (!x) throw new RangeError('The gradient of LoRA needs the input of its layer.');
      const h = matrices.rows('h', dx, inFeatures);
      const g = matrices.rows('g', dx, inFeatures);
      return [
        ...base.bindBackward(args),
        down.bindDown({ x, m: ofA, h, span }),
        up.bindDown({ x: dy, m: ofB, h: g, span }),
        down.bindOuter({ h: g, x, g: matrices.gradientOf(a), span }),
        up.bindOuter({ h, x: dy, g: matrices.gradientOf(b), span }),
        down.bindUp({ h: g, m: ofA, y: dx, span }),
      ];
    },
  };
}
