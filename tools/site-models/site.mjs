/**
 * The models of this checkout. `node tools/site-models/site.mjs` brings the list that pages read up to
 * date before a build, for folders that were copied here.
 */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { root } from '../project.mjs';
import { refresh } from './report.mjs';
import { ModelStore } from './store.mjs';

export function siteStore() {
  const models = process.env.RETORT_MODELS ?? join(root, 'public', 'models');
  return new ModelStore(models, process.env.RETORT_MODELS_WORK ?? join(root, '.models-work'));
}

/** Says only what is amiss. */
export async function refreshSite() {
  await refresh(siteStore(), (line) => console.log(`public/models/${line}`));
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) await refreshSite();
