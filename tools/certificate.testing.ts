/**
 * Self-signed certificates for tests: X.509 v3 (RFC 5280) in DER, as far as a server needs it. Node
 * reads certificates but makes none.
 */
import { type KeyObject, generateKeyPairSync, sign } from 'node:crypto';
import { isIPv4 } from 'node:net';

export interface TestCertificate {
  /** PEM. */
  cert: string;
  key: string;
  privateKey: KeyObject;
}

const ECDSA_WITH_SHA256 = '06082a8648ce3d040302';
const COMMON_NAME = '0603550403';
const SUBJECT_ALT_NAME = '0603551d11';
const BASIC_CONSTRAINTS = '0603551d13';

/** Tag, length, value. */
function der(tag: number, ...parts: (Buffer | string)[]): Buffer {
  const body = Buffer.concat(parts.map((p) => (typeof p === 'string' ? Buffer.from(p, 'hex') : p)));
  const { length } = body;
  const long = length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255];
  return Buffer.concat([Buffer.from([tag, ...(length < 128 ? [length] : long)]), body]);
}

const sequence = (...parts: (Buffer | string)[]) => der(0x30, ...parts);
const bits = (bytes: Buffer) => der(0x03, '00', bytes);
const extension = (id: string, value: Buffer) => sequence(id, der(0x04, value));

/** GeneralizedTime: 20990101000000Z. */
const time = (date: Date) =>
  der(0x18, Buffer.from(date.toISOString().replace(/[-:T]|\.\d+/g, ''), 'ascii'));

const generalName = (name: string) =>
  isIPv4(name)
    ? der(0x87, Buffer.from(name.split('.').map(Number)))
    : der(0x82, Buffer.from(name, 'ascii'));

/** A certificate for these names and IPv4 addresses, signed by its own key. */
export function selfSigned(
  names: readonly string[],
  { from = new Date('2020-01-01'), to = new Date('2099-01-01') } = {},
): TestCertificate {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const algorithm = sequence(ECDSA_WITH_SHA256);
  const issuer = sequence(der(0x31, sequence(COMMON_NAME, der(0x0c, Buffer.from(names[0]!)))));
  const body = sequence(
    der(0xa0, der(0x02, '02')),
    der(0x02, '01'),
    algorithm,
    issuer,
    sequence(time(from), time(to)),
    issuer,
    publicKey.export({ type: 'spki', format: 'der' }),
    der(
      0xa3,
      sequence(
        extension(SUBJECT_ALT_NAME, sequence(...names.map(generalName))),
        // So that a test can trust it as its own authority.
        extension(BASIC_CONSTRAINTS, sequence(der(0x01, 'ff'))),
      ),
    ),
  );
  const signature = sign('sha256', body, privateKey);
  const whole = sequence(body, algorithm, bits(signature));
  const lines = whole.toString('base64').replace(/.{64}(?=.)/g, '$&\n');
  return {
    cert: `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
    privateKey,
  };
}
