import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { decodeBase64Url, encodeBase64Url } from './base64url';
import { crc32 } from './crc32';
import { dequantiseRows, quantiseRows } from './prompt-quant';
import { gaussians, seededRandom } from '../random.testing';
import { expectEvenGrowth } from '../growth.testing';
import { changedBytes, changedText, errorOf } from '../mutations.testing';
import { frame, unframe } from './share-frame';
import { decodeShare, encodeShare, type SharedPrompt, ShareLinkError } from './share-link';

const RECIPE: SharedPrompt['recipe'] = {
  objective: 'tv',
  steps: 300,
  batchSize: 16,
  learningRate: 0.02,
  strictness: -0.5,
  guardClip: 0.001,
  seed: 7,
  warmup: 0.05,
  clipNorm: 1,
  guardTemperature: 1,
  maxNewTokens: 48,
  quantiseLast: 0.1,
};

function gridPrompt(random: () => number, n: number, d: number): SharedPrompt {
  return {
    modelId: '0123456789abcdef',
    templateHash: 'deadbeef',
    n,
    d,
    placement: 'before-bos',
    recipe: { ...RECIPE },
    scores: { safety: 0.975, overRefusal: 0.0125, usefulness: 0.9331, n: 512 },
    values: dequantiseRows(quantiseRows(gaussians(random, n * d, 0.1 + random()), n, d)),
  };
}

function randomPrompt(random: () => number): SharedPrompt {
  const n = 1 + Math.floor(random() * 20);
  const d = 1 + Math.floor(random() * 64);
  const prompt = gridPrompt(random, n, d);
  const pick = <T>(...values: T[]): T => values[Math.floor(random() * values.length)]!;
  prompt.modelId = hex(random, 16);
  prompt.templateHash = hex(random, 8);
  prompt.recipe = {
    objective: pick('tv', 'kl'),
    steps: Math.floor(random() * 100_000),
    batchSize: Math.floor(random() * 64),
    learningRate: pick(0.02, 1e-4, 0.3, random()),
    strictness: pick(0, -1.5, 2, random() * 8 - 4),
    guardClip: pick(0.001, 0.05, random() / 2),
    seed: pick(0, 1, 0xffffffff, Math.floor(random() * 2 ** 32)),
    warmup: pick(0.05, 0),
    clipNorm: pick(1, 0.5),
    guardTemperature: pick(1, 1.37),
    maxNewTokens: pick(48, 32),
    quantiseLast: pick(0.1, 0.2),
  };
  const share = (): number => Math.floor(random() * 10_001) / 10_000;
  prompt.scores = pick(null, {
    safety: share(),
    overRefusal: share(),
    usefulness: share(),
    n: Math.floor(random() * 5000),
  });
  return prompt;
}

function hex(random: () => number, length: number): string {
  return Array.from({ length }, () => Math.floor(random() * 16).toString(16)).join('');
}

function failure(text: string): ShareLinkError {
  try {
    decodeShare(text);
  } catch (error) {
    expect(error).toBeInstanceOf(ShareLinkError);
    return error as ShareLinkError;
  }
  throw new Error(`The link was accepted: ${text.slice(0, 40)}`);
}

/** A link whose frame is right and whose bytes are not; lengths must stay the same. */
function forge(text: string, change: (bytes: Uint8Array) => void): string {
  const decoded = decodeBase64Url(text);
  if (!decoded.ok) throw new Error(decoded.reason);
  const { bytes } = decoded;
  change(bytes);
  const end = bytes.length - 4;
  new DataView(bytes.buffer).setUint32(end, crc32(bytes.subarray(0, end)), true);
  return encodeBase64Url(bytes);
}

