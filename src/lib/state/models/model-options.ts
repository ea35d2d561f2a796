/** What can be chosen as student or guard on this device and this site: facts in, words out. */
import { DEFAULT_RECIPE } from '../../../distill/train/recipe';
import type { CatalogueEntry } from '../../../formats/catalogue';
import { DEFAULT_HUB, labelOf, type ModelSource } from '../../../formats/model-source';
import { parseGuardText, sameSource, sourceText } from '../../../formats/source-text';
import type { StoredModel } from '../../../workers/files/stored';
import { bytes } from '../../charts/format';
import type { DeviceFacts } from './capabilities';
import { siteModels } from './site-models.svelte';

/** What WASM has room for in its 4 GiB, which may hold a weight four times (MODELS.md §2.8). */
const MAX_WASM_PARAMETERS = 500e6;

/** What of a model is in this browser. */
export type Place =
  | { kind: 'ships' }
  | { kind: 'folder' }
  | { kind: 'stored' }
  | { kind: 'part'; bytes: number; totalBytes: number | null }
  | { kind: 'remote' };

export interface ModelOption {
  /** The source as text, what a recipe carries. */
  text: string;
  entry: CatalogueEntry;
  place: Place;
  /** Why it cannot be chosen here, as a sentence; null where it can. */
  refused: string | null;
}

/** What a page does with a student: answers also come from WASM. */
export type Purpose = 'train' | 'chat';

export function modelOptions(
  role: CatalogueEntry['role'],
  facts: DeviceFacts | null,
  stored: readonly StoredModel[],
  purpose: Purpose = 'train',
): ModelOption[] {
  return siteModels.all
    .filter((entry) => entry.role === role)
    .map((entry) => ({
      text: sourceText(entry.source),
      entry,
      place: placeOf(entry.source, stored),
      refused: facts && refusal(entry, facts, purpose),
    }));
}

export function placeOf(source: ModelSource, stored: readonly StoredModel[]): Place {
  if (source.kind === 'bundled') return { kind: 'ships' };
  if (source.kind === 'folder') return { kind: 'folder' };
  const host = source.host ?? DEFAULT_HUB;
  const found = stored.find(
    (model) =>
      model.repo === source.repo &&
      model.dtype === source.dtype &&
      model.host === host &&
      (model.commit === source.revision || model.revisions.includes(source.revision)),
  );
  if (!found) return { kind: 'remote' };
  if (found.complete) return { kind: 'stored' };
  return { kind: 'part', bytes: found.bytes, totalBytes: found.totalBytes };
}

/** Why this device cannot run it, against the limits that the catalogue asks for. */
export function refusal(
  { minimumLimits, role, family, parameters }: CatalogueEntry,
  facts: DeviceFacts,
  purpose: Purpose = 'train',
) {
  // Classifiers need no graphics processor at all.
  if (role === 'guard' && family === 'classifier') return null;
  if (purpose === 'chat' && facts.webgpu !== 'ready' && role === 'student') {
    if (parameters <= MAX_WASM_PARAMETERS) return null;
    return 'Too large to answer without WebGPU, which is not here.';
  }
  if (facts.webgpu !== 'ready') return 'Needs WebGPU, which is not here.';
  if (minimumLimits.f16 && !facts.f16) {
    return 'Needs half precision (shader-f16), which this graphics adapter lacks.';
  }
  const { maxStorageBufferBindingSize: binding, maxBufferSize: buffer } = minimumLimits;
  if (facts.maxStorageBufferBindingSize < binding) {
    return `Needs ${bytes(binding)} a binding; this device has ${bytes(facts.maxStorageBufferBindingSize)}.`;
  }
  if (facts.maxBufferSize < buffer) {
    return `Needs buffers of ${bytes(buffer)}; this device has ${bytes(facts.maxBufferSize)}.`;
  }
  return null;
}

/** "181 MB", "about 1.7 GB", "size not known". */
export function sizeWords({ bytes: size, bytesExact }: CatalogueEntry): string {
  if (size === null) return 'size not known';
  return bytesExact ? bytes(size) : `about ${bytes(size)}`;
}

export function placeWords(place: Place): string {
  switch (place.kind) {
    case 'ships':
      return 'comes with this site';
    case 'folder':
      return 'your folder';
    case 'stored':
      return 'stored here';
    case 'part': {
      const total = place.totalBytes === null ? '' : ` of ${bytes(place.totalBytes)}`;
      return `${bytes(place.bytes)}${total} here`;
    }
    case 'remote':
      return 'from the hub';
  }
}

export interface ChosenModel {
  title: string;
  entry: CatalogueEntry | null;
  source: ModelSource | null;
}

/** A recipe's text for people; whatever it is, it has a title. */
export function chosenModel(text: string): ChosenModel {
  try {
    const { source } = parseGuardText(text);
    const entry = siteModels.all.find((one) => sameSource(one.source, source)) ?? null;
    const precision = source.kind === 'hub' ? ` (${source.dtype})` : '';
    return { title: entry?.title ?? `${labelOf(source)}${precision}`, entry, source };
  } catch {
    return { title: text, entry: null, source: null };
  }
}

/** This site's student that a share link calls `modelId`, as text; null where there is none. */
export function studentOfSite(modelId: string): string | null {
  const entry = siteModels.all.find((one) => one.modelId === modelId);
  return entry ? sourceText(entry.source) : null;
}

/**
 * Bytes that a first question, or a first run, fetches: the student's own, and with them runtime, guard and
 * judge unless they are here. `labBytes` counts all of these with the default student. Null where
 * nobody has said how large a file is.
 */
export function askBytes(
  student: string,
  labBytes: number | null,
  stored: readonly StoredModel[],
  guardsHere: boolean,
): number | null {
  const own = ownBytes(student, stored);
  if (own === null || guardsHere) return own;
  const usual = chosenModel(DEFAULT_RECIPE.student).entry?.bytes ?? 0;
  return labBytes === null ? null : labBytes - usual + own;
}

function ownBytes(text: string, stored: readonly StoredModel[]): number | null {
  const { entry, source } = chosenModel(text);
  if (source === null) return null;
  const place = placeOf(source, stored);
  if (place.kind === 'folder' || place.kind === 'stored') return 0;
  if (place.kind !== 'part') return entry?.bytes ?? null;
  return place.totalBytes === null ? null : place.totalBytes - place.bytes;
}

/** What a click on Start will fetch for one model that does not come with the site; else null. */
export function fetchWords(
  text: string,
  stored: readonly StoredModel[],
  freeBytes: number | null,
): string | null {
  const { title, entry, source } = chosenModel(text);
  if (source?.kind !== 'hub') {
    return source?.kind === 'folder' ? `${title} is read from your folder, never copied.` : null;
  }
  const place = placeOf(source, stored);
  const size = entry ? sizeWords(entry) : 'size not known before';
  const free = freeBytes === null ? '' : `, ${bytes(freeBytes)} free here`;
  if (place.kind === 'stored') return `${title} is stored in this browser (${size}).`;
  if (place.kind === 'part')
    return `The download of ${title} goes on: ${placeWords(place)}${free}.`;
  const tooLarge = freeBytes !== null && (entry?.bytes ?? 0) > freeBytes;
  const keeps = tooLarge
    ? 'does not fit the storage of this browser, so it is fetched again each time'
    : 'is kept in this browser';
  return `${title} is downloaded from the hub (${size}${free}) and ${keeps}.`;
}
