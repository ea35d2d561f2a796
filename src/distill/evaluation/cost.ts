/**
 * What each system costs on this device beyond the student itself: bytes, rows of prefill, time to
 * the first token and tokens a second, measured in turns in one run so that drift hits all alike.
 */
import { generateWith, type Adaptation } from '../adapters/adaptation';
import type { ChatTokenizer } from '../data/chat';
import type { Domain } from '../data/dataset';
import type { StudentEngine } from '../engine-port';
import type { GuardCase } from '../target/guard-case';
import { quantile } from '../statistics/statistics';
import type { Guard, Spread, SystemCost, SystemName } from '../types';
import { systemText } from './input';

export interface CostInput {
  /** Asked in turn, one at a time; a few do. */
  prompts: readonly string[];
  systems: readonly SystemName[];
  adaptation: Adaptation;
  /** Said to the adapter system in the system role, where it is a written preamble. */
  adapterSystem?: string;
  /** Values that the adapter consists of, where `adaptation` holds gaps or what they unfold to. */
  storedValues?: number;
  guardCase: GuardCase['kind'];
  /** Bytes of the weights of the student and of the guard's files. */
  studentBytes: number;
  guardBytes: number;
  /** Every answer is this long, whatever it says. */
  newTokens: number;
  /** Rounds over all prompts and systems; a first one besides warms up. */
  rounds: number;
}

export interface CostDeps {
  engine: StudentEngine;
  chat: ChatTokenizer;
  guard: Guard;
  domain: Domain;
  /** Milliseconds from some fixed moment. */
  clock: () => number;
}

interface Samples {
  first: number[];
  cached: number[];
  guard: number[];
  rate: number[];
}

/**
 * @throws RangeError without prompts, rounds or tokens; the signal's reason when aborted
 */
export async function measureCost(
  input: CostInput,
  deps: CostDeps,
  signal?: AbortSignal,
): Promise<Partial<Record<SystemName, SystemCost>>> {
  const { prompts, systems, rounds, newTokens } = input;
  if (prompts.length === 0 || rounds < 1 || newTokens < 2) {
    throw new RangeError('A cost needs prompts, rounds and answers of two tokens.');
  }
  const samples = new Map(
    systems.map((name): [SystemName, Samples] => [
      name,
      { first: [], cached: [], guard: [], rate: [] },
    ]),
  );
  for (let round = 0; round <= rounds; round++) {
    for (const prompt of prompts) {
      for (const name of systems) {
        signal?.throwIfAborted();
        const times = await timed(name, prompt, input, deps);
        if (round === 0) continue;
        const of = samples.get(name)!;
        of.first.push(times.first);
        of.cached.push(times.cached);
        of.rate.push(times.rate);
        if (times.guard !== null) of.guard.push(times.guard);
      }
    }
  }
  return Object.fromEntries(
    [...samples].map(([name, of]): [SystemName, SystemCost] => {
      const bytes = bytesOf(name, input, deps);
      return [
        name,
        {
          bytes,
          share: bytes.f16 / input.studentBytes,
          prefillRows: prefillRows(name, input, deps),
          firstToken: spread(of.first),
          cachedFirstToken: spread(of.cached),
          guard: of.guard.length > 0 ? spread(of.guard) : null,
          tokensPerSecond: spread(of.rate),
        },
      ];
    }),
  );
}

/** Prompts of a batch whose second half shows what one prompt more takes. */
const BATCH = 16;

async function timed(name: SystemName, prompt: string, input: CostInput, deps: CostDeps) {
  const { engine, chat, guard, clock } = deps;
  const tokens = conditioned(name, prompt, input, deps);
  const answer = async (count: number, maxNewTokens: number) => {
    const start = clock();
    const [first] = await engine.generate(
      Array.from({ length: count }, (_, stream) => ({ prompt: tokens, stream })),
      {
        ...(name === 'adapter' ? generateWith(input.adaptation) : {}),
        temperature: 0,
        seed: 0,
        maxNewTokens,
        // No token has this id, so that every answer has its full length.
        stopTokens: [],
      },
    );
    return { milliseconds: clock() - start, tokens: first!.tokens };
  };
  const one = await answer(1, 1);
  const half = await answer(BATCH / 2, 1);
  const whole = await answer(BATCH, 1);
  const long = await answer(1, input.newTokens);
  const decoding = Math.max(Number.EPSILON, long.milliseconds - one.milliseconds);
  let [first, cached] = [
    one.milliseconds,
    (whole.milliseconds - half.milliseconds) / (BATCH - BATCH / 2),
  ];
  let guarding: number | null = null;
  if (name === 'guarded') {
    const response = input.guardCase === 'response' ? chat.decode(long.tokens) : undefined;
    const start = clock();
    await guard.score([{ prompt, ...(response !== undefined && { response }) }]);
    guarding = clock() - start;
    // The first token of an answer that a guard must read is out when all of it is.
    const waiting = guarding + (response === undefined ? 0 : decoding);
    first += waiting;
    cached += waiting;
  }
  return { first, cached, guard: guarding, rate: (1000 * (input.newTokens - 1)) / decoding };
}

function conditioned(
  name: SystemName,
  user: string,
  { adapterSystem }: CostInput,
  { chat, domain }: CostDeps,
): number[] {
  const system = systemText(name, domain, adapterSystem);
  return chat.encodeChat({ user, ...(system !== undefined && { system }) });
}

function bytesOf(name: SystemName, input: CostInput, { domain }: CostDeps): SystemCost['bytes'] {
  const same = (bytes: number) => ({ f32: bytes, f16: bytes });
  const text = (value: string) => same(new TextEncoder().encode(value).length);
  switch (name) {
    case 'base':
      return same(0);
    case 'preamble':
      return text(domain.preamble);
    case 'guarded':
      return same(input.guardBytes);
    case 'adapter': {
      const { adaptation, adapterSystem } = input;
      if (adaptation === null) return text(adapterSystem ?? '');
      const count = input.storedValues ?? adaptation.values.length;
      return { f32: 4 * count, f16: 2 * count };
    }
  }
}

function prefillRows(name: SystemName, input: CostInput, deps: CostDeps) {
  const lengths = input.prompts.map((prompt) => conditioned(name, prompt, input, deps).length);
  const every = lengths.reduce((sum, length) => sum + length, 0) / lengths.length;
  const soft = name === 'adapter' && input.adaptation?.kind === 'soft-prompt';
  return { every, once: soft ? input.adaptation!.values.length / deps.engine.dim : 0 };
}

function spread(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (q: number) => quantile(sorted, q);
  return { median: at(0.5), low: at(0.25), high: at(0.75), n: values.length };
}
