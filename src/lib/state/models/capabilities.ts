/** What a device can do here, as traffic lights and as one of four states. Pure: facts in, words out. */
import { bytes, count } from '../../charts/format';

/** What the page can learn about a device without loading a model. */
export interface DeviceFacts {
  webgpu: 'ready' | 'no-adapter' | 'absent';
  adapter: string;
  /** A software adapter: correct, and slower. */
  software: boolean;
  f16: boolean;
  subgroups: boolean;
  maxBufferSize: number;
  maxStorageBufferBindingSize: number;
  maxComputeInvocations: number;
  /** GiB as the browser tells it, at most 8; null where it does not. */
  memory: number | null;
  cores: number;
  storage: { quota: number; usage: number } | null;
  persisted: boolean;
  /** Secure context: without one a browser hides WebGPU and storage. */
  secure: boolean;
  userAgent: string;
}

export interface Speed {
  tokensPerSecond: number;
  /** Seconds that the default recipe will take, roughly. */
  runSeconds: number;
}

export type Level = 'good' | 'slow' | 'bad' | 'unknown';

export interface Light {
  id: string;
  name: string;
  level: Level;
  value: string;
  advice: string;
}

const MIB = 2 ** 20;
/** The pocket student's largest buffer is far below WebGPU's own defaults. */
const ENOUGH_BINDING = 128 * MIB;
const ENOUGH_STORAGE = 50e6;

export function lightsOf(facts: DeviceFacts, speed: Speed | null): Light[] {
  const gpu = facts.webgpu === 'ready';
  const lights: Light[] = [
    {
      id: 'webgpu',
      name: 'WebGPU',
      level: !gpu ? 'bad' : facts.software ? 'slow' : 'good',
      value: !gpu
        ? facts.webgpu === 'absent'
          ? 'not in this browser'
          : 'no graphics adapter'
        : facts.adapter || 'ready',
      advice: !gpu
        ? facts.secure
          ? 'Use a current Chrome or Edge, Safari 26, or Firefox on Windows; on Linux, Chrome may need its Vulkan switched on.'
          : 'Open the page over https or on this machine itself; browsers hide WebGPU elsewhere.'
        : facts.software
          ? 'A software adapter: everything works, training takes minutes instead of seconds.'
          : 'Training runs on the graphics processor.',
    },
    {
      id: 'f16',
      name: 'Half precision (f16)',
      level: !gpu ? 'unknown' : facts.f16 ? 'good' : 'slow',
      value: gpu ? (facts.f16 ? 'yes' : 'no') : '–',
      advice:
        facts.f16 || !gpu
          ? 'Not needed by the pocket student.'
          : 'Works without it; larger students are slower.',
    },
    {
      id: 'subgroups',
      name: 'Subgroups',
      level: !gpu ? 'unknown' : facts.subgroups ? 'good' : 'slow',
      value: gpu ? (facts.subgroups ? 'yes' : 'no') : '–',
      advice:
        facts.subgroups || !gpu
          ? 'The fast matrix kernels use them.'
          : 'The plain matrix kernels are used, about half as fast.',
    },
    {
      id: 'limits',
      name: 'Buffer limits',
      level: !gpu
        ? 'unknown'
        : facts.maxStorageBufferBindingSize >= ENOUGH_BINDING
          ? 'good'
          : 'slow',
      value: gpu ? `${bytes(facts.maxStorageBufferBindingSize)} a binding` : '–',
      advice: 'The pocket student binds a few megabytes at most.',
    },
    {
      id: 'memory',
      name: 'Memory',
      level: facts.memory === null ? 'unknown' : facts.memory >= 2 ? 'good' : 'slow',
      value:
        facts.memory === null ? 'not told' : `${facts.memory} GB or more, ${facts.cores} cores`,
      advice: facts.memory === null ? 'This browser keeps it private.' : 'Two are plenty.',
    },
    {
      id: 'storage',
      name: 'Storage',
      level:
        facts.storage === null
          ? 'unknown'
          : facts.storage.quota - facts.storage.usage >= ENOUGH_STORAGE
            ? 'good'
            : 'slow',
      value:
        facts.storage === null
          ? 'not told'
          : `${bytes(Math.max(0, facts.storage.quota - facts.storage.usage))} free`,
      advice: facts.persisted
        ? 'Runs and models are kept until you remove them.'
        : 'Runs and models are kept; the browser may clear them when space is short.',
    },
  ];
  lights.push({
    id: 'speed',
    name: 'Speed',
    level: speed === null ? 'unknown' : speed.runSeconds <= 120 ? 'good' : 'slow',
    value: speed === null ? 'not measured' : `${count(speed.tokensPerSecond)} tokens a second`,
    advice:
      speed === null
        ? 'Measured with the bundled student, on your click.'
        : `A default run takes roughly ${roughly(speed.runSeconds)}.`,
  });
  return lights;
}

function roughly(seconds: number): string {
  if (seconds < 60) return `${Math.max(5, Math.round(seconds / 5) * 5)} seconds`;
  return `${Math.max(1, Math.round(seconds / 60))} min`;
}

/** The four device states, the same everywhere. */
export type DeviceState = 'full' | 'slow' | 'small' | 'recorded';

export const STATE_WORDS: Record<DeviceState, { title: string; text: string }> = {
  full: { title: 'Everything works here', text: 'Train, chat, share: all of it, at full speed.' },
  slow: {
    title: 'Everything works here, more slowly',
    text: 'Training takes minutes instead of seconds. The default recipe is made for that.',
  },
  small: {
    title: 'The small student works here',
    text: 'This device’s limits are low; stay with the pocket student and 16 vectors.',
  },
  recorded: {
    title: 'Recorded mode',
    text: 'No training here. The recorded run, its chart and its answers can be read, and the base model and its guard can be asked.',
  },
};

export function deviceState(facts: DeviceFacts): DeviceState {
  if (facts.webgpu !== 'ready') return 'recorded';
  if (facts.maxStorageBufferBindingSize < ENOUGH_BINDING || facts.maxComputeInvocations < 256)
    return 'small';
  return facts.software || !facts.f16 || !facts.subgroups ? 'slow' : 'full';
}

/** The report as text to paste into a message. */
export function reportText(facts: DeviceFacts, speed: Speed | null, commit: string): string {
  const lines = lightsOf(facts, speed).map(
    ({ name, level, value }) => `${name}: ${value} (${level})`,
  );
  return [
    `Retort device check, build ${commit}`,
    STATE_WORDS[deviceState(facts)].title,
    ...lines,
    `Buffer limit: ${bytes(facts.maxBufferSize)}, invocations a workgroup: ${facts.maxComputeInvocations}`,
    `Browser: ${facts.userAgent}`,
  ].join('\n');
}
