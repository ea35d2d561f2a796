import { describe, expect, it } from 'vitest';
import { CATALOGUE } from '../../../formats/catalogue';
import { parseSourceText } from '../../../formats/source-text';
import type { StoredModel } from '../../../workers/files/stored';
import type { DeviceFacts } from './capabilities';
import {
  askBytes,
  studentOfSite,
  chosenModel,
  fetchWords,
  modelOptions,
  placeOf,
  placeWords,
} from './model-options';

const MIB = 2 ** 20;
const facts: DeviceFacts = {
  webgpu: 'ready',
  adapter: 'a',
  software: false,
  f16: true,
  subgroups: true,
  maxBufferSize: 2048 * MIB,
  maxStorageBufferBindingSize: 2048 * MIB,
  maxComputeInvocations: 1024,
  memory: 8,
  cores: 8,
  storage: null,
  persisted: false,
  secure: true,
  userAgent: '',
};
const smol = CATALOGUE.find(({ title }) => title.startsWith('SmolLM2 135M'))!;
const text = (() => {
  if (smol.source.kind !== 'hub') throw new Error('SmolLM2 is a hub model.');
  return `hub:${smol.source.repo}@${smol.source.revision}/q4`;
})();
const source = parseSourceText(text);
const stored = (change: Partial<StoredModel> = {}): StoredModel => ({
  key: 'k',
  repo: source.kind === 'hub' ? source.repo : '',
  host: 'https://huggingface.co',
  commit: source.kind === 'hub' ? source.revision : '',
  revisions: [],
  dtype: 'q4',
  bytes: 1000,
  totalBytes: 180_000_000,
  complete: true,
  usedAt: 0,
  ...change,
});

const refusals = (change: Partial<DeviceFacts>, role: 'student' | 'guard' = 'student') =>
  modelOptions(role, { ...facts, ...change }, []).filter(({ refused }) => refused !== null);

describe('modelOptions', () => {
  it('offers everything on a large device, the bundled student first', () => {
    const options = modelOptions('student', facts, []);
    expect(options[0]).toMatchObject({ text: 'pocket', place: { kind: 'ships' } });
    expect(options.every(({ refused }) => refused === null)).toBe(true);
    expect(modelOptions('guard', facts, []).every(({ entry }) => entry.role === 'guard')).toBe(
      true,
    );
  });

  it('refuses with the reason what the device is too small for', () => {
    const half = refusals({ f16: false });
    expect(half.length).toBeGreaterThan(0);
    expect(half.every(({ entry }) => entry.minimumLimits.f16)).toBe(true);
    expect(half[0]!.refused).toMatch(/shader-f16/);
    const small = refusals({ maxStorageBufferBindingSize: 64 * MIB });
    expect(small[0]!.refused).toMatch(/134 MB a binding; this device has 67.1 MB/);
    expect(refusals({ webgpu: 'absent' })[0]!.refused).toMatch(/WebGPU/);
  });

  it('lets small students chat without WebGPU, and says what is too large for that', () => {
    const absent = { ...facts, webgpu: 'absent' } as const;
    const chats = modelOptions('student', absent, [], 'chat');
    const titles = (free: boolean) =>
      chats.filter(({ refused }) => (refused === null) === free).map(({ entry }) => entry.title);
    expect(titles(true)).toEqual(expect.arrayContaining(['Pocket', 'Class', smol.title]));
    expect(titles(false)).toContain('Llama 3.2 3B Instruct');
    expect(titles(true).length + titles(false).length).toBe(chats.length);
    for (const { refused } of chats)
      expect(refused ?? 'without WebGPU').toContain('without WebGPU');
    expect(modelOptions('student', absent, []).every(({ refused }) => refused !== null)).toBe(true);
  });

  it('leaves classifiers to any device', () => {
    const guards = refusals({ webgpu: 'absent' }, 'guard');
    expect(guards.every(({ entry }) => entry.verdict?.kind === 'generated')).toBe(true);
    expect(guards.length).toBeGreaterThan(0);
  });

  it('refuses nothing before the device is known', () => {
    expect(modelOptions('student', null, []).every(({ refused }) => refused === null)).toBe(true);
  });
});

describe('placeOf', () => {
  it('knows what is stored by commit, branch, precision and host', () => {
    expect(placeOf(source, [stored()]).kind).toBe('stored');
    expect(placeOf(source, [stored({ dtype: 'q8' })]).kind).toBe('remote');
    expect(placeOf(source, [stored({ host: 'https://example.com' })]).kind).toBe('remote');
    expect(placeOf(source, [stored({ commit: 'f'.repeat(40) })]).kind).toBe('remote');
    const branch = parseSourceText('hub:o/n@main/q4');
    const own = stored({ repo: 'o/n', revisions: ['main'] });
    expect(placeOf(branch, [own]).kind).toBe('stored');
    const part = placeOf(source, [stored({ complete: false })]);
    expect(placeWords(part)).toBe('1.0 kB of 180 MB here');
  });
});

describe('words before a click', () => {
  it('say nothing new of the default', () => {
    expect(fetchWords('pocket', [], 1e9)).toBeNull();
    expect(fetchWords('guard', [], 1e9)).toBeNull();
  });

  it('say bytes, storage and whether it is there', () => {
    expect(fetchWords(text, [], 12e9)).toMatch(
      /downloaded from the hub \(181 MB, 12.0 GB free here\)/,
    );
    expect(fetchWords(text, [stored()], 12e9)).toMatch(/is stored in this browser/);
    expect(fetchWords(text, [stored({ complete: false })], null)).toMatch(/goes on: 1.0 kB/);
    expect(fetchWords(text, [], 1e6)).toMatch(/does not fit.*fetched again/);
    expect(fetchWords('hub:o/n@main/q4', [], null)).toMatch(/o\/n \(q4\).*size not known/);
    expect(fetchWords('folder:mine', [], null)).toMatch(/never copied/);
  });

  it('count what a first question fetches', () => {
    const [pocket, klass] = CATALOGUE.map((entry) => entry.bytes!) as [number, number];
    expect(askBytes('pocket', 31e6, [], false)).toBe(31e6);
    expect(askBytes('class', 31e6, [], false)).toBe(31e6 - pocket + klass);
    // Runtime, guard and judge are here already.
    expect(askBytes('class', 31e6, [], true)).toBe(klass);
    expect(askBytes(text, 31e6, [], true)).toBe(smol.bytes);
    expect(askBytes(text, 31e6, [stored()], true)).toBe(0);
    expect(askBytes(text, 31e6, [stored({ complete: false })], true)).toBe(180_000_000 - 1000);
    expect(askBytes('folder:mine', 31e6, [], false)).toBe(31e6 - pocket);
    for (const unknown of ['hub:o/n@main/q4', '?']) {
      expect(askBytes(unknown, 31e6, [], true)).toBeNull();
    }
    expect(askBytes('class', null, [], false)).toBeNull();
  });

  it('know a bundled student by what links call it', () => {
    const named = CATALOGUE.filter(({ modelId }) => modelId);
    expect(named.map(({ modelId }) => studentOfSite(modelId!))).toEqual(['pocket', 'class']);
    expect(studentOfSite('0'.repeat(16))).toBeNull();
  });

  it('have a title for any text', () => {
    expect(chosenModel(text).title).toBe(smol.title);
    expect(chosenModel('guard?safe=OK').title).toBe('Bundled guard');
    expect(chosenModel('?').title).toBe('?');
  });
});
