const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const SEXTETS = new Map([...ALPHABET].map((character, value) => [character, value]));

/** RFC 4648 base64url without padding, which chat applications break. */
export function encodeBase64Url(bytes: Uint8Array): string {
  const characters: string[] = [];
  for (let i = 0; i < bytes.length; i += 3) {
    const left = bytes.length - i;
    const group = (bytes[i]! << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
    for (let part = 0; part < Math.min(4, left + 1); part++) {
      characters.push(ALPHABET[(group >> (18 - 6 * part)) & 63]!);
    }
  }
  return characters.join('');
}

/** Characters of `bytes` bytes. */
export function base64UrlLength(bytes: number): number {
  return Math.ceil((bytes * 4) / 3);
}

export type Base64UrlResult =
  | { ok: true; bytes: Uint8Array }
  /** A character outside the alphabet. */
  | { ok: false; reason: 'alphabet'; position: number }
  /** A length no encoder makes, or left-over bits that are not zero: the text was changed. */
  | { ok: false; reason: 'tail' };

/** Strict: exactly the texts that {@link encodeBase64Url} makes are accepted. */
export function decodeBase64Url(text: string): Base64UrlResult {
  const bytes = new Uint8Array(Math.floor((text.length * 3) / 4));
  let held = 0;
  let bits = 0;
  let length = 0;
  for (let position = 0; position < text.length; position++) {
    const sextet = SEXTETS.get(text[position]!);
    if (sextet === undefined) return { ok: false, reason: 'alphabet', position };
    held = ((held << 6) | sextet) & 0xffff;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      bytes[length++] = held >> bits;
    }
  }
  const leftOver = held & ((1 << bits) - 1);
  if (bits >= 6 || leftOver !== 0) return { ok: false, reason: 'tail' };
  return { ok: true, bytes };
}