describe('a share link', () => {
  it('gives back 1000 random prompts, bit for bit', () => {
    const random = seededRandom(1);
    for (let i = 0; i < 1000; i++) {
      const prompt = randomPrompt(random);
      const text = encodeShare(prompt);
      const opened = decodeShare(text);
      expect(opened).toEqual(prompt);
      expect(encodeShare(opened)).toBe(text);
    }
  });

  it('of 16 vectors of 128 takes at most 1,470 characters', () => {
    const text = encodeShare(gridPrompt(seededRandom(2), 16, 128));
    expect(text).toMatch(/^[A-Za-z0-9_-]+$/);
    expect(text.length).toBeLessThanOrEqual(1470);
  });

  it('opens from a whole address, from its hash, and with blanks around it', () => {
    const prompt = gridPrompt(seededRandom(3), 2, 8);
    const text = encodeShare(prompt);
    for (const form of [
      `https://example.org/repo/p/#${text}`,
      `http://localhost:4173/p#${text}`,
      `#${text}`,
      `/p#${text}`,
      `  ${text}\n`,
    ]) {
      expect(decodeShare(form)).toEqual(prompt);
    }
  });

  it('with any one character changed is refused', () => {
    const text = encodeShare(gridPrompt(seededRandom(4), 2, 9));
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/=. é';
    let refused = 0;
    for (let at = 0; at < text.length; at++) {
      for (const character of alphabet) {
        if (character === text[at]) continue;
        // A blank at either end is no part of the link.
        if (character === ' ' && (at === 0 || at === text.length - 1)) continue;
        const error = failure(text.slice(0, at) + character + text.slice(at + 1));
        expect(error.message.length).toBeGreaterThan(20);
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(60 * text.length);
  });

  it('cut anywhere is refused, and says how much is left of how much', () => {
    const text = encodeShare(gridPrompt(seededRandom(5), 16, 128));
    for (let length = 1; length < text.length; length++) {
      expect(failure(text.slice(0, length)).code).toBe('cut');
    }
    const message = failure(text.slice(0, 987)).message;
    expect(message).toContain(
      `expected ${text.length.toLocaleString('en-US')} characters, got 987`,
    );
  });

  it('with text pasted behind it says so', () => {
    const text = encodeShare(gridPrompt(seededRandom(6), 2, 8));
    expect(failure(`${text}and`).code).toBe('long');
    expect(failure(`${text}).`).code).toBe('alphabet');
  });

  it('without data says so', () => {
    for (const text of ['', '#', 'https://example.org/p', 'https://example.org/p#', ' /p ']) {
      expect(failure(text).code).toBe('empty');
    }
  });

  it('of another version names both versions', () => {
    const text = encodeShare(gridPrompt(seededRandom(7), 2, 8));
    const error = failure(forge(text, (bytes) => (bytes[0] = 9)));
    expect(error.code).toBe('version');
    expect(error.message).toContain('format 9');
    expect(error.message).toContain('formats 1 and 2');
  });

  it('that claims a huge prompt is refused before anything is allocated', () => {
    const text = encodeShare(gridPrompt(seededRandom(8), 128, 2));
    const at = 1 + 2 + 1 + 8 + 4 + 1;
    // n is the two bytes of varint 128; 0xff 0x7f makes it 16,383.
    const error = failure(forge(text, (bytes) => bytes.set([0xff, 0x7f], at)));
    expect(error.code).toBe('limits');
    expect(error.message).toContain('16,383 vectors');
  });

  it.each<[string, (bytes: Uint8Array) => void]>([
    ['an unknown flag', (bytes) => (bytes[2]! |= 0x40)],
    ['an unknown codec', (bytes) => (bytes[15]! |= 4)],
    ['other sizes than its payload', (bytes) => (bytes[16] = 3)],
    ['a scale that is no number', (bytes) => bytes.set([0, 0x7c], bytes.length - 4 - 8 - 2)],
    ['a negative scale', (bytes) => bytes.set([0, 0x80], bytes.length - 4 - 8 - 2)],
    ['a level off the grid', (bytes) => (bytes[bytes.length - 5] = 0)],
  ])('with a right checksum and %s is refused', (_, change) => {
    const text = encodeShare(gridPrompt(seededRandom(9), 2, 8));
    expect(failure(forge(text, change)).code).toBe('malformed');
  });

  it('refuses to carry what it could not carry exactly', () => {
    const prompt = gridPrompt(seededRandom(10), 2, 8);
    const code = (change: (one: SharedPrompt) => void): string => {
      const changed = structuredClone(prompt);
      change(changed);
      try {
        return encodeShare(changed);
      } catch (error) {
        return error instanceof ShareLinkError ? error.code : String(error);
      }
    };
    expect(code((one) => (one.values[3]! += 1e-3))).toBe('inexact');
    expect(code((one) => (one.values[3] = NaN))).toBe('malformed');
    expect(code((one) => (one.modelId = '0123'))).toBe('malformed');
    expect(code((one) => (one.scores!.safety = 1.2))).toBe('malformed');
    expect(code((one) => (one.n = 300))).toBe('limits');
    expect(code((one) => (one.values = new Float32Array(7)))).toBe('malformed');
  });
});

describe('one prompt has one link', () => {
  /** A link around a changed body, its length and checksum right. */
  const around = (text: string, change: (body: number[]) => number[]) => {
    const { version, body } = unframe(text, { versions: [1, 2], bytes: 2 ** 20 });
    return frame(version, Uint8Array.from(change(Array.from(body))));
  };
  const plain = { ...gridPrompt(seededRandom(30), 2, 8), scores: null };
  const text = encodeShare(plain);
  // Flags, model, template, kinds; then n.
  const AT_N = 1 + 8 + 4 + 1;
  const rows = (body: number[], ...levels: number[]) => [...body.slice(0, -8), ...levels];

  it.each<[string, (body: number[]) => number[]]>([
    ['a count with a byte too many', (b) => [...b.slice(0, AT_N), 0x82, 0, ...b.slice(AT_N + 1)]],
    [
      'a count beyond the whole numbers',
      (b) => [
        ...b.slice(0, AT_N + 2),
        255,
        255,
        255,
        255,
        255,
        255,
        255,
        127,
        ...b.slice(AT_N + 3),
      ],
    ],
    // 0.02 is 2 digits behind tag 2; 200 behind tag 4 is the same number.
    [
      'a rate with digits that say nothing',
      (b) => {
        const at = b.findIndex((byte, i) => byte === 2 && b[i + 1] === 4 && i > AT_N);
        return [...b.slice(0, at), 4, 0x90, 0x03, ...b.slice(at + 2)];
      },
    ],
    ['a row that never reaches level 7', (b) => rows(b, 0x99, 0x99, 0x99, 0x99, ...b.slice(-4))],
    [
      'levels in a row of scale 0',
      (b) => [
        ...b.slice(0, -12),
        0,
        0,
        ...b.slice(-10, -8),
        0xf9,
        0x99,
        0x99,
        0x99,
        ...b.slice(-4),
      ],
    ],
    ['common numbers spelt out', (b) => [b[0]! | 2, ...b.slice(1)]],
  ])('so one with %s is refused', (_, change) => {
    expect(failure(around(text, change)).code).toBe('malformed');
  });

  it('whatever is done to its bytes: another is refused, or is the link of what it opens as', () => {
    const random = seededRandom(31);
    let opened = 0;
    for (let i = 0; i < 1200; i++) {
      const { body } = unframe(encodeShare(randomPrompt(random)), {
        versions: [1],
        bytes: 2 ** 20,
      });
      const link = frame(1, changedBytes(body, random));
      const error = errorOf(() => decodeShare(link));
      if (error === null) {
        opened++;
        expect(encodeShare(decodeShare(link))).toBe(link);
      } else {
        expect(error, String((error as Error).stack)).toBeInstanceOf(ShareLinkError);
      }
    }
    expect(opened).toBeGreaterThan(30);
    for (let i = 0; i < 1200; i++) {
      const error = errorOf(() => decodeShare(changedText(text, random)));
      if (error !== null) expect(error).toBeInstanceOf(ShareLinkError);
    }
  });

  it('takes twice as long to open for twice the values', async () => {
    await expectEvenGrowth(16, (n) => {
      const link = encodeShare(gridPrompt(seededRandom(32), n, 2048));
      return () => decodeShare(link);
    });
  });
});

describe('a small form', () => {
  const small = (random: () => number, form: 'rows' | 'global', size: number, n = 16, d = 128) => {
    const rows = form === 'rows' ? n : 1;
    const values = dequantiseRows(quantiseRows(gaussians(random, rows * size, 0.2), rows, size));
    return { ...gridPrompt(random, n, d), small: { form, size }, values };
  };

  it('gives back 500 random prompts, bit for bit', () => {
    const random = seededRandom(21);
    for (let i = 0; i < 500; i++) {
      const size = 1 + Math.floor(random() * 64);
      const n = 1 + Math.floor(random() * 20);
      const { recipe, scores } = randomPrompt(random);
      const form = random() < 0.5 ? 'rows' : 'global';
      const prompt = { ...small(random, form, size, n, 8), recipe, scores };
      const text = encodeShare(prompt);
      expect(decodeShare(text)).toEqual(prompt);
    }
  });

  it('is as short as what is trained, whatever the width of the vectors', () => {
    const random = seededRandom(22);
    expect(encodeShare(small(random, 'rows', 20)).length).toBeLessThanOrEqual(340);
    expect(encodeShare(small(random, 'global', 512)).length).toBeLessThanOrEqual(420);
    expect(encodeShare(small(random, 'global', 512, 100, 2048)).length).toBeLessThanOrEqual(430);
  });

  it('is of format 2, which an older page names instead of misreading it', () => {
    const text = encodeShare(small(seededRandom(23), 'rows', 20));
    expect(failure(forge(text, (bytes) => (bytes[0] = 1))).code).toBe('malformed');
    const whole = encodeShare(gridPrompt(seededRandom(24), 2, 8));
    expect(failure(forge(whole, (bytes) => (bytes[0] = 2))).code).toBe('malformed');
  });

  it('that would take too long to unfold is refused before anything is allocated', () => {
    const random = seededRandom(25);
    const code = (prompt: SharedPrompt): string => {
      try {
        return encodeShare(prompt);
      } catch (error) {
        return error instanceof ShareLinkError ? error.code : String(error);
      }
    };
    expect(code({ ...small(random, 'rows', 20), small: { form: 'rows', size: 0 } })).toBe('limits');
    expect(code(small(random, 'global', 8192, 128, 8192))).toBe('limits');
    expect(code({ ...small(random, 'rows', 20), small: { form: 'rows', size: 19 } })).toBe(
      'malformed',
    );
    // The size is the two bytes of varint 512, behind n 16 and the two bytes of d 128.
    const text = encodeShare(small(random, 'global', 512));
    const at = 1 + 2 + 1 + 8 + 4 + 1 + 1 + 2;
    expect(failure(forge(text, (bytes) => bytes.set([0xff, 0x7f], at))).code).toBe('limits');
  });
});

describe('an objective without a short name', () => {
  const prompt = gridPrompt(seededRandom(11), 2, 8);
  const objective = { name: 'tailr', gamma: 0.5, minWeight: 0, klWarmup: 0.1 };
  const guardCase = { kind: 'response', sampling: 'exact', samples: 4, denseBelow: 0 };
  const link = (more: object) => encodeShare({ ...prompt, recipe: { ...prompt.recipe, ...more } });

  it('travels whole, the guard case with it', () => {
    const data = { prompts: 'add', name: 'Clocks', hash: '0123456789abcdef' };
    for (const more of [{ objective }, { objective, guardCase }, { guardCase }, { data }]) {
      expect(decodeShare(link(more))).toEqual({ ...prompt, recipe: { ...prompt.recipe, ...more } });
    }
  });

  it('costs plain TV and KL nothing: a link from before there were others is the same today', async () => {
    const recording = new URL('../../../public/recordings/pocket-tv.json', import.meta.url);
    const { share } = JSON.parse(await readFile(recording, 'utf8')) as { share: string };
    expect(decodeShare(share).recipe.objective).toBe('tv');
    expect(encodeShare(decodeShare(share))).toBe(share);
  });

  it.each([
    ['no JSON', '{"objective":'],
    ['no object', '7'],
    ['an objective that is a number', '{"objective":7}'],
    ['a name without meaning', '{"objective":"rkl"}'],
    ['prompts that are a text', '{"objective":"tv","data":"mine"}'],
    ['a guard case that is a text', '{"objective":"tv","guardCase":"response"}'],
  ])('that is %s is refused', (_, json) => {
    const text = link({ objective: { padding: 'x'.repeat(Math.max(0, json.length - 28)) } });
    const broken = forge(text, (bytes) => {
      const at = new TextDecoder('latin1').decode(bytes).indexOf('{"objective"');
      const old = bytes[at - 1]!;
      expect(old).toBeGreaterThanOrEqual(json.length);
      bytes.set(new TextEncoder().encode(json.padEnd(old)), at);
    });
    expect(failure(broken).code).toBe('malformed');
  });
});
