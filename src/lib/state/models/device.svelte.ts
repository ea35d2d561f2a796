/** Asks the browser what this device can do. Opens no device and loads no model by itself. */
import { DEFAULT_RECIPE } from '../../../distill/train/recipe';
import type { DeviceFacts, Speed } from './capabilities';
import { problemOf, type Problem } from '../errors';
import { session } from './session.svelte';

/** Seconds of a default run × tokens/s of decoding: the same kernels bound both. */
const RUN_TOKENS = 1_000 * DEFAULT_RECIPE.steps;
const SPEED_PROMPTS = 32;

async function storageFacts(): Promise<Pick<DeviceFacts, 'storage' | 'persisted'>> {
  try {
    const [{ quota, usage }, persisted] = await Promise.all([
      navigator.storage.estimate(),
      navigator.storage.persisted(),
    ]);
    return {
      storage: quota === undefined ? null : { quota, usage: usage ?? 0 },
      persisted,
    };
  } catch {
    return { storage: null, persisted: false };
  }
}

async function readFacts(): Promise<DeviceFacts> {
  const gpu = (navigator as { gpu?: GPU }).gpu;
  const adapter = (await gpu?.requestAdapter({ powerPreference: 'high-performance' })) ?? null;
  const { vendor = '', architecture = '', description = '' } = adapter?.info ?? {};
  const name = [vendor, architecture, description].filter(Boolean).join(' ');
  return {
    webgpu: !gpu ? 'absent' : adapter ? 'ready' : 'no-adapter',
    adapter: name,
    software: adapter?.info.isFallbackAdapter === true || /swiftshader|llvmpipe/i.test(name),
    f16: adapter?.features.has('shader-f16') ?? false,
    subgroups: adapter?.features.has('subgroups') ?? false,
    maxBufferSize: adapter?.limits.maxBufferSize ?? 0,
    maxStorageBufferBindingSize: adapter?.limits.maxStorageBufferBindingSize ?? 0,
    maxComputeInvocations: adapter?.limits.maxComputeInvocationsPerWorkgroup ?? 0,
    memory: (navigator as { deviceMemory?: number }).deviceMemory ?? null,
    cores: navigator.hardwareConcurrency,
    secure: isSecureContext,
    userAgent: navigator.userAgent,
    ...(await storageFacts()),
  };
}

class Device {
  facts = $state.raw<DeviceFacts | null>(null);
  speed = $state.raw<Speed | null>(null);
  measuring = $state(false);
  problem = $state.raw<Problem | null>(null);

  async read(): Promise<void> {
    try {
      this.facts = await readFacts();
    } catch (error) {
      this.problem = problemOf(error);
    }
  }

  /** Loads the student and decodes a batch with it: once to warm up, once by the clock. */
  async measure(): Promise<void> {
    if (this.measuring) return;
    this.measuring = true;
    this.problem = null;
    try {
      session.clearPhases();
      session.use(DEFAULT_RECIPE);
      await session.load(['trainer']);
      const decode = () =>
        session.trainer('answer', {
          prompts: Array.from({ length: SPEED_PROMPTS }, () => 'Tell me a joke about a frog.'),
          adaptation: null,
          system: null,
          temperature: 1,
          seed: 0,
          maxNewTokens: 24,
        });
      await decode();
      const start = performance.now();
      const { newTokens } = await decode();
      const seconds = (performance.now() - start) / 1000;
      const tokensPerSecond = newTokens / seconds;
      this.speed = { tokensPerSecond, runSeconds: RUN_TOKENS / tokensPerSecond };
    } catch (error) {
      this.problem = problemOf(error);
    } finally {
      this.measuring = false;
    }
  }
}

export const device = new Device();
