/** The worker in which a tokenizer is tried; glue only. */
import { runTrial, type TrialFiles } from '../../distill/data/tokenizer-trial';

self.addEventListener('message', ({ data }: MessageEvent<TrialFiles>) => {
  runTrial(data, (message) => self.postMessage(message));
});
