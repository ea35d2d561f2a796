import { describe, expect, it } from 'vitest';
import { deviceState, lightsOf, reportText, type DeviceFacts } from './capabilities';

const laptop: DeviceFacts = {
  webgpu: 'ready',
  adapter: 'intel gen-12lp',
  software: false,
  f16: true,
  subgroups: true,
  maxBufferSize: 2 ** 30,
  maxStorageBufferBindingSize: 2 ** 30,
  maxComputeInvocations: 1024,
  memory: 8,
  cores: 8,
  storage: { quota: 100e9, usage: 1e6 },
  persisted: false,
  secure: true,
  userAgent: 'Browser/1',
};

function light(facts: DeviceFacts, id: string, speed = null as Parameters<typeof lightsOf>[1]) {
  const found = lightsOf(facts, speed).find((l) => l.id === id);
  if (!found) throw new Error(`no light ${id}`);
  return found;
}

describe('deviceState', () => {
  it('knows the four states', () => {
    expect(deviceState(laptop)).toBe('full');
    expect(deviceState({ ...laptop, f16: false })).toBe('slow');
    expect(deviceState({ ...laptop, software: true })).toBe('slow');
    expect(deviceState({ ...laptop, maxStorageBufferBindingSize: 2 ** 26 })).toBe('small');
    expect(deviceState({ ...laptop, webgpu: 'absent' })).toBe('recorded');
    expect(deviceState({ ...laptop, webgpu: 'no-adapter' })).toBe('recorded');
  });
});

describe('lightsOf', () => {
  it('is all green on a good laptop but for what was not measured', () => {
    const levels = lightsOf(laptop, null).map((l) => [l.id, l.level]);
    expect(levels.filter(([, level]) => level !== 'good')).toEqual([['speed', 'unknown']]);
  });

  it('says nothing about a GPU that is not there', () => {
    const none = { ...laptop, webgpu: 'absent' as const };
    expect(light(none, 'webgpu').level).toBe('bad');
    for (const id of ['f16', 'subgroups', 'limits']) expect(light(none, id).level).toBe('unknown');
  });

  it('tells an insecure page what is wrong', () => {
    const http = { ...laptop, webgpu: 'absent' as const, secure: false };
    expect(light(http, 'webgpu').advice).toContain('https');
  });

  it('turns speed into the length of a run', () => {
    expect(light(laptop, 'speed', { tokensPerSecond: 1536, runSeconds: 200 })).toMatchObject({
      level: 'slow',
      value: '1,536 tokens a second',
      advice: 'A default run takes roughly 3 min.',
    });
    expect(light(laptop, 'speed', { tokensPerSecond: 40000, runSeconds: 8 }).level).toBe('good');
  });
});

describe('reportText', () => {
  it('carries every light, the build and the browser', () => {
    const text = reportText(laptop, null, 'abc1234');
    for (const { name } of lightsOf(laptop, null)) expect(text).toContain(name);
    expect(text).toContain('build abc1234');
    expect(text).toContain('Browser/1');
  });
});
