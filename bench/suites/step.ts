/**
 * One training step, ours in int4 against peers in f32, on the same teacher input and positions. A
 * peer's time counts only when its gradient agrees with ours; ours is held against PyTorch's float64.
 */
import type { Engine } from '../../src/engine/engine';
import { relativeError } from '../../src/kernels/gpu/testing';
import { cost, interleave } from '../clock';
import {
  denseModel,
  loadStudent,
  peerTask,
  pocketStudent,
  setUpTraining,
  type StudentFiles,
  toyStudent,
} from '../student';
import { TOY, TOY_TASK, toyModel, type ToyTask, toyTokens } from '../toy';
import type { Bench, Host, Metric, PeerSession, Suite } from '../types';
import { pocketPhases } from './pocket';

/** f32 against f32, other orders of summation, a sign in TV's gradient that may flip on ties. */
const PEER_TOLERANCE = 1e-3;
const GOLDEN_TOLERANCE = 1e-4;

/** Longest that a peer may take to load, compile and give its first result. */
const OPEN_MS = 5 * 60_000;

/** 16 sequences of 20 prompt and 24 response tokens without padding: what suits peers best. */
const POCKET_TASK: ToyTask = { virtualTokens: 16, batch: 16, textTokens: 44, promptTokens: 20 };

interface Case {
  name: string;
  task: ToyTask;
  objective: 'tv' | 'kl';
  /** Ratios that ours must reach, by the peer's name. */
  goals: Readonly<Record<string, number>>;
  /** Folder of PyTorch's float64 gradient, where there is one. */
  golden?: string;
}

const GOALS = { 'jax-js f32': 0.45, 'tfjs f32 (WebGPU)': 0.12 };

async function goldenError(bench: Bench, path: string, gradient: Float32Array): Promise<number> {
  const bytes = await bench.host.file(path);
  return relativeError(gradient, new Float32Array(bytes.buffer));
}

/** What `open` gives; null, with a line in the log, where it fails or its backend is not there. */
async function attempt<T>(
  { log }: Host,
  name: string,
  open: () => Promise<T | null>,
): Promise<T | null> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const tooLong = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('no answer in time')), OPEN_MS);
  });
  try {
    const opened = await Promise.race([open(), tooLong]);
    if (opened === null) log(`${name} has no backend here.`);
    return opened;
  } catch (error) {
    log(`${name} failed: ${String(error)}`);
    return null;
  } finally {
    clearTimeout(timer);
  }
}

async function compareSteps(
  bench: Bench,
  engine: Engine,
  student: StudentFiles,
  { name, task, objective, goals, golden }: Case,
): Promise<Metric[]> {
  const { host } = bench;
  const setup = await setUpTraining(engine, task, objective);
  const own = await setup.trainer.gradient(setup.batch);
  const metrics: Metric[] = [];
  if (golden) {
    metrics.push({
      metric: `${name}: our gradient against PyTorch in float64`,
      value: await goldenError(bench, `${golden}-${objective}.f32`, own.gradient),
      unit: 'rel',
      goal: GOLDEN_TOLERANCE,
      direction: 'lower',
    });
  }
  await setup.step();
  const contestants = new Map([['ours int4', setup.step]]);
  const sessions: PeerSession[] = [];
  if (host.peers) {
    const given = await peerTask(engine, await denseModel(student), setup, task, objective);
    for (const peer of host.peers.train) {
      host.log(`${name}: ${peer.name} …`);
      // A library that fails here must not take our own figures with it.
      const opened = await attempt(host, `${name}: ${peer.name}`, async () => {
        const session = await peer.open(given);
        return session && { session, gradient: (await session.gradient()).gradient };
      });
      if (!opened) continue;
      const { session, gradient } = opened;
      sessions.push(session);
      const error = relativeError(gradient, own.gradient);
      metrics.push({
        metric: `${name}: gradient of ${peer.name} against ours`,
        value: error,
        unit: 'rel',
        goal: PEER_TOLERANCE,
        direction: 'lower',
      });
      if (!(error <= PEER_TOLERANCE)) {
        host.log(`${name}: ${peer.name} computes something else (${error}): no time counts.`);
        continue;
      }
      await session.step();
      contestants.set(peer.name, () => session.step());
    }
  }
  host.log(`${name}: ${[...contestants.keys()].join(', ')} …`);
  const result = await interleave(bench, contestants);
  const ours = cost(bench, result('ours int4'));
  for (const contestant of contestants.keys()) {
    const { wall, cpu } = result(contestant);
    metrics.push({ metric: `${name}: ${contestant}`, value: wall, unit: 'ms' });
    if (bench.software) {
      metrics.push({ metric: `${name}: ${contestant}, CPU`, value: cpu / 1000, unit: 'CPU s' });
    }
  }
  for (const contestant of contestants.keys()) {
    if (contestant === 'ours int4') continue;
    const goal = goals[contestant];
    metrics.push({
      metric: `${name}: ours ÷ ${contestant}`,
      value: ours / cost(bench, result(contestant)),
      unit: '×',
      ...(goal === undefined ? {} : { goal, direction: 'lower' as const }),
    });
  }
  for (const session of sessions) await session.dispose();
  setup.trainer.destroy();
  return metrics;
}

