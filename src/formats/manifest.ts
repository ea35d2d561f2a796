/** Manifests of a site's models: what belongs to a model, how it was made, what it measures. */
import { KnownError } from './errors';

import { shown } from './shown';

export type ModelKind = 'student' | 'guard' | 'judge';

/** Bytes that lie in one file of the manifest's folder. */
export interface ManifestPart {
  /** Relative to the manifest's folder. */
  path: string;
  /** 64 hex digits. */
  sha256: string;
  bytes: number;
}

/** A file of the model; where it is cut, `path` is its name and the parts are what is stored. */
export interface ManifestFile extends ManifestPart {
  /** In order; together they are the file. */
  parts?: ManifestPart[];
}

export interface ModelManifest {
  id: string;
  kind: ModelKind;
  version: string;
  files: ManifestFile[];
  /** Weights of the model before quantisation. */
  parameters: number;
  licence: string;
  /** For people; the id where absent. */
  title?: string;
  /** Where its weights come from, where they were not trained here. */
  source?: string;
  /** The commit of a hub's repository that `source` names. */
  revision?: string;
  /** Of its training, where it was trained here. */
  seed?: number;
  /** Which data it was trained on, where it was trained here. */
  split?: string;
  /** What to type to make it again. */
  command: string;
  /** Versions of the tools that made it. */
  versions: Record<string, string>;
  /** Measured figures, as tools/models wrote them; empty where nothing was measured. */
  scores: Record<string, unknown>;
}

/** A manifest that cannot be used; names the field. */
export class ManifestError extends KnownError {
  override readonly name = 'ManifestError';
  readonly errorCode = 'integrity';
}

/** A file is not the one its manifest lists: damaged on the way, or another version. */
export class IntegrityError extends KnownError {
  override readonly name = 'IntegrityError';
  readonly errorCode = 'integrity';
  constructor(
    readonly path: string,
    readonly expected: string,
    readonly actual: string,
  ) {
    super(
      `The file ${path} is damaged or not the right version: expected ${expected}, got ${actual}. ` +
        'Reload the page to fetch it again.',
    );
  }
}

const KINDS: readonly ModelKind[] = ['student', 'guard', 'judge'];
const MAX_FILES = 64;
const MAX_PATH = 1024;
/** Of one file. */
const MAX_PARTS = 4096;
/** Of one file that is joined in memory: what every engine gives an ArrayBuffer. */
const MAX_JOINED_BYTES = 2 ** 31 - 1;

/** Reads a parsed manifest.json. Throws {@link ManifestError}. */
export function parseManifest(json: unknown): ModelManifest {
  const fields = record(json, 'The manifest');
  const text = (name: string): string => {
    const value = fields[name];
    if (typeof value !== 'string' || value === '') throw wrong(name, 'a text', value);
    return value;
  };
  const kind = KINDS.find((known) => known === fields.kind);
  if (kind === undefined) throw wrong('kind', KINDS.join(', '), fields.kind);
  const { files } = fields;
  if (!Array.isArray(files) || files.length === 0 || files.length > MAX_FILES) {
    throw new ManifestError(`The manifest must list 1 to ${MAX_FILES} files.`);
  }
  const versions = record(fields.versions, 'versions');
  for (const [tool, version] of Object.entries(versions)) {
    if (typeof version !== 'string') throw wrong(`versions.${tool}`, 'a text', version);
  }
  const parsed = files.map(parseFile);
  const paths = parsed.flatMap(({ path, parts = [] }) => [path, ...parts.map((part) => part.path)]);
  if (new Set(paths).size !== paths.length) {
    throw new ManifestError('The manifest lists a file twice.');
  }
  const optionalText = (name: string) => (fields[name] === undefined ? {} : { [name]: text(name) });
  return {
    id: text('id'),
    kind,
    version: text('version'),
    files: parsed,
    parameters: count(fields.parameters, 'parameters'),
    licence: text('licence'),
    ...optionalText('title'),
    ...optionalText('source'),
    ...optionalText('revision'),
    ...(fields.seed === undefined ? {} : { seed: count(fields.seed, 'seed') }),
    ...optionalText('split'),
    command: text('command'),
    versions: versions as Record<string, string>,
    scores: fields.scores === undefined ? {} : record(fields.scores, 'scores'),
  };
}

