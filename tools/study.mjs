/** `npm run study -- …`: tables and charts of sweep documents. */
import { runBundle } from './node-bundle.mjs';

await runBundle('study', process.argv.slice(2));
