/** Matrix products of the step on their own: int4 against f32, and against the FMA ceiling. */
import {
  createLoopedCeiling,
  createPlainCeiling,
  createRegisterCeiling,
} from '../../src/kernels/linear/fma.ceiling';
import { Gpu, type Op, Span } from '../../src/kernels/gpu/gpu';
import { createLinearDense } from '../../src/kernels/linear/linear-dense';
import { createLinearInt4 } from '../../src/kernels/linear/linear-int4';
import { normals, random } from '../../src/kernels/gpu/testing';
import { timeOps } from '../clock';
import { TOY, TOY_TASK, type ToyShape } from '../toy';
import type { Bench, Metric, Suite } from '../types';

/** Rows of dX products against f32. */
const ROWS = [32, 64, 128, 256];

/** [inFeatures, outFeatures] of a layer's products, and how many it has. */
export function layerShapes(
  shape: ToyShape,
): readonly (readonly [inputs: number, outputs: number, count: number])[] {
  const { dim, heads, kvHeads, headDim, ffnDim } = shape;
  return [
    [dim, heads * headDim, 2],
    [dim, kvHeads * headDim, 2],
    [dim, ffnDim, 2],
    [ffnDim, dim, 1],
  ];
}

/** Operations of a layer's products at `rows` rows, one way. */
export function layerFlops(shape: ToyShape, rows: number): number {
  return layerShapes(shape).reduce((sum, [k, n, count]) => sum + 2 * rows * k * n * count, 0);
}

const { dim, vocabSize } = TOY;
const LAYER_SHAPES = layerShapes(TOY);

interface Products {
  forward: Op;
  /** dX by int4 weights, and by f32 weights in both layouts. */
  backward: Op;
  dense: Op[];
  release(): void;
}

/** One linear layer with random weights at `rows` rows. */
export async function createProducts(
  gpu: Gpu,
  rows: number,
  inputs: number,
  outputs: number,
  withDense: boolean,
): Promise<Products> {
  const span = new Span(gpu, 'bench');
  span.set(0, rows);
  const next = random(3);
  const weight = {
    data: gpu.upload(
      'bench data',
      Uint32Array.from({ length: (outputs * inputs) / 8 }, () => next() * 2 ** 32),
    ),
    scales: gpu.upload('bench scales', normals(1, (outputs * inputs) / 32)),
  };
  const x = gpu.upload('bench x', normals(3, rows * inputs));
  const dy = gpu.upload('bench dy', normals(4, rows * outputs));
  const y = gpu.storage('bench y', rows * outputs * 4);
  const dx = gpu.storage('bench dx', rows * inputs * 4);
  const sizes = { inFeatures: inputs, outFeatures: outputs };
  const int4 = await createLinearInt4(gpu, { ...sizes, variants: ['forward', 'backward'] });
  const owned = [weight.data, weight.scales, x, dy, y, dx];
  const dense: Op[] = [];
  const kernels: { release(): void }[] = [int4];
  if (withDense) {
    const data = gpu.upload('bench dense', normals(2, outputs * inputs));
    owned.push(data);
    for (const layout of ['out_in', 'in_out'] as const) {
      const kernel = await createLinearDense(gpu, { ...sizes, layout, variants: ['backward'] });
      kernels.push(kernel);
      dense.push(kernel.bindBackward({ dy, weight: { data }, dx, accumulate: false, span }));
    }
  }
  return {
    forward: int4.bindForward({ x, weight, y, span }),
    backward: int4.bindBackward({ dy, weight, dx, accumulate: false, span }),
    dense,
    release() {
      for (const kernel of kernels) kernel.release();
      gpu.release(...owned);
      span.release();
    },
  };
}

/** The same sum of dX products over the toy's layer shapes, by int4 and by f32 weights. */
async function compareWithDense(bench: Bench, gpu: Gpu): Promise<Metric[]> {
  const metrics: Metric[] = [];
  for (const rows of ROWS) {
    const made = await Promise.all(
      LAYER_SHAPES.map(([inputs, outputs]) => createProducts(gpu, rows, inputs, outputs, true)),
    );
    const lists = new Map<string, readonly Op[]>([
      ['int4', made.map(({ backward }) => backward)],
      ['out_in', made.map(({ dense }) => dense[0]!)],
      ['in_out', made.map(({ dense }) => dense[1]!)],
    ]);
    const times = await timeOps(bench, gpu, lists);
    for (const products of made) products.release();
    const dense = Math.min(times.get('out_in')!, times.get('in_out')!);
    metrics.push({
      metric: `dX at M = ${rows}: speed of int4 ÷ f32 (its better layout)`,
      value: dense / times.get('int4')!,
      unit: '×',
      goal: 0.95,
      direction: 'higher',
    });
  }
  return metrics;
}

