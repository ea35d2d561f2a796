/**
 * The models of this tab beyond the catalogue: folders that a person gave, an access token, and how
 * a source as text becomes a request to a worker. Nothing of it is kept when the tab is closed.
 */
import type { CatalogueEntry } from '../../../formats/catalogue';
import { type ModelSource, ModelSourceError } from '../../../formats/model-source';
import { parseGuardText, parseSourceText, sameSource } from '../../../formats/source-text';
import type { GuardRequests, ModelRequest, Payload } from '../../../workers/wire/protocol';
import { siteModels } from './site-models.svelte';

type GuardRequest = Pick<Payload<GuardRequests, 'load'>, keyof ModelRequest | 'verdict'>;

/** Where tests put a hub of their own; only heeded on this machine itself. */
const HOST_KEY = 'retort-hub';
const LOOPBACK = /^(localhost|127\.0\.0\.1|\[::1\])$/;

class Models {
  /** Opens gated models; it stays in memory. */
  token = $state('');
  #folders = new Map<string, readonly File[]>();

  /** Remembers a folder's files until the tab is closed. @returns its source */
  addFolder(name: string, files: readonly File[]): ModelSource {
    const source: ModelSource = { kind: 'folder', name: this.#freeName(name) };
    this.#folders.set(source.name, files);
    return source;
  }

  hasFolder(name: string): boolean {
    return this.#folders.has(name);
  }

  /** @throws ModelSourceError */
  studentRequest(text: string, baseUrl: string): ModelRequest {
    return this.#request(parseSourceText(text), baseUrl);
  }

  /** @throws ModelSourceError */
  guardRequest(text: string, baseUrl: string): GuardRequest {
    const { source, verdict } = parseGuardText(text);
    const known = verdict ?? entryOf(source)?.verdict;
    return { ...this.#request(source, baseUrl), ...(known ? { verdict: known } : {}) };
  }

  /** A hub of this machine's own, for tests; undefined everywhere else. */
  get hubHost(): string | undefined {
    if (!LOOPBACK.test(location.hostname)) return undefined;
    return localStorage.getItem(HOST_KEY) ?? undefined;
  }

  #request(source: ModelSource, baseUrl: string): ModelRequest {
    switch (source.kind) {
      case 'bundled':
        return { source, baseUrl };
      case 'hub': {
        const host = this.hubHost;
        return {
          source: host ? { ...source, host } : source,
          baseUrl,
          ...(this.token.trim() ? { token: this.token.trim() } : {}),
        };
      }
      case 'folder': {
        const folder = this.#folders.get(source.name);
        if (folder) return { source, baseUrl, folder };
        throw new ModelSourceError(
          `The files of the folder "${source.name}" are not in this tab any more. Choose the folder again.`,
        );
      }
    }
  }

  /** Another folder of the same name is another model. */
  #freeName(wanted: string): string {
    const base = wanted.replace(/[/\\:?]/g, '-').slice(0, 100) || 'folder';
    let name = base;
    for (let i = 2; this.#folders.has(name); i++) name = `${base} ${i}`;
    return name;
  }
}

/** What this site says of a source; null for what a person brought. */
export function entryOf(source: ModelSource): CatalogueEntry | null {
  return siteModels.all.find((entry) => sameSource(entry.source, source)) ?? null;
}

export const models = new Models();
