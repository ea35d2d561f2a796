/**
 * GFLOP/s of the linear kernels and their share of what multiply-adds alone reach in the same process
 * (fma.ceiling.ts: registers / looped / the 16 x 16 tile), so that figures compare across machines.
 *
 *   npx vitest bench --run --project dawn src/kernels/linear/linear.bench.ts      (Node on Dawn)
 *   npx vitest bench --run --project browser src/kernels/linear/linear.bench.ts   (Chromium)
 */
import { bench } from 'vitest';
import { createLoopedCeiling, createRegisterCeiling, createTileCeiling } from './fma.ceiling';
import { Gpu, Span, type Op } from '../gpu/gpu';
import { createLinearDense } from './linear-dense';
import { createLinearInt4 } from './linear-int4';
import { normals, random } from '../gpu/testing';

/** [rows, K, N]: a packed training batch, its head, decoding 64 sequences, decoding one. */
const SHAPES: readonly (readonly [number, number, number])[] = [
  [900, 128, 128],
  [900, 128, 64],
  [900, 128, 384],
  [900, 384, 128],
  [576, 128, 2048],
  [64, 128, 128],
  [64, 384, 128],
  [64, 128, 2048],
  [1, 128, 128],
  [1, 128, 2048],
];

/** Milliseconds that one of `op` takes: the best of four rounds of about 30 ms. */
async function milliseconds(gpu: Gpu, op: Op): Promise<number> {
  const time = async (repeats: number) => {
    const start = performance.now();
    gpu.run(Array.from({ length: repeats }, () => op));
    await gpu.device.queue.onSubmittedWorkDone();
    return performance.now() - start;
  };
  await time(2);
  const repeats = Math.max(1, Math.min(400, Math.round(30 / (await time(1)))));
  let best = Infinity;
  for (let round = 0; round < 4; round++) best = Math.min(best, (await time(repeats)) / repeats);
  return best;
}

/** Prints one line a shape: forward and backward of int4 and of dense weights. */
export async function benchLinear(gpu: Gpu, log: (line: string) => void): Promise<void> {
  const ceilings = [
    await createRegisterCeiling(gpu),
    await createLoopedCeiling(gpu),
    await createTileCeiling(gpu, { rows: 16, columns: 16, lanes: 4, quads: gpu.subgroups }),
  ];
  const span = new Span(gpu, 'bench');
  const { vendor, architecture, subgroups } = gpu.description;
  log(`${vendor} ${architecture}, subgroups ${subgroups ? 'on' : 'off'}`);
  const compileStart = performance.now();
  for (const [rows, k, n] of SHAPES) {
    span.set(0, rows);
    const next = random(3);
    const weight = {
      data: gpu.upload(
        'data',
        Uint32Array.from({ length: (n * k) / 8 }, () => next() * 2 ** 32),
      ),
      scales: gpu.upload('scales', normals(1, (n * k) / 32)),
    };
    const dense = { data: gpu.upload('dense', normals(2, n * k)) };
    const x = gpu.upload('x', normals(3, rows * k));
    const dy = gpu.upload('dy', normals(4, rows * n));
    const y = gpu.storage('y', rows * n * 4);
    const dx = gpu.storage('dx', rows * k * 4);
    const sizes = { inFeatures: k, outFeatures: n };
    const int4 = await createLinearInt4(gpu, sizes);
    const outIn = await createLinearDense(gpu, { ...sizes, layout: 'out_in' });
    const inOut = await createLinearDense(gpu, { ...sizes, layout: 'in_out' });
    const ops: [string, Op][] = [
      ['int4', int4.bindForward({ x, weight, y, span })],
      ['int4 dX', int4.bindBackward({ dy, weight, dx, accumulate: false, span })],
      ['out_in', outIn.bindForward({ x, weight: dense, y, span })],
      ['out_in dX', outIn.bindBackward({ dy, weight: dense, dx, accumulate: false, span })],
      ['in_out', inOut.bindForward({ x, weight: dense, y, span })],
      ['in_out dX', inOut.bindBackward({ dy, weight: dense, dx, accumulate: false, span })],
    ];
    const limits: number[] = [];
    for (const { op, flops } of ceilings) limits.push(flops / 1e6 / (await milliseconds(gpu, op)));
    const share = (gflops: number) =>
      limits.map((limit) => Math.round((100 * gflops) / limit)).join(' / ');
    const cells: string[] = [];
    for (const [name, op] of ops) {
      const gflops = (2 * rows * k * n) / 1e6 / (await milliseconds(gpu, op));
      cells.push(`${name} ${gflops.toFixed(1)} (${share(gflops)} %)`);
    }
    const reached = limits.map((limit) => limit.toFixed(1)).join(' / ');
    log(`M ${rows} K ${k} N ${n}, ceilings ${reached}: ${cells.join(', ')}`);
    for (const kernel of [int4, outIn, inOut]) kernel.release();
    gpu.release(weight.data, weight.scales, dense.data, x, dy, y, dx);
  }
  const seconds = (performance.now() - compileStart) / 1000;
  log(`${gpu.pipelineCount} pipelines, ${seconds.toFixed(1)} s in all`);
}

for (const subgroups of [true, false]) {
  bench(
    `linear layers, subgroups ${subgroups ? 'on' : 'off'}`,
    async () => {
      const gpu = await Gpu.create(navigator.gpu, { subgroups });
      await benchLinear(gpu, (line) => console.log(line));
      gpu.destroy();
    },
    { iterations: 1, time: 0, warmupIterations: 0, warmupTime: 0 },
  );
}
