import { describe, expect, it } from 'vitest';
import { nestedLists } from './hostile.testing';
import {
  IntegrityError,
  ManifestError,
  manifestId,
  parseManifest,
  readWhole,
  sha256Hex,
  verifyFile,
} from './manifest';

const ABC = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad';

function manifest(): Record<string, unknown> {
  return {
    id: 'pocket',
    kind: 'student',
    version: '1',
    files: [{ path: 'onnx/model_q4.onnx', sha256: ABC, bytes: 3 }],
    parameters: 1_000_000,
    licence: 'MIT',
    seed: 0,
    split: 'train',
    command: 'python train.py',
    versions: { torch: '2.0' },
    scores: { wording: { safety: 0.2 } },
  };
}

const abc = new TextEncoder().encode('abc');

it('a manifest is read as it is', () => {
  expect(parseManifest(manifest())).toEqual(manifest());
});

describe('a manifest is refused', () => {
  it.each<[string, unknown, string]>([
    ['kind', 'teacher', 'kind must be student, guard, judge'],
    ['id', '', 'id must be a text'],
    ['files', [], '1 to 64 files'],
    ['files', [{ path: '../x', sha256: ABC, bytes: 1 }], 'files[0].path'],
    ['files', [{ path: '/x', sha256: ABC, bytes: 1 }], 'files[0].path'],
    ['files', [{ path: 'https://x', sha256: ABC, bytes: 1 }], 'files[0].path'],
    ['files', [{ path: 'a//b', sha256: ABC, bytes: 1 }], 'files[0].path'],
    ['files', [{ path: 'x', sha256: 'abc', bytes: 1 }], '64 hex digits'],
    ['files', [{ path: 'x', sha256: ABC, bytes: -1 }], 'files[0].bytes'],
    ['files', Array(2).fill({ path: 'x', sha256: ABC, bytes: 1 }), 'twice'],
    ['parameters', 1.5, 'parameters must be a whole number'],
    ['versions', { torch: 2 }, 'versions.torch'],
    ['scores', [], 'scores must be an object'],
  ])('with %s %j', (field, value, message) => {
    expect(() => parseManifest({ ...manifest(), [field]: value })).toThrow(ManifestError);
    expect(() => parseManifest({ ...manifest(), [field]: value })).toThrow(message);
  });
});

describe('a file', () => {
  const file = { path: 'onnx/model_q4.onnx', sha256: ABC, bytes: 3 };

  it('with the right bytes passes', async () => {
    await expect(verifyFile(file, abc)).resolves.toBeUndefined();
  });

  it('with other bytes is named with what was expected and found', async () => {
    const error = await verifyFile(file, new TextEncoder().encode('abd')).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(IntegrityError);
    expect(String(error)).toContain('onnx/model_q4.onnx');
    expect(String(error)).toContain('expected sha256 ba7816bf8f01…, got a52d159f262b…');
  });

  it('of another length is named with both lengths', async () => {
    await expect(verifyFile(file, abc.subarray(1))).rejects.toThrow('expected 3 bytes, got 2');
  });
});

it('ids are the first digits of sha256', async () => {
  expect(await sha256Hex(abc)).toBe(ABC);
  expect(await manifestId(abc)).toBe(ABC.slice(0, 16));
});

describe('a file in parts', () => {
  const encoder = new TextEncoder();
  const [first, second] = [encoder.encode('ab'), encoder.encode('c')];

  async function cut() {
    const parts = [
      { path: 'x.part000', sha256: await sha256Hex(first), bytes: 2 },
      { path: 'x.part001', sha256: await sha256Hex(second), bytes: 1 },
    ];
    return { path: 'x', sha256: ABC, bytes: 3, parts };
  }

  it('is read and joined', async () => {
    const [file] = parseManifest({ ...manifest(), files: [await cut()] }).files;
    const bytes = await readWhole(file!, ({ path }) =>
      Promise.resolve(path === 'x.part000' ? first : second),
    );
    expect(bytes).toEqual(abc);
  });

  it('is held to its own hash, whatever the parts say', async () => {
    const file = { ...(await cut()), sha256: await sha256Hex(encoder.encode('abd')) };
    const read = ({ path }: { path: string }) =>
      Promise.resolve(path === 'x.part000' ? first : second);
    await expect(readWhole(file, read)).rejects.toThrow(IntegrityError);
  });

  it.each<[string, (file: Awaited<ReturnType<typeof cut>>) => unknown, string]>([
    ['no parts', (file) => ({ ...file, parts: [] }), 'files[0].parts must list 1 to 4096'],
    ['another sum', (file) => ({ ...file, bytes: 4 }), 'has 4 bytes, but its parts have 3'],
    [
      'a part twice',
      ({ parts, ...file }) => ({ ...file, bytes: 4, parts: [parts[0], parts[0]] }),
      'twice',
    ],
    [
      'a part outside',
      ({ parts, ...file }) => ({ ...file, parts: [{ ...parts[0], path: '../x' }, parts[1]] }),
      'files[0].parts[0].path',
    ],
    [
      'too many bytes',
      ({ parts, ...file }) => ({
        ...file,
        bytes: 2 ** 40,
        parts: [{ ...parts[0], bytes: 2 ** 40 }],
      }),
      'too many to join',
    ],
  ])('with %s is refused', async (_, change, message) => {
    const files = [change(await cut())];
    expect(() => parseManifest({ ...manifest(), files })).toThrow(message);
  });
});

it('a manifest of a model that was not trained here says where it comes from', () => {
  const { seed: _seed, split: _split, scores: _scores, ...rest } = manifest();
  const read = parseManifest({ ...rest, source: 'a package', title: 'A model' });
  expect(read).toMatchObject({ source: 'a package', title: 'A model', scores: {} });
});

it('a manifest of strange values is refused in a short sentence', () => {
  const strange: unknown[] = [nestedLists(20_000), { toString: 1 }, 'x'.repeat(2 ** 20), -1, null];
  for (const value of strange) {
    for (const field of ['id', 'kind', 'files', 'parameters', 'versions', 'scores', 'licence']) {
      for (const json of [{ ...manifest(), [field]: value }, value]) {
        try {
          parseManifest(json);
        } catch (error) {
          expect(error).toBeInstanceOf(ManifestError);
          expect((error as Error).message.length).toBeLessThan(300);
        }
      }
    }
    for (const field of ['path', 'sha256', 'bytes', 'parts']) {
      const files = [{ path: 'x', sha256: ABC, bytes: 1, [field]: value }];
      expect(() => parseManifest({ ...manifest(), files })).toThrow(ManifestError);
    }
  }
});
