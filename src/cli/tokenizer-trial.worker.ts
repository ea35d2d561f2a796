/** The thread in which the command line tries a tokenizer; an entry of its own in the Node bundle. */
import { parentPort } from 'node:worker_threads';
import { runTrial, type TrialFiles } from '../distill/data/tokenizer-trial';

parentPort?.on('message', (files: TrialFiles) => {
  runTrial(files, (message) => parentPort?.postMessage(message));
});
