/** `npm run distill -- …`: a headless run. */
import { runBundle } from './node-bundle.mjs';

await runBundle('distill', process.argv.slice(2));
