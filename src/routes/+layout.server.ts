import { readSiteModels } from '$lib/server/bundled';

export const load = async () => ({ siteModels: await readSiteModels() });
