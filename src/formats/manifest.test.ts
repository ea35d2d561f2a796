import { describe, expect, it } from 'vitest';
import {
  IntegrityError,
  ManifestError,
  manifestId,
  parseManifest,
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
