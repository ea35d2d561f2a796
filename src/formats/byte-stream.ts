import { KnownError } from './errors';

/** A read beyond the last byte. */
export class EndOfBytesError extends KnownError {
  override readonly name = 'EndOfBytesError';
  readonly errorCode = 'bad-input';
}

/** Bytes that {@link ByteWriter} would have written otherwise: one value has one spelling. */
export class SpellingError extends KnownError {
  override readonly name = 'SpellingError';
  readonly errorCode = 'bad-input';
}

/** Tags of {@link ByteWriter.decimal}: 0 to 15 are a count of decimals. */
const MAX_DECIMALS = 15;
const FLOAT64 = 16;

/** Appends little-endian values. */
export class ByteWriter {
  private readonly bytes: number[] = [];

  byte(value: number): void {
    this.bytes.push(value & 0xff);
  }

  raw(values: Uint8Array): void {
    for (const value of values) this.bytes.push(value);
  }

  uint16(value: number): void {
    this.bytes.push(value & 0xff, (value >> 8) & 0xff);
  }

  /** A whole number from 0 to 2⁵³ − 1 in groups of 7 bits, least first. */
  varint(value: number): void {
    while (value >= 0x80) {
      this.bytes.push((value % 0x80) | 0x80);
      value = Math.floor(value / 0x80);
    }
    this.bytes.push(value);
  }

  /** Exactly `value`: as a few decimal digits where that is the same number, else as a float64. */
  decimal(value: number): void {
    for (let decimals = 0; decimals <= MAX_DECIMALS; decimals++) {
      const digits = Math.round(Math.abs(value) * 10 ** decimals);
      if (!Number.isSafeInteger(digits * 2 + 1)) break;
      if (fromDigits(digits, decimals) !== Math.abs(value)) continue;
      // A negative zero is a zero.
      const sign = value < 0 ? 1 : 0;
      this.byte(decimals);
      this.varint(digits * 2 + sign);
      return;
    }
    this.byte(FLOAT64);
    const view = new DataView(new ArrayBuffer(8));
    view.setFloat64(0, value, true);
    this.raw(new Uint8Array(view.buffer));
  }

  finish(): Uint8Array<ArrayBuffer> {
    return Uint8Array.from(this.bytes);
  }
}

/** Reads what {@link ByteWriter} wrote. Throws {@link EndOfBytesError}, {@link SpellingError}. */
export class ByteReader {
  private position = 0;

  constructor(private readonly bytes: Uint8Array) {}

  /** Bytes not yet read. */
  get left(): number {
    return this.bytes.length - this.position;
  }

  byte(): number {
    return this.raw(1)[0]!;
  }

  raw(length: number): Uint8Array {
    if (length > this.left) throw new EndOfBytesError('The bytes end too early.');
    this.position += length;
    return this.bytes.subarray(this.position - length, this.position);
  }

  uint16(): number {
    const [low, high] = this.raw(2);
    return low! | (high! << 8);
  }

  /** A whole number from 0 to 2⁵³ − 1. */
  varint(): number {
    let value = 0;
    let unit = 1;
    for (let i = 0; i < 8; i++, unit *= 0x80) {
      const byte = this.byte();
      value += (byte & 0x7f) * unit;
      if (byte >= 0x80) continue;
      if (byte === 0 && i > 0) throw new SpellingError('A number is longer than it has to be.');
      if (!Number.isSafeInteger(value)) break;
      return value;
    }
    throw new SpellingError('A number is larger than any count.');
  }

  decimal(): number {
    const start = this.position;
    const value = this.anyDecimal();
    const shortest = new ByteWriter();
    shortest.decimal(value);
    const read = this.bytes.subarray(start, this.position);
    const wanted = shortest.finish();
    if (read.length !== wanted.length || read.some((byte, i) => byte !== wanted[i])) {
      throw new SpellingError('A number is not written as it should be.');
    }
    return value;
  }

  private anyDecimal(): number {
    const decimals = this.byte();
    if (decimals > MAX_DECIMALS) {
      const bytes = this.raw(8);
      return new DataView(bytes.buffer, bytes.byteOffset, 8).getFloat64(0, true);
    }
    const coded = this.varint();
    const size = fromDigits(Math.floor(coded / 2), decimals);
    return coded % 2 === 1 ? -size : size;
  }
}

/** The double nearest to digits · 10^−decimals, as the literal would be. */
function fromDigits(digits: number, decimals: number): number {
  return Number(`${digits}e-${decimals}`);
}
