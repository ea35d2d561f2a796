/** `npm start`: installs what is missing, builds what is stale, serves. */
import { join } from 'node:path';
import { LISTEN_HELP, parseListen } from './listen.mjs';
import { buildSite, ensureInstalled, giveUp, root } from './project.mjs';
import { refuse, requireFreePort, serveForever } from './serve.mjs';
import { refreshSite } from './site-models/site.mjs';

const { listen, help } = await parseListen(process.argv.slice(2), {}).catch(refuse);
if (help) {
  console.log(`npm start -- [OPTIONS]

Installs what is missing, builds what is stale, and serves the site.

${LISTEN_HELP}`);
} else {
  await requireFreePort(listen);
  ensureInstalled();
  await refreshSite();
  if (buildSite() !== 0) giveUp('The build failed: see above.');
  await serveForever({ ...listen, root: join(root, 'build') });
}
