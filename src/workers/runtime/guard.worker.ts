/** A guard or a judge: a text classifier, or a generative guard read at its verdict. Glue only. */
import type { Verdict } from '../../formats/catalogue';
import { Classifier, type Item } from './classifier';
import type { DeviceChoice } from './device';
import { describeError } from '../wire/errors';
import { type ModelFileSet, readJson } from '../files/open-model';
import { Lock } from './lock';
import { openRequested } from '../files/open-request';
import type { VerdictForm, GuardRequests, Payload, Progress } from '../wire/protocol';
import { restrictFetch } from './runtime';
import { type Endpoint, type Handlers, serve } from '../wire/serve';
import { VerdictModel } from './verdict-model';

restrictFetch();

interface Scorer {
  choice: DeviceChoice;
  score(items: readonly Item[], signal: AbortSignal): Promise<Float64Array>;
  dispose(): Promise<void>;
}

let scorer: Scorer | null = null;
/** Sessions run one call at a time: callers on two ports take turns. */
const turn = new Lock();

/** A model that writes text is read at its verdict, whatever nobody has said about it. */
async function verdictOf(files: ModelFileSet, given?: Verdict): Promise<Verdict | undefined> {
  if (given) return given;
  const { architectures } = (await readJson(files, 'config.json')) as { architectures?: unknown };
  const generates = Array.isArray(architectures) && String(architectures[0]).endsWith('CausalLM');
  return generates ? { kind: 'generated', safe: 'safe', unsafe: 'unsafe' } : undefined;
}

async function openScorer(
  files: ModelFileSet,
  { device, verdict: given, runOn = 'runtime' }: Payload<GuardRequests, 'load'>,
  onProgress: (progress: Progress) => void,
): Promise<{ scorer: Scorer; reading: VerdictForm }> {
  const verdict = await verdictOf(files, given);
  if (verdict?.kind === 'generated') {
    const { safe, unsafe } = verdict;
    const model = await VerdictModel.open(files, { device, runOn, safe, unsafe, onProgress });
    return { scorer: model, reading: { kind: 'generated', safe, unsafe, by: model.by } };
  }
  const classifier = await Classifier.open(files, device, verdict?.safe, () =>
    onProgress({ phase: 'compile', done: 0, total: 1, unit: 'items' }),
  );
  const { labels, safe } = classifier.reading;
  return {
    scorer: classifier,
    reading: { kind: 'labels', labels, safe: safe.map((index) => labels[index]!) },
  };
}

const handlers: Handlers<GuardRequests> = {
  load(request, { emit, signal }) {
    return turn.run(async () => {
      const { files, about } = await openRequested(request, signal, emit);
      try {
        await scorer?.dispose();
        scorer = null;
        const opened = await openScorer(files, request, emit);
        scorer = opened.scorer;
        emit({ phase: 'ready', done: 1, total: 1, unit: 'items', fromCache: files.fromCache });
        return { ...about, ...scorer.choice, reading: opened.reading };
      } finally {
        files.close();
      }
    }, signal);
  },

  score({ items }, { signal, handOver }) {
    return turn.run(async () => {
      if (!scorer) throw new RangeError('Load the guard before it can score.');
      const start = performance.now();
      const safe = await scorer.score(items, signal);
      handOver(safe);
      return { safe, milliseconds: performance.now() - start };
    }, signal);
  },

  async connect({ port }) {
    serve<Pick<GuardRequests, 'score'>>(port, { score: handlers.score }, describeError);
    port.start();
    return null;
  },
};

serve<GuardRequests>(self as unknown as Endpoint, handlers, describeError);
