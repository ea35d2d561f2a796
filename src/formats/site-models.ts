/** Models that were added to a site (`npm run models`), as its `models/site.json` lists them. */
import type { CatalogueEntry } from './catalogue';
import { ManifestError } from './manifest';
import { parseSourceText } from './source-text';

const MAX_MODELS = 200;
const MAX_TEXT = 200;
/** Buffers above what every WebGPU device has are split by the engine. */
const ANY_DEVICE = { maxStorageBufferBindingSize: 128 * 2 ** 20, maxBufferSize: 256 * 2 ** 20 };

/**
 * What a parsed site.json offers, as entries like the catalogue's.
 * @throws ManifestError naming the field that is wrong
 */
export function parseSiteModels(json: unknown): CatalogueEntry[] {
  const { models } = fieldsOf(json, 'site.json');
  if (!Array.isArray(models) || models.length > MAX_MODELS) {
    throw new ManifestError(`site.json must list at most ${MAX_MODELS} models.`);
  }
  return models.map((model: unknown, index) => entryOf(fieldsOf(model, `models[${index}]`), index));
}

function entryOf(fields: Record<string, unknown>, index: number): CatalogueEntry {
  const wrong = (name: string, what: string) =>
    new ManifestError(`site.json: models[${index}].${name} must be ${what}.`);
  const text = (name: string) => {
    const value = fields[name];
    if (typeof value === 'string' && value !== '' && value.length <= MAX_TEXT) return value;
    throw wrong(name, `a text of 1 to ${MAX_TEXT} characters`);
  };
  const count = (name: string) => {
    const value = fields[name];
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
    throw wrong(name, 'a whole number');
  };
  const modelId = text('modelId');
  if (!/^[0-9a-f]{16}$/.test(modelId)) throw wrong('modelId', '16 hex digits');
  const source = parseSourceText(text('id'));
  if (source.kind !== 'bundled') throw wrong('id', 'the name of a folder');
  const kind = text('kind');
  if (kind !== 'student' && kind !== 'guard' && kind !== 'judge') {
    throw wrong('kind', 'student, guard or judge');
  }
  return {
    role: kind === 'student' ? 'student' : 'guard',
    title: text('title'),
    source,
    modelId,
    bytes: count('bytes'),
    bytesExact: true,
    parameters: count('parameters'),
    licence: { name: text('licence'), url: '' },
    minimumLimits: ANY_DEVICE,
    family: kind === 'student' ? 'llama' : 'classifier',
    verified: ['Every byte, by the sha256 in its manifest'],
    unverified: ['Its structure and answers: checked when it is loaded'],
    note: 'Added to this site by whoever serves it.',
  };
}

function fieldsOf(value: unknown, name: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw new ManifestError(`${name} must be an object.`);
}
