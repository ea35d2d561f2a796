/** Manifests of bundled models: what belongs to a model, how it was made, what it measures. */

export type ModelKind = 'student' | 'guard' | 'judge';

export interface ManifestFile {
  /** Relative to the manifest's folder. */
  path: string;
  /** 64 hex digits. */
  sha256: string;
  bytes: number;
}

export interface ModelManifest {
  id: string;
  kind: ModelKind;
  version: string;
  files: ManifestFile[];
  /** Weights of the model before quantisation. */
  parameters: number;
  licence: string;
  seed: number;
  /** Which data it was trained on. */
  split: string;
  /** What to type to make it again. */
  command: string;
  /** Versions of the tools that made it. */
  versions: Record<string, string>;
  /** Measured figures, as tools/models wrote them. */
  scores: Record<string, unknown>;
}

/** A manifest that cannot be used; names the field. */
export class ManifestError extends Error {
  override readonly name = 'ManifestError';
}

/** A file is not the one its manifest lists: damaged on the way, or another version. */
export class IntegrityError extends Error {
  override readonly name = 'IntegrityError';
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
  if (new Set(parsed.map(({ path }) => path)).size !== parsed.length) {
    throw new ManifestError('The manifest lists a file twice.');
  }
  return {
    id: text('id'),
    kind,
    version: text('version'),
    files: parsed,
    parameters: count(fields.parameters, 'parameters'),
    licence: text('licence'),
    seed: count(fields.seed, 'seed'),
    split: text('split'),
    command: text('command'),
    versions: versions as Record<string, string>,
    scores: record(fields.scores, 'scores'),
  };
}

function parseFile(json: unknown, index: number): ManifestFile {
  const fields = record(json, `files[${index}]`);
  const { path, sha256 } = fields;
  if (typeof path !== 'string' || !isInnerPath(path)) {
    throw wrong(`files[${index}].path`, 'a path inside the folder of the model', path);
  }
  if (typeof sha256 !== 'string' || !/^[0-9a-f]{64}$/.test(sha256)) {
    throw wrong(`files[${index}].sha256`, '64 hex digits', sha256);
  }
  return { path, sha256, bytes: count(fields.bytes, `files[${index}].bytes`) };
}

/** Plain names separated by slashes: nothing that leads out of the folder or to another host. */
function isInnerPath(path: string): boolean {
  return path.split('/').every((part) => /^[\w][\w.-]*$/.test(part));
}

/** Throws {@link IntegrityError} unless `bytes` have the length and the sha256 that `file` lists. */
export async function verifyFile(
  file: ManifestFile,
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
  return new ManifestError(
    `The manifest's ${name} must be ${expected}, not ${JSON.stringify(value)}.`,
  );
}