function parseFile(json: unknown, index: number): ManifestFile {
  const name = `files[${index}]`;
  const file = parsePart(json, name);
  const { parts } = json as { parts?: unknown };
  if (parts === undefined) return file;
  if (!Array.isArray(parts) || parts.length === 0 || parts.length > MAX_PARTS) {
    throw new ManifestError(`The manifest's ${name}.parts must list 1 to ${MAX_PARTS} parts.`);
  }
  const parsed = parts.map((part, at) => parsePart(part, `${name}.parts[${at}]`));
  const sum = parsed.reduce((bytes, part) => bytes + part.bytes, 0);
  if (sum !== file.bytes) {
    throw new ManifestError(
      `The manifest's ${name} has ${file.bytes} bytes, but its parts have ${sum}.`,
    );
  }
  if (sum > MAX_JOINED_BYTES) {
    throw new ManifestError(`The manifest's ${name} has ${sum} bytes, too many to join in memory.`);
  }
  return { ...file, parts: parsed };
}

function parsePart(json: unknown, name: string): ManifestPart {
  const fields = record(json, name);
  const { path, sha256 } = fields;
  if (typeof path !== 'string' || !isInnerPath(path)) {
    throw wrong(`${name}.path`, 'a path inside the folder of the model', path);
  }
  if (typeof sha256 !== 'string' || !/^[0-9a-f]{64}$/.test(sha256)) {
    throw wrong(`${name}.sha256`, '64 hex digits', sha256);
  }
  return { path, sha256, bytes: count(fields.bytes, `${name}.bytes`) };
}

/** Plain names separated by slashes: nothing that leads out of the folder or to another host. */
function isInnerPath(path: string): boolean {
  const parts = path.split('/');
  return path.length <= MAX_PATH && parts.every((part) => /^[\w][\w.-]*$/.test(part));
}

/** Throws {@link IntegrityError} unless `bytes` have the length and the sha256 that `file` lists. */
export async function verifyFile(
  file: ManifestPart,
  bytes: Uint8Array<ArrayBuffer>,
): Promise<void> {
  if (bytes.byteLength !== file.bytes) {
    throw new IntegrityError(file.path, `${file.bytes} bytes`, `${bytes.byteLength}`);
  }
  const actual = await sha256Hex(bytes);
  if (actual !== file.sha256) {
    throw new IntegrityError(
      file.path,
      `sha256 ${file.sha256.slice(0, 12)}…`,
      actual.slice(0, 12) + '…',
    );
  }
}

/** What is stored of a file, in order: its parts, or the file itself where it is not cut. */
export function storedParts(file: ManifestFile): readonly ManifestPart[] {
  return file.parts ?? [file];
}

/**
 * A whole file from what is stored of it. `readChecked` finds a part's bytes, wherever they lie, and
 * holds them to {@link verifyFile}; what the parts make is held to the file's own hash here.
 * @throws IntegrityError; whatever `readChecked` throws
 */
export async function readWhole(
  file: ManifestFile,
  readChecked: (part: ManifestPart) => Promise<Uint8Array<ArrayBuffer>>,
): Promise<Uint8Array<ArrayBuffer>> {
  if (!file.parts) return readChecked(file);
  const whole = new Uint8Array(file.bytes);
  let at = 0;
  for (const part of file.parts) {
    whole.set(await readChecked(part), at);
    at += part.bytes;
  }
  await verifyFile(file, whole);
  return whole;
}

/** What a share link calls a model: the first 8 bytes of the sha256 of its manifest.json, in hex. */
export async function manifestId(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return (await sha256Hex(bytes)).slice(0, 16);
}

/** sha256 in 64 hex digits. */
export async function sha256Hex(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  // Browsers hide it on plain http from other hosts, where WebGPU is hidden too.
  const subtle: SubtleCrypto | undefined = globalThis.crypto?.subtle;
  if (subtle === undefined) {
    throw new ManifestError(
      'Files cannot be checked here: open the page over https or from this machine (localhost).',
    );
  }
  const digest = new Uint8Array(await subtle.digest('SHA-256', bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

function record(value: unknown, name: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw new ManifestError(`${name} must be an object.`);
}

function count(value: unknown, name: string): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw wrong(name, 'a whole number', value);
}

function wrong(name: string, expected: string, value: unknown): ManifestError {
  return new ManifestError(`The manifest's ${name} must be ${expected}, not ${shown(value)}.`);
}