/** Forward pass of 128 tokens with logits at all of them, against onnxruntime-web. */
async function compareForward(bench: Bench, engine: Engine): Promise<Metric[]> {
  const { host } = bench;
  if (!host.peers) return [];
  const toy = toyModel();
  const tokens = toyTokens(TOY.vocabSize, 9, 129);
  const input = tokens.slice(0, 128);
  const scored = [{ prompt: tokens.slice(0, 1), path: tokens.slice(1) }];
  const expected = await engine.logits(input);
  const ours = async () => {
    await engine.score(scored);
  };
  await ours();
  const contestants = new Map([['ours int4', ours]]);
  const metrics: Metric[] = [];
  const disposals: (() => Promise<void>)[] = [];
  const data = await toy.data();
  for (const peer of host.peers.forward) {
    host.log(`forward: ${peer.name} …`);
    const { graph, dataFile } = toy;
    const opened = await attempt(host, `forward: ${peer.name}`, async () => {
      const session = await peer.open({ graph, dataFile, data, ...TOY });
      return session && { session, logits: await session.logits(input) };
    });
    if (!opened) continue;
    const { session } = opened;
    disposals.push(() => session.dispose());
    const error = relativeError(opened.logits, expected);
    metrics.push({
      metric: `toy forward: logits of ${peer.name} against ours`,
      value: error,
      unit: 'rel',
    });
    if (!(error <= PEER_TOLERANCE)) {
      host.log(`forward: ${peer.name} computes something else (${error}): no time counts.`);
      continue;
    }
    await session.run(input);
    contestants.set(peer.name, () => session.run(input));
  }
  const result = await interleave(bench, contestants);
  for (const name of contestants.keys()) {
    const { wall, cpu } = result(name);
    metrics.push({ metric: `toy forward: ${name}`, value: wall, unit: 'ms' });
    if (bench.software) {
      metrics.push({ metric: `toy forward: ${name}, CPU`, value: cpu / 1000, unit: 'CPU s' });
    }
    if (name === 'ours int4') continue;
    const value = cost(bench, result('ours int4')) / cost(bench, result(name));
    metrics.push({ metric: `toy forward: ours ÷ ${name}`, value, unit: '×' });
  }
  for (const dispose of disposals) await dispose();
  return metrics;
}

export const stepSuite: Suite = async (bench) => {
  const metrics: Metric[] = [];
  const toy = toyStudent();
  let engine = await loadStudent(bench, toy);
  for (const objective of ['tv', 'kl'] as const) {
    metrics.push(
      ...(await compareSteps(bench, engine, toy, {
        name: `toy ${objective.toUpperCase()}`,
        task: TOY_TASK,
        objective,
        goals: GOALS,
        golden: 'bench/golden/toy',
      })),
    );
  }
  metrics.push(...(await compareForward(bench, engine)));
  engine.destroy();
  const pocket = await pocketStudent(bench);
  engine = await loadStudent(bench, pocket);
  const name = 'pocket TV, 16 sequences';
  const pocketCase: Case = { name, task: POCKET_TASK, objective: 'tv', goals: {} };
  metrics.push(...(await compareSteps(bench, engine, pocket, pocketCase)));
  metrics.push(...(await pocketPhases(bench, engine)));
  engine.destroy();
  return metrics;
};
