/** `npm start`: installs what is missing, builds what is stale, serves on loopback. */
import { join } from 'node:path';
import { buildSite, ensureInstalled, giveUp, root } from './project.mjs';
import { parsePort, requireFreePort, serveForever } from './serve.mjs';

let port;
try {
  port = parsePort(process.env.PORT || '4173');
} catch (error) {
  giveUp(error instanceof Error ? error.message : String(error));
}
await requireFreePort(port);
ensureInstalled();
if (buildSite() !== 0) giveUp('The build failed: see above.');
await serveForever({ root: join(root, 'build'), port });
