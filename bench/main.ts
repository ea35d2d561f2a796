/**
 * `npm run bench -- [--suite step] [--repeats 5] [--json FILE]`: benchmarks of the engine in Node on
 * Dawn. Figures are medians of interleaved repeats in one process; what counts are their ratios.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { create, globals } from 'webgpu';
import { Engine } from '../src/engine/engine';
import { memorySource } from '../src/formats/byte-source';
import { Gpu } from '../src/kernels/gpu';
import { type Metric, type Suite, stepSuite } from './step';

const SUITES: Readonly<Record<string, Suite>> = { step: stepSuite };

async function loadPocket(gpu: Gpu): Promise<Engine> {
  const folder = 'public/models/pocket';
  const model = memorySource(new Uint8Array(await readFile(`${folder}/onnx/model_q4.onnx`)));
  const config: unknown = JSON.parse(await readFile(`${folder}/config.json`, 'utf8'));
  return Engine.load(gpu, { model, external: new Map() }, config);
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      suite: { type: 'string', default: 'step' },
      repeats: { type: 'string', default: '5' },
      json: { type: 'string' },
    },
  });
  const suite = SUITES[values.suite];
  const repeats = Number(values.repeats);
  if (!suite || !Number.isInteger(repeats) || repeats < 1) {
    console.error(`Suites: ${Object.keys(SUITES).join(', ')}; --repeats takes a whole number.`);
    return 2;
  }
  // Dawn goes down with its GPU object: something must hold it as long as devices live.
  const dawn = create([]);
  Object.assign(globalThis, globals, { dawn });
  const gpu = await Gpu.create(dawn);
  const engine = await loadPocket(gpu);
  const metrics: Metric[] = await suite(engine, repeats);
  const { vendor, device, description } = gpu.description;
  const environment = {
    adapter: [vendor, device, description].filter(Boolean).join(' '),
    node: process.version,
    commit: __COMMIT__,
    date: new Date().toISOString().slice(0, 10),
    command: `npm run bench -- --suite ${values.suite} --repeats ${repeats}`,
  };
  for (const { metric, value, unit, goal, direction } of metrics) {
    const against = goal === undefined ? '' : `  (${direction === 'lower' ? '≤' : '≥'} ${goal})`;
    console.log(`${metric.padEnd(44)} ${value.toFixed(3).padStart(10)} ${unit}${against}`);
  }
  if (values.json) {
    const report = { environment, suites: { [values.suite]: metrics } };
    await writeFile(values.json, `${JSON.stringify(report, null, 2)}\n`);
  }
  engine.destroy();
  return 0;
}

process.exit(await main());