/** GEMMs of the toy's step: their share of the FMA ceilings, measured between them. */
async function compareWithCeiling(bench: Bench, gpu: Gpu): Promise<Metric[]> {
  const rows = TOY_TASK.virtualTokens + TOY_TASK.batch * TOY_TASK.textTokens;
  const lossRows = TOY_TASK.batch * (TOY_TASK.textTokens - TOY_TASK.promptTokens + 1);
  const layers = await Promise.all(
    LAYER_SHAPES.map(([inputs, outputs]) => createProducts(gpu, rows, inputs, outputs, false)),
  );
  const head = await createProducts(gpu, lossRows, dim, vocabSize, false);
  const ceiling = await createLoopedCeiling(gpu);
  const registers = await createRegisterCeiling(gpu);
  const plain = await createPlainCeiling(gpu);
  const repeated = (of: (products: Products) => Op) =>
    LAYER_SHAPES.flatMap(([, , count], i) => Array<Op>(count).fill(of(layers[i]!)));
  const lists = new Map<string, readonly Op[]>([
    ['ceiling', [ceiling.op]],
    ['registers', [registers.op]],
    ['plain', [plain.op]],
    ['layer forward', repeated(({ forward }) => forward)],
    ['layer dX', repeated(({ backward }) => backward)],
    ['head forward', [head.forward]],
    ['head dX', [head.backward]],
  ]);
  const times = await timeOps(bench, gpu, lists);
  const oneWay = layerFlops(TOY, rows);
  const headFlops = 2 * lossRows * dim * vocabSize;
  const limit = ceiling.flops / times.get('ceiling')!;
  const plainLimit = plain.flops / times.get('plain')!;
  const share = (flops: number, milliseconds: number) => (100 * flops) / milliseconds / limit;
  const layersOnce = times.get('layer forward')! + times.get('layer dX')!;
  const headOnce = 2 * times.get('head forward')! + times.get('head dX')!;
  const all = share(TOY.layers * 2 * oneWay + 3 * headFlops, TOY.layers * layersOnce + headOnce);
  const per = bench.software ? 'GFLOP/CPU s' : 'GFLOP/s';
  const metrics: Metric[] = [
    { metric: 'FMA ceiling, plain loop', value: plainLimit / 1e6, unit: per },
    { metric: 'FMA ceiling, looped', value: limit / 1e6, unit: per },
    {
      metric: 'FMA ceiling, registers',
      value: registers.flops / times.get('registers')! / 1e6,
      unit: per,
    },
    ...(['forward', 'dX'] as const).flatMap((way) => [
      {
        metric: `layer GEMMs, M = ${rows}, ${way}: share of the looped ceiling`,
        value: share(oneWay, times.get(`layer ${way}`)!),
        unit: '%',
      },
      {
        metric: `head GEMM, M = ${lossRows}, ${way}: share of the looped ceiling`,
        value: share(headFlops, times.get(`head ${way}`)!),
        unit: '%',
      },
    ]),
    { metric: 'all GEMMs of the toy step: share of the looped ceiling', value: all, unit: '%' },
    {
      metric: 'all GEMMs of the toy step: share of the plain loop',
      value: (all * limit) / plainLimit,
      unit: '%',
      goal: 55,
      direction: 'higher',
    },
  ];
  for (const products of [...layers, head]) products.release();
  ceiling.release();
  registers.release();
  plain.release();
  return metrics;
}

export const kernelsSuite: Suite = async (bench) => {
  const gpu = await Gpu.create(bench.host.gpu, { timestamps: true });
  const metrics = [
    ...(await compareWithDense(bench, gpu)),
    ...(await compareWithCeiling(bench, gpu)),
  ];
  gpu.destroy();
  return metrics;
};
