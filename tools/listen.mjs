/**
 * Where the static server listens and what others type to reach it: `--host`, `--port` and `--https`,
 * for `npm start` and for tools/serve.mjs. Needs Node and nothing else.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { createSecureContext } from 'node:tls';
import { parseArgs } from 'node:util';

/** Something in the command line that the person who typed it can mend. */
export class ListenError extends Error {
  /** @override */
  name = 'ListenError';
}

/** What every command that serves takes, for its help. */
export const LISTEN_HELP = `  --host NAME         lets other machines in. NAME is what they type: an address of this machine, its
                      name (it then listens on all its addresses), or 0.0.0.0 for all its addresses.
                      Without it only this machine is answered.
  --https CERT KEY    serves over https: a certificate and its key, two PEM files. Browsers give other
                      machines WebGPU and storage over https only; the README says how to make one.
  --port NUMBER       instead of 4173, or of the environment's PORT`;

const FLAGS = /** @type {const} */ ({
  host: { type: 'string' },
  https: { type: 'string' },
  port: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
});

/**
 * @typedef {{ cert: string, key: string }} Tls PEM
 * @typedef {{ host?: string, port: number, tls?: Tls }} Listen
 */

/**
 * Reads the flags of a command that serves, and the files of its certificate.
 * @template {import('node:util').ParseArgsConfig['options']} Own
 * @param {string[]} argv
 * @param {Own} own the command's other options
 * @returns {Promise<{ listen: Listen, help: boolean, values: Record<string, string | undefined> }>}
 * @throws ListenError
 */
export async function parseListen(argv, own) {
  const { values, tokens } = parseFlags(argv, own);
  const port = parsePort(values.port ?? (process.env.PORT || '4173'), values.port !== undefined);
  const { host } = values;
  if (host !== undefined && !isHost(host)) {
    throw new ListenError(`--host takes a name or an address without a port, not "${host}".`);
  }
  /** @type {Listen} */
  const listen = { port, ...(host === undefined ? {} : { host }) };
  const files = certificateFiles(tokens);
  if (files && !values.help) listen.tls = await readCertificate(...files);
  return { listen, help: values.help === true, values };
}

/** @param {string[]} argv @param {import('node:util').ParseArgsConfig['options']} own */
function parseFlags(argv, own) {
  try {
    const options = { ...FLAGS, ...own };
    const { values, tokens } = parseArgs({
      args: argv,
      options,
      allowPositionals: true,
      tokens: true,
    });
    return { values: /** @type {Record<string, any>} */ (values), tokens };
  } catch (error) {
    // Its further lines are advice for options that begin with a dash.
    const [line] = (error instanceof Error ? error.message : String(error)).split('\n');
    throw new ListenError(`${line?.replace(/\.$/, '')}. --help lists what there is.`);
  }
}

/**
 * The two files after --https: `parseArgs` gives the first to the option and the second to nobody.
 * @param {ReturnType<typeof parseFlags>['tokens']} tokens
 * @returns {[string, string] | null}
 */
function certificateFiles(tokens) {
  /** @type {[string, string] | null} */
  let files = null;
  for (const [at, token] of tokens.entries()) {
    const before = tokens[at - 1];
    if (token.kind === 'option' && token.name === 'https') {
      const next = tokens[at + 1];
      if (next?.kind !== 'positional' || token.value === undefined) {
        throw new ListenError('--https takes two files: a certificate and its key, both PEM.');
      }
      files = [token.value, next.value];
    } else if (token.kind === 'positional') {
      const isKey = before?.kind === 'option' && before.name === 'https';
      if (!isKey) {
        throw new ListenError(`"${token.value}" is no option. --help lists what there is.`);
      }
    }
  }
  return files;
}

