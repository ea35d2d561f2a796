/** Divergences with their gradients on the loss rows of a step, and the teacher's log-probabilities. */
import { benchKernels, POCKET } from '../gpu/bench.testing';
import { createDivergence } from './divergence';
import { createLogProb } from './divergence-logprob';

const { lossRows: rows, vocabulary } = POCKET;

benchKernels('divergence', async (bench) => {
  const values = rows * vocabulary;
  const span = bench.span(rows);
  const args = {
    studentLogits: bench.floats(values),
    teacherLogits: bench.floats(values, 2),
    coef: bench.floats(rows),
    w: bench.gpu.storage('w', rows * 4),
    // One refusal token a row.
    rhoStart: bench.words(rows + 1),
    rhoToken: bench.words(rows),
    rhoProb: bench.floats(rows),
    rowLoss: bench.gpu.storage('loss', rows * 4),
    span,
  };
  for (const objective of ['tv', 'naive-tv', 'kl', 'reverse-kl', 'js'] as const) {
    for (const lanes of [undefined, 4, 16, 64]) {
      const kernel = await createDivergence(bench.gpu, { vocabulary, objective, lanes });
      const label = `${objective}, lanes ${lanes ?? 'as chosen'}`;
      // Both are read, and the student's gradient is written.
      await bench.report(label, [kernel.bind(args)], 3 * values * 4);
    }
  }
  const logProb = await createLogProb(bench.gpu, { vocabulary });
  const token = bench.words(rows);
  const ops = [logProb.bind({ logits: args.studentLogits, token, y: args.rowLoss, span })];
  await bench.report('log-probability', ops, values * 4);
});
