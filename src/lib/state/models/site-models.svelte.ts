/** All models that this site knows: those that were added to it, then the catalogue. */
import { CATALOGUE, type CatalogueEntry } from '../../../formats/catalogue';

class SiteModels {
  /** Added by whoever serves the site (`npm run models`); pages carry it from when they were built. */
  added = $state.raw<readonly CatalogueEntry[]>([]);

  get all(): readonly CatalogueEntry[] {
    return [...this.added, ...CATALOGUE];
  }
}

export const siteModels = new SiteModels();
