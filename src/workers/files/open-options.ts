/** What opening a model takes, wherever it lies. */
import type { Progress } from '../wire/protocol';

export interface OpenOptions {
  /** Address of the site, with a slash at its end: bundled models lie under `models/`. */
  baseUrl: string;
  signal?: AbortSignal;
  onProgress?: (progress: Progress) => void;
  /** The files of a `folder` source, as a drop or a directory input gave them. */
  folder?: readonly File[];
  /** A hub access token for gated models. It stays in memory. */
  token?: string;
  /** By path, 64 hex digits that hub files must have, as the catalogue may know them. */
  sha256?: Readonly<Record<string, string>>;
}
