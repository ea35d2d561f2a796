/** Quantised rows inside a share link: half-precision scales, then two levels a byte. */
import type { ByteReader, ByteWriter } from '../byte-stream';
import { dequantiseRows, MAX_LEVEL, type QuantisedRows, quantiseRows } from './prompt-quant';
import { malformed, ShareLinkError } from './share-frame';

/** Throws {@link ShareLinkError} where `values` [rows, width] are not on the grid. */
export function writeRows(
  body: ByteWriter,
  values: Float32Array,
  rows: number,
  width: number,
): void {
  const { scales, levels } = exactRows(values, rows, width);
  for (const scale of scales) body.uint16(scale);
  body.raw(packLevels(levels));
}

/** The rest of `body` as [rows, width]. Throws {@link ShareLinkError}. */
export function readRows(body: ByteReader, rows: number, width: number): Float32Array {
  const size = 2 * rows + Math.ceil((rows * width) / 2);
  if (body.left !== size) {
    throw malformed(`${rows} rows of ${width} take ${size} bytes, it has ${body.left}`);
  }
  const scales = Uint16Array.from({ length: rows }, () => body.uint16());
  const levels = unpackLevels(body.raw(body.left), rows * width);
  // A negative, infinite or NaN scale is none that quantising gives.
  if (scales.some((scale) => scale >= 0x7c00)) throw malformed('a scale is no number');
  const values = dequantiseRows({ scales, levels });
  // Every row that quantising gives has its scale from its largest level; others would be refused
  // later, where the prompt is written again with what was measured of it.
  const again = quantiseRows(values, rows, width);
  if (!sameEntries(scales, again.scales) || !sameEntries(levels, again.levels)) {
    throw malformed('a row is not scaled by its largest value');
  }
  return values;
}

function sameEntries(a: ArrayLike<number>, b: ArrayLike<number>): boolean {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return a.length === b.length;
}

function exactRows(values: Float32Array, n: number, d: number): QuantisedRows {
  let rows: QuantisedRows;
  try {
    rows = quantiseRows(values, n, d);
  } catch (error) {
    if (error instanceof RangeError) throw malformed(error.message);
    throw error;
  }
  const back = dequantiseRows(rows);
  const wrong = back.findIndex((value, i) => value !== values[i]);
  if (wrong >= 0) {
    throw new ShareLinkError(
      'inexact',
      `A link cannot carry this prompt exactly: value ${wrong} is ${values[wrong]}, the nearest ` +
        `that fits is ${back[wrong]}. Quantise the prompt before it is scored.`,
    );
  }
  return rows;
}

/** Two levels a byte, low nibble first, each + 8. */
function packLevels(levels: Int8Array): Uint8Array {
  const bytes = new Uint8Array(Math.ceil(levels.length / 2));
  for (const [i, level] of levels.entries()) bytes[i >> 1]! |= (level + 8) << (4 * (i & 1));
  return bytes;
}

function unpackLevels(bytes: Uint8Array, length: number): Int8Array {
  const levels = Int8Array.from({ length }, (_, i) => ((bytes[i >> 1]! >> (4 * (i & 1))) & 15) - 8);
  if (levels.some((level) => level < -MAX_LEVEL)) throw malformed('a value is off the grid');
  if (length % 2 === 1 && bytes[bytes.length - 1]! >> 4 !== 0) {
    throw malformed('it has bits that mean nothing');
  }
  return levels;
}
