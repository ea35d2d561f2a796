/** The frozen student on transformers.js: chat, parity logits, answers behind a KV prefix. */
import { describeError } from '../wire/errors';
import { Lock } from './lock';
import { openRequested } from '../files/open-request';
import type { StudentRequests } from '../wire/protocol';
import { restrictFetch } from './runtime';
import { RuntimeDecoder } from './runtime-decoder';
import { type Endpoint, type Handlers, serve } from '../wire/serve';

restrictFetch();

let student: RuntimeDecoder | null = null;
/** One generation at a time: the session cannot do two. */
const turn = new Lock();

function loaded(): RuntimeDecoder {
  if (!student) throw new RangeError('Load the student before it can answer.');
  return student;
}

const handlers: Handlers<StudentRequests> = {
  load({ device, ...request }, { emit, signal }) {
    return turn.run(async () => {
      const { files, about } = await openRequested(request, signal, emit);
      try {
        await student?.dispose();
        student = null;
        student = await RuntimeDecoder.open(files, device, () =>
          emit({ phase: 'compile', done: 0, total: 1, unit: 'items' }),
        );
      } finally {
        files.close();
      }
      emit({ phase: 'ready', done: 1, total: 1, unit: 'items', fromCache: files.fromCache });
      const isOurs = files.stored === 'memory' || files.stored === 'folder';
      const shared = isOurs ? files.share() : null;
      return { ...about, ...student.choice, vocabSize: student.shape.vocabSize, shared };
    }, signal);
  },

  logits({ tokens, prefix }, { signal, handOver }) {
    return turn.run(async () => {
      const { device, f16 } = loaded();
      const logits = await loaded().logits(tokens, prefix);
      handOver(logits);
      return { tokens, logits, device, f16 };
    }, signal);
  },

  generate({ prompt, system, ...options }, { emit, signal }) {
    return turn.run(async () => {
      const decoder = loaded();
      const tokens = decoder.chat.encodeChat({ system, user: prompt });
      const answer = await decoder.generate({
        ...options,
        tokens,
        signal,
        onText: (text) => emit({ text }),
      });
      return { ...answer, promptTokens: tokens.length };
    }, signal);
  },
};

serve<StudentRequests>(self as unknown as Endpoint, handlers, describeError);
