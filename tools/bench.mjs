/** `npm run bench -- …`: the benchmarks of bench/, in Node on Dawn. */
import { runBundle } from './node-bundle.mjs';

await runBundle('bench', process.argv.slice(2));
