/** Medians of interleaved repeats, by the wall clock and by CPU time. */
import { encode, type Gpu, type Op } from '../src/kernels/gpu/gpu';
import type { Bench } from './types';

export interface Sample {
  /** Milliseconds by the wall clock. */
  wall: number;
  /** Milliseconds of CPU time, all threads. */
  cpu: number;
}

export function median(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError('There is no median of nothing.');
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export function medianSample(samples: readonly Sample[]): Sample {
  return { wall: median(samples.map((s) => s.wall)), cpu: median(samples.map((s) => s.cpu)) };
}

/** What counts: CPU time on a software adapter, where other processes take cores away. */
export function cost({ software }: Pick<Bench, 'software'>, sample: Sample): number {
  return software ? sample.cpu : sample.wall;
}

export async function timed({ host }: Bench, work: () => Promise<void>): Promise<Sample> {
  const cpu = await host.cpuSeconds();
  const start = performance.now();
  await work();
  const wall = performance.now() - start;
  return { wall, cpu: 1000 * ((await host.cpuSeconds()) - cpu) };
}

/**
 * Medians of `repeats` rounds in which every contestant runs once, in an order that turns from round
 * to round, so that slow spells of the machine meet all of them.
 */
export async function interleave(
  bench: Bench,
  contestants: ReadonlyMap<string, () => Promise<void>>,
  repeats = bench.repeats,
): Promise<(name: string) => Sample> {
  const samples = new Map([...contestants.keys()].map((name) => [name, [] as Sample[]]));
  const entries = [...contestants];
  for (let round = 0; round < repeats; round++) {
    for (let i = 0; i < entries.length; i++) {
      const [name, work] = entries[(i + round) % entries.length]!;
      samples.get(name)!.push(await timed(bench, work));
    }
  }
  return (name) => {
    const found = samples.get(name);
    if (!found) throw new RangeError(`Nothing named ${name} was timed.`);
    return medianSample(found);
  };
}

/** What a graphics card needs to come to full speed from idle, ms. */
const WAKE_MS = 500;

/** Shortest time that a sample of kernels takes, ms: /proc counts CPU time in steps of 10 ms. */
const SAMPLE_MS = 250;

/**
 * Medians of milliseconds of one run of each list of dispatches: CPU time on software; on hardware
 * by timestamps where the device has them, else by the wall clock.
 */
export async function timeOps(
  bench: Bench,
  gpu: Gpu,
  lists: ReadonlyMap<string, readonly Op[]>,
): Promise<ReadonlyMap<string, number>> {
  const { queue } = gpu.device;
  const stamps = !bench.software && gpu.device.features.has('timestamp-query');
  const submit = async (ops: readonly Op[], times: number) => {
    gpu.run(Array.from({ length: times }, () => ops).flat(), 'bench');
    await queue.onSubmittedWorkDone();
  };
  const times = new Map<string, number>();
  const woken = performance.now() + (bench.software ? 0 : WAKE_MS);
  for (const ops of lists.values()) while (performance.now() < woken) await submit(ops, 8);
  for (const [name, ops] of lists) {
    await submit(ops, 2);
    const { wall } = await timed(bench, () => submit(ops, 2));
    const wanted = bench.software ? SAMPLE_MS : SAMPLE_MS / 10;
    times.set(name, Math.max(1, Math.min(2000, Math.ceil((2 * wanted) / Math.max(wall, 0.01)))));
  }
  const samples = new Map([...lists.keys()].map((name) => [name, [] as number[]]));
  for (let round = 0; round < bench.repeats; round++) {
    for (const [name, ops] of lists) {
      const count = times.get(name)!;
      const milliseconds = stamps
        ? await stampedMilliseconds(gpu, ops, count)
        : cost(bench, await timed(bench, () => submit(ops, count)));
      samples.get(name)!.push(milliseconds / count);
    }
  }
  return new Map([...samples].map(([name, values]) => [name, median(values)]));
}

async function stampedMilliseconds(gpu: Gpu, ops: readonly Op[], times: number): Promise<number> {
  const { device } = gpu;
  const querySet = device.createQuerySet({ type: 'timestamp', count: 2 });
  // QUERY_RESOLVE | COPY_SRC
  const resolved = device.createBuffer({ size: 16, usage: 0x200 | 0x04 });
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass({
    timestampWrites: { querySet, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 },
  });
  for (let i = 0; i < times; i++) for (const op of ops) encode(pass, op);
  pass.end();
  encoder.resolveQuerySet(querySet, 0, 2, resolved, 0);
  device.queue.submit([encoder.finish()]);
  const [start, end] = new BigUint64Array(await gpu.read(resolved, 16));
  querySet.destroy();
  resolved.destroy();
  return Number(end! - start!) / 1e6;
}
