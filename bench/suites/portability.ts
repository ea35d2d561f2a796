/** The same gradient whatever the adapter offers: subgroups, f16, small bindings. */
import { relativeError } from '../../src/kernels/gpu/testing';
import type { GpuOptions } from '../../src/kernels/gpu/gpu';
import { loadStudent, setUpTraining, toyStudent } from '../student';
import { TOY, TOY_TASK, type ToyShape, type ToyTask } from '../toy';
import type { Bench, Metric, Suite } from '../types';

const SMALL_BINDING = 128 * 2 ** 20;

/** A table of 140,000 × 256 floats: 143 MB, more than a small binding holds. */
const LARGE_TABLE: ToyShape = { ...TOY, layers: 1, vocabSize: 140_000 };
const SHORT: ToyTask = { virtualTokens: 8, batch: 1, textTokens: 16, promptTokens: 9 };

/** Rounding in other orders; a wrong reduction is off by far more. */
const TOLERANCE = 1e-5;

/** The adapter of `gpu` as if it bound no more than `bytes` at a time. */
export function withSmallBindings(gpu: GPU, bytes: number): GPU {
  const requestAdapter: GPU['requestAdapter'] = async (options) => {
    const adapter = await gpu.requestAdapter(options);
    if (!adapter) return null;
    const limits = new Proxy(adapter.limits, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name, target);
        return name === 'maxStorageBufferBindingSize' || name === 'maxBufferSize'
          ? Math.min(Number(value), name === 'maxBufferSize' ? 2 * bytes : bytes)
          : value;
      },
    });
    return new Proxy(adapter, {
      get(target, name) {
        if (name === 'limits') return limits;
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    });
  };
  return new Proxy(gpu, {
    get(target, name) {
      if (name === 'requestAdapter') return requestAdapter;
      return Reflect.get(target, name, target) as unknown;
    },
  });
}

async function gradientOn(
  bench: Bench,
  shape: ToyShape,
  task: ToyTask,
  options: GpuOptions & { adapter?: GPU } = {},
) {
  const engine = await loadStudent(bench, toyStudent(shape), options);
  // KL: the sign in TV's gradient flips where both distributions agree to rounding.
  const setup = await setUpTraining(engine, task, 'kl');
  const { gradient } = await setup.trainer.gradient(setup.batch);
  const { description } = engine.gpu;
  engine.destroy();
  return { gradient, description };
}

export const portabilitySuite: Suite = async (bench) => {
  const metrics: Metric[] = [];
  const against = (name: string, error: number) =>
    metrics.push({
      metric: `gradient, ${name}`,
      value: error,
      unit: 'rel',
      goal: TOLERANCE,
      direction: 'lower',
    });
  const usual = await gradientOn(bench, TOY, TOY_TASK);
  const { subgroups, subgroupMinSize, subgroupMaxSize, f16 } = usual.description;
  metrics.push(
    { metric: 'subgroup size, smallest', value: subgroups ? subgroupMinSize : 0, unit: '' },
    { metric: 'subgroup size, largest', value: subgroups ? subgroupMaxSize : 0, unit: '' },
    { metric: 'shader-f16 offered (1 = yes)', value: Number(f16), unit: '' },
  );
  if (subgroups) {
    const without = await gradientOn(bench, TOY, TOY_TASK, { subgroups: false });
    against('subgroups off against on', relativeError(without.gradient, usual.gradient));
  } else {
    bench.host.log('portability: this adapter has no subgroups.');
  }
  const large = await gradientOn(bench, LARGE_TABLE, SHORT);
  const adapter = withSmallBindings(bench.host.gpu, SMALL_BINDING);
  const fits: Metric = {
    metric: 'a table of 143 MB with bindings of 128 MiB trains (1 = yes)',
    value: 0,
    unit: '',
    goal: 1,
    direction: 'higher',
  };
  metrics.push(fits);
  try {
    const split = await gradientOn(bench, LARGE_TABLE, SHORT, { adapter });
    const { maxStorageBufferBindingSize } = split.description;
    if (maxStorageBufferBindingSize !== SMALL_BINDING) throw new Error('The limit did not hold.');
    fits.value = 1;
    against('bindings of 128 MiB against large', relativeError(split.gradient, large.gradient));
  } catch (error) {
    bench.host.log(`portability: bindings of 128 MiB: ${String(error)}`);
  }
  return metrics;
};
