/** Runs suites in whatever host this is and collects what the launcher prints and writes. */
import { Gpu } from '../src/kernels/gpu/gpu';
import { firstStepSuite } from './suites/first-step';
import { growthSuite } from './suites/growth';
import { kernelsSuite } from './suites/kernels';
import { layersSuite } from './suites/layers';
import { memorySuite } from './suites/memory';
import { portabilitySuite } from './suites/portability';
import { scalingSuite } from './suites/scaling';
import { shapesSuite } from './suites/shapes';
import { stepSuite } from './suites/step';
import type { Bench, Host, Metric, Suite } from './types';

export const SUITES: Readonly<Record<string, Suite>> = {
  'first-step': firstStepSuite,
  step: stepSuite,
  kernels: kernelsSuite,
  layers: layersSuite,
  scaling: scalingSuite,
  memory: memorySuite,
  growth: growthSuite,
  portability: portabilitySuite,
  shapes: shapesSuite,
};

export interface PartialReport {
  environment: { adapter: string; software: boolean; peers: Record<string, string> };
  suites: Record<string, Metric[]>;
}

export async function runSuites(
  host: Host,
  options: { suites: readonly string[]; repeats: number },
): Promise<PartialReport> {
  const probe = await Gpu.create(host.gpu);
  const { vendor, architecture, device, description, isFallbackAdapter } = probe.description;
  probe.destroy();
  // Dawn in Node reports no fallback flag for every software driver.
  const adapter = [vendor, architecture, device, description].filter(Boolean).join(' ');
  const software = isFallbackAdapter || /swiftshader|llvmpipe|lavapipe/i.test(adapter);
  const bench: Bench = { host, repeats: options.repeats, software };
  const suites: Record<string, Metric[]> = {};
  for (const name of options.suites) {
    const suite = SUITES[name];
    if (!suite) throw new RangeError(`There is no suite "${name}".`);
    const start = performance.now();
    host.log(`${name} …`);
    suites[name] = await suite(bench);
    host.log(`${name}: ${((performance.now() - start) / 1000).toFixed(0)} s`);
  }
  return { environment: { adapter, software, peers: host.peers?.versions ?? {} }, suites };
}
