/** ONNX files made field by field, good and bad ones. */
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';

export type Fill = (writer: BinaryWriter) => void;

/** One length-delimited field. */
export function nested(number: number, fill: Fill): Fill {
  return (writer) => {
    writer.tag(number, WireType.LengthDelimited).fork();
    fill(writer);
    writer.join();
  };
}

export function all(...fills: Fill[]): Fill {
  return (writer) => fills.forEach((fill) => fill(writer));
}

export const string = (number: number, value: string): Fill =>
  nested(number, (writer) => writer.raw(new TextEncoder().encode(value)));
export const varint = (number: number, value: number): Fill => {
  return (writer) => writer.tag(number, WireType.Varint).int64(value);
};
export const bytes = (number: number, value: Uint8Array): Fill =>
  nested(number, (writer) => writer.raw(value));
export const packed = (number: number, values: readonly number[]): Fill =>
  nested(number, (writer) => values.forEach((value) => writer.int64(value)));

export function tensor(
  name: string,
  dims: readonly number[],
  dataType: number,
  ...data: Fill[]
): Fill {
  return nested(
    5,
    all(...dims.map((dim) => varint(1, dim)), varint(2, dataType), string(8, name), ...data),
  );
}

export function modelBytes(...graph: Fill[]): Uint8Array {
  const writer = new BinaryWriter();
  all(
    varint(1, 10),
    string(2, 'test writer'),
    nested(7, all(...graph)),
    nested(8, all(string(1, 'com.microsoft'), varint(2, 1))),
    nested(14, all(string(1, 'key'), string(2, 'value'))),
  )(writer);
  return writer.finish();
}

/** A node of an operator with names of what it reads and makes. */
export function operator(
  opType: string,
  inputs: readonly string[],
  outputs: readonly string[],
  ...more: Fill[]
): Fill {
  return nested(
    1,
    all(
      ...inputs.map((input) => string(1, input)),
      ...outputs.map((output) => string(2, output)),
      string(4, opType),
      ...more,
    ),
  );
}
