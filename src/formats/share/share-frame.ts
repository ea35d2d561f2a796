/**
 * The frame of a share link, the same for every version: version byte, varint length of the whole
 * envelope in bytes, body, CRC-32 (little-endian) of all before it; base64url without padding. The
 * length stands first so that a cut link can say so, the checksum so that a changed one can.
 */
import { KnownError } from '../errors';
import { base64UrlLength, decodeBase64Url, encodeBase64Url } from './base64url';
import { ByteReader, ByteWriter, EndOfBytesError, SpellingError } from '../byte-stream';
import { crc32 } from './crc32';

export type ShareLinkErrorCode =
  /** No link data at all. */
  | 'empty'
  /** A character that links do not have. */
  | 'alphabet'
  /** Shorter than it says. */
  | 'cut'
  /** Longer than it says. */
  | 'long'
  /** Changed on the way. */
  | 'checksum'
  /** Made by another version of the app. */
  | 'version'
  /** Larger than this app opens. */
  | 'limits'
  /** Intact, but its contents make no sense. */
  | 'malformed'
  /** Encoding only: the values are not on the grid that a link carries. */
  | 'inexact';

/** `code` to branch on; the message is a sentence for the person who opened the link. */
export class ShareLinkError extends KnownError {
  override readonly name = 'ShareLinkError';
  readonly errorCode = 'share-link';
  constructor(
    readonly code: ShareLinkErrorCode,
    message: string,
  ) {
    super(message);
  }
}

const CRC_BYTES = 4;

/** What can be opened here. */
export interface FrameLimits {
  versions: readonly number[];
  /** Of the whole envelope. */
  bytes: number;
}

/** The text of a body. */
export function frame(version: number, body: Uint8Array): string {
  // The length counts its own bytes, of which there are at most a few.
  let head = opening(version, 0);
  let total = 0;
  for (let bytes = 0; bytes !== head.length;) {
    bytes = head.length;
    total = bytes + body.length + CRC_BYTES;
    head = opening(version, total);
  }
  const bytes = new Uint8Array(total);
  bytes.set(head);
  bytes.set(body, head.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(total - CRC_BYTES, crc32(bytes.subarray(0, total - CRC_BYTES)), true);
  return encodeBase64Url(bytes);
}

function opening(version: number, total: number): Uint8Array {
  const writer = new ByteWriter();
  writer.byte(version);
  writer.varint(total);
  return writer.finish();
}

/**
 * The body of a whole URL, of a hash with or without `#`, or of the text of {@link frame}.
 * Throws {@link ShareLinkError}.
 */
export function unframe(link: string, limits: FrameLimits): { version: number; body: Uint8Array } {
  const text = hashOf(link);
  if (text === '') {
    throw new ShareLinkError('empty', 'This link carries no prompt: nothing stands after the #.');
  }
  if (text.length > base64UrlLength(limits.bytes)) {
    throw new ShareLinkError(
      'limits',
      `This link has ${count(text.length)} characters, more than any prompt that can be opened.`,
    );
  }
  const decoded = decodeBase64Url(text);
  if (!decoded.ok && decoded.reason === 'alphabet') {
    const character = JSON.stringify(String.fromCodePoint(text.codePointAt(decoded.position)!));
    throw new ShareLinkError(
      'alphabet',
      `The link has a character that does not belong there: ${character} at place ` +
        `${count(decoded.position + 1)}. Make sure you copied the whole link and nothing else.`,
    );
  }
  assertWhole(text);
  if (!decoded.ok) throw changed();
  const { bytes } = decoded;
  const view = new DataView(bytes.buffer);
  const end = bytes.length - CRC_BYTES;
  if (crc32(bytes.subarray(0, end)) !== view.getUint32(end, true)) throw changed();
  const reader = new ByteReader(bytes.subarray(0, end));
  const version = reader.byte();
  if (!limits.versions.includes(version)) {
    throw new ShareLinkError(
      'version',
      `This link is of format ${version}; this page reads ${spoken(limits.versions)}. Open it with the ` +
        'version of the app that made it, or ask for a new link.',
    );
  }
  reader.varint();
  return { version, body: reader.raw(reader.left) };
}

/** Compares the length that the text announces in its first characters with the one it has. */
function assertWhole(text: string): void {
  const start = decodeBase64Url(text.slice(0, 8));
  const reader = new ByteReader(start.ok ? start.bytes : new Uint8Array(0));
  let expected: number;
  try {
    reader.byte();
    expected = base64UrlLength(reader.varint());
  } catch (error) {
    if (error instanceof SpellingError) throw changed();
    if (!(error instanceof EndOfBytesError)) throw error;
    throw new ShareLinkError(
      'cut',
      `The link was cut: only ${text.length} characters of it are left. Copy the whole link again.`,
    );
  }
  if (expected > text.length) {
    throw new ShareLinkError(
      'cut',
      `The link was cut: expected ${count(expected)} characters, got ${count(text.length)}. Make ` +
        'sure you copied the whole link.',
    );
  }
  // Less than a frame can be: the length itself was changed.
  if (expected < base64UrlLength(2 + CRC_BYTES)) throw changed();
  if (expected < text.length) {
    throw new ShareLinkError(
      'long',
      `The link has extra characters: expected ${count(expected)}, got ${count(text.length)}. ` +
        'Remove what was added at its end.',
    );
  }
}

function hashOf(text: string): string {
  const trimmed = text.trim();
  const hash = trimmed.lastIndexOf('#');
  if (hash >= 0) return trimmed.slice(hash + 1);
  // An address without a hash is a link whose data went missing.
  return trimmed.includes('/') ? '' : trimmed;
}

export function count(value: number): string {
  return value.toLocaleString('en-US');
}

/** “format 1”, “formats 1 and 2”. */
function spoken(versions: readonly number[]): string {
  return versions.length === 1 ? `format ${versions[0]}` : `formats ${versions.join(' and ')}`;
}

function changed(): ShareLinkError {
  return new ShareLinkError(
    'checksum',
    'The link was changed on the way: its checksum does not match. Copy it again from its source.',
  );
}

export function malformed(reason: string): ShareLinkError {
  return new ShareLinkError('malformed', `The prompt of this link cannot be right: ${reason}.`);
}