/** @param {string} text */
function isHost(text) {
  return isIP(text) !== 0 || /^[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?$/i.test(text);
}

/**
 * Port from text such as $PORT.
 * @param {string} value
 * @param {boolean} [isFlag]
 */
export function parsePort(value, isFlag = false) {
  const port = Number(value);
  if (!/^\d+$/.test(value) || port > 65535) {
    const name = isFlag ? '--port' : 'PORT';
    throw new ListenError(`${name} must be a number from 0 to 65535, not "${value}".`);
  }
  return port;
}

/**
 * A certificate, or a chain that begins with it, and its key, tried together.
 * @param {string} certPath
 * @param {string} keyPath
 * @returns {Promise<Tls>}
 * @throws ListenError
 */
export async function readCertificate(certPath, keyPath) {
  const [cert, key] = [await readPem(certPath), await readPem(keyPath)];
  const isCertificate = /-----BEGIN (TRUSTED )?CERTIFICATE-----/;
  const isKey = /-----BEGIN [A-Z ]*PRIVATE KEY-----/;
  if (!isCertificate.test(cert)) {
    throw new ListenError(
      isKey.test(cert)
        ? `${certPath} is a key: the certificate comes first, --https CERT KEY.`
        : `${certPath} is no certificate: a PEM file has a line -----BEGIN CERTIFICATE-----.`,
    );
  }
  if (!isKey.test(key)) {
    throw new ListenError(
      `${keyPath} is no key: a PEM file has a line -----BEGIN PRIVATE KEY-----.`,
    );
  }
  const certificate = read(certPath, 'certificate', () => new X509Certificate(cert));
  if (/ENCRYPTED/.test(key)) {
    throw new ListenError(
      `${keyPath} is locked with a passphrase; unlock it: openssl pkey -in ${keyPath} -out open-key.pem`,
    );
  }
  const privateKey = read(keyPath, 'key', () => createPrivateKey(key));
  if (!certificate.checkPrivateKey(privateKey)) {
    throw new ListenError(`${keyPath} is not the key of ${certPath}.`);
  }
  read(certPath, 'certificate', () => createSecureContext({ cert, key }));
  return { cert, key };
}

/** @param {string} path */
async function readPem(path) {
  try {
    return await readFile(path, 'latin1');
  } catch {
    throw new ListenError(`${path} cannot be read.`);
  }
}

/** @template T @param {string} path @param {string} what @param {() => T} make @returns {T} */
function read(path, what, make) {
  try {
    return make();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new ListenError(`${path} cannot be used as a ${what}: ${why}`);
  }
}

/** Whether browsers take a page from there for their own machine's. @param {string} host */
export function isLocal(host) {
  return /^(localhost|.+\.localhost|127(\.\d+){3}|::1)$/i.test(host);
}

const isEvery = /** @param {string} host */ (host) => host === '0.0.0.0' || host === '::';

/**
 * What a server listens on: an address as it is. A name is others' word for this machine, which may
 * know itself by that name on loopback only; it is everywhere then.
 * @param {string | undefined} host
 */
export function bindAddress(host) {
  if (host === undefined) return '127.0.0.1';
  return isIP(host) !== 0 || isLocal(host) ? host : undefined;
}

/** @returns {string[]} */
function ownAddresses() {
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter(({ internal, address }) => !internal && !address.startsWith('fe80:'))
    .map(({ address }) => address);
}

/**
 * What people may type to reach this server, others' machines' addresses first.
 * @param {Pick<Listen, 'host' | 'tls'>} listen
 * @param {readonly string[]} [addresses] of this machine
 * @returns {string[]}
 */
export function hostsOf({ host, tls }, addresses = ownAddresses()) {
  if (host === undefined) return ['127.0.0.1'];
  if (!isEvery(host)) return [host];
  const own = host === '::' ? addresses : addresses.filter((address) => isIP(address) === 4);
  const named = tls ? namesOf(tls.cert).filter((name) => !isLocal(name)) : [];
  return [...new Set([...named, ...own, 'localhost'])];
}

/** The names, not addresses, that a certificate is for. @param {string} cert */
function namesOf(cert) {
  const listed = new X509Certificate(cert).subjectAltName ?? '';
  const names = [...listed.matchAll(/(?:^|, )DNS:([^,"]+)/g)].map(([, name]) => name);
  return names.filter((name) => isHost(name));
}

/** @param {string} host @param {number} port @param {boolean} secure @param {string} base */
export function addressOf(host, port, secure, base) {
  const name = isIP(host) === 6 ? `[${host}]` : host;
  return `${secure ? 'https' : 'http'}://${name}:${port}${base}`;
}

/**
 * What whoever serves should know of how browsers will take it, as lines.
 * @param {Pick<Listen, 'host' | 'tls'>} listen
 * @param {readonly string[]} hosts of {@link hostsOf}
 * @param {Date} [now]
 * @returns {string[]}
 */
export function remarks({ host, tls }, hosts, now = new Date()) {
  const lines = [];
  const others = hosts.filter((name) => !isLocal(name));
  if (host !== undefined && isEvery(host) && others.length === 0) {
    lines.push('This machine has no address on a network: nobody else can reach it.');
  }
  if (!tls) {
    if (others.length === 0) return lines;
    return [
      ...lines,
      'This is plain http: browsers give WebGPU, storage (OPFS), service workers and checks of files to https and localhost only, so other machines get the recorded run and no model.',
      'With a certificate they get everything: npm start -- --host NAME --https CERT KEY (README, "For a class").',
    ];
  }
  const certificate = new X509Certificate(tls.cert);
  const strange = hosts.filter(
    (name) => !(isIP(name) ? certificate.checkIP(name) : certificate.checkHost(name)),
  );
  // localhost is secure in any case, and a stranger to most certificates.
  const unnamed = strange.filter((name) => !isLocal(name));
  if (unnamed.length > 0) {
    lines.push(`The certificate does not name ${unnamed.join(', ')}: browsers will warn there.`);
  }
  const [from, to] = [Date.parse(certificate.validFrom), Date.parse(certificate.validTo)];
  if (now.getTime() > to) {
    lines.push(`The certificate ended on ${day(to)}: browsers will warn.`);
  } else if (now.getTime() < from) {
    lines.push(`The certificate begins on ${day(from)} only: browsers will warn.`);
  }
  return lines;
}

/** @param {number} time */
const day = (time) => new Date(time).toISOString().slice(0, 10);
