import { describe, expect, it } from 'vitest';
import { Span } from '../gpu/gpu';
import { createLowRank, MAX_RANK } from './low-rank';
import {
  downReference,
  loraGradientReference,
  loraReference,
  outerReference,
  upReference,
} from './low-rank.reference';
import { centralDifferences, GPU_VARIANTS, normals, relativeError, testGpu } from '../gpu/testing';

const SIZES: [rows: number, width: number, rank: number][] = [
  [1, 1, 1],
  [63, 65, 2],
  [64, 64, 4],
  [65, 63, 5],
  [17, 128, 16],
  [3, 517, MAX_RANK],
];
const SCALE = 1.5;
const START = 2;

describe.each(GPU_VARIANTS)('low-rank products with $name', ({ subgroups }) => {
  it.each(SIZES.flatMap((size) => [1, 8].map((slices) => [...size, slices] as const)))(
    'agree with f64 for %i rows of %i at rank %i, %i slices',
    async (rows, width, rank, slices) => {
      const gpu = await testGpu(subgroups);
      const all = rows + START + 3;
      const x = normals(1, all * width);
      const m = normals(2, rank * width);
      const h = normals(3, all * rank);
      const y = normals(4, all * width);
      const before = normals(5, all * rank);
      const kernel = await createLowRank(gpu, { rank, width, scale: SCALE, slices });
      const span = new Span(gpu, 'test');
      span.set(START, rows);
      const buffers = {
        x: gpu.upload('x', x),
        m: gpu.upload('m', m),
        h: gpu.upload('h', h),
        y: gpu.upload('y', y),
        down: gpu.upload('down', before),
        g: gpu.upload('g', new Float32Array(rank * width).fill(7)),
      };
      gpu.run([
        kernel.bindDown({ x: buffers.x, m: buffers.m, h: buffers.down, span }),
        kernel.bindUp({ h: buffers.h, m: buffers.m, y: buffers.y, span }),
        kernel.bindOuter({ h: buffers.h, x: buffers.x, g: buffers.g, span }),
      ]);
      const down = await gpu.readFloats(buffers.down, all * rank);
      const up = await gpu.readFloats(buffers.y, all * width);
      const outer = await gpu.readFloats(buffers.g, rank * width);

      const wide = [START * width, (START + rows) * width] as const;
      const thin = [START * rank, (START + rows) * rank] as const;
      const [xIn, hIn] = [x.slice(...wide), h.slice(...thin)];
      expect(relativeError(down.slice(...thin), downReference(xIn, m, rank, SCALE))).toBeLessThan(
        1e-5,
      );
      expect(
        relativeError(up.slice(...wide), upReference(y.slice(...wide), hIn, m, rank)),
      ).toBeLessThan(1e-5);
      expect(relativeError(outer, outerReference(hIn, xIn, rank))).toBeLessThan(1e-5);
      expect(down.slice(0, thin[0])).toEqual(before.slice(0, thin[0]));
      expect(down.slice(thin[1])).toEqual(before.slice(thin[1]));
      expect(up.slice(0, wide[0])).toEqual(y.slice(0, wide[0]));
      expect(up.slice(wide[1])).toEqual(y.slice(wide[1]));
      gpu.release(...Object.values(buffers));
      span.release();
      kernel.release();
    },
  );

  it('make a LoRA layer: output, dA, dB and dx', async () => {
    const gpu = await testGpu(subgroups);
    const [rows, inFeatures, outFeatures, rank, scale] = [37, 96, 64, 3, 2];
    const x = normals(6, rows * inFeatures);
    const dy = normals(7, rows * outFeatures);
    const lora = { a: normals(8, rank * inFeatures), b: normals(9, rank * outFeatures) };
    const wideIn = await createLowRank(gpu, { rank, width: inFeatures, scale });
    const wideOut = await createLowRank(gpu, { rank, width: outFeatures, scale });
    const span = new Span(gpu, 'lora');
    span.set(0, rows);
    const upload = (values: Float32Array) => gpu.upload('lora', values);
    const zeros = (count: number) => upload(new Float32Array(count));
    const b = {
      x: upload(x),
      dy: upload(dy),
      a: upload(lora.a),
      b: upload(lora.b),
      h: zeros(rows * rank),
      g: zeros(rows * rank),
      y: zeros(rows * outFeatures),
      dx: zeros(rows * inFeatures),
      da: zeros(rank * inFeatures),
      db: zeros(rank * outFeatures),
    };
    gpu.run([
      wideIn.bindDown({ x: b.x, m: b.a, h: b.h, span }),
      wideOut.bindUp({ h: b.h, m: b.b, y: b.y, span }),
      wideOut.bindDown({ x: b.dy, m: b.b, h: b.g, span }),
      wideIn.bindOuter({ h: b.g, x: b.x, g: b.da, span }),
      wideOut.bindOuter({ h: b.h, x: b.dy, g: b.db, span }),
      wideIn.bindUp({ h: b.g, m: b.a, y: b.dx, span }),
    ]);
    const wanted = loraGradientReference(x, dy, { ...lora, rank, scale });
    expect(
      relativeError(await gpu.readFloats(b.y), loraReference(x, { ...lora, rank, scale })),
    ).toBeLessThan(1e-5);
    expect(relativeError(await gpu.readFloats(b.da), wanted.da)).toBeLessThan(1e-5);
    expect(relativeError(await gpu.readFloats(b.db), wanted.db)).toBeLessThan(1e-5);
    expect(relativeError(await gpu.readFloats(b.dx), wanted.dx)).toBeLessThan(1e-5);
    gpu.release(...Object.values(b));
    span.release();
    wideIn.release();
    wideOut.release();
  });
});

it('the LoRA reference has the gradients of central differences', () => {
  const [rows, inFeatures, outFeatures, rank, scale] = [4, 7, 5, 2, 1.5];
  const x = normals(10, rows * inFeatures);
  const dy = normals(11, rows * outFeatures);
  const a = normals(12, rank * inFeatures);
  const b = normals(13, rank * outFeatures);
  const loss = (part: 'a' | 'b' | 'x') => (values: Float64Array) => {
    const at = { a, b, x, [part]: values };
    return loraReference(at.x, { a: at.a, b: at.b, rank, scale }).reduce(
      (sum, value, i) => sum + value * dy[i]!,
      0,
    );
  };
  const gradient = loraGradientReference(x, dy, { a, b, rank, scale });
  const check = (part: 'a' | 'b' | 'x', values: Float32Array, wanted: Float64Array) =>
    expect(
      relativeError(wanted, centralDifferences(loss(part), values, [...values.keys()])),
    ).toBeLessThan(1e-3);
  check('a', a, gradient.da);
  check('b', b, gradient.db);
  check('x', x, gradient.dx);
});

it('low-rank products refuse ranks and widths that cannot be', async () => {
  const gpu = await testGpu(true);
  await expect(createLowRank(gpu, { rank: 0, width: 4 })).rejects.toThrow(RangeError);
  await expect(createLowRank(gpu, { rank: MAX_RANK + 1, width: 4 })).rejects.toThrow(RangeError);
  await expect(createLowRank(gpu, { rank: 1, width: 0 })).rejects.toThrow(RangeError);
  await expect(createLowRank(gpu, { rank: 1, width: 4, scale: NaN })).rejects.toThrow(RangeError);
});
