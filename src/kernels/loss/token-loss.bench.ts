/** Losses of given tokens with their gradients: likelihood, TaiLr, PPO. */
import { benchKernels, POCKET } from '../gpu/bench.testing';
import { createTokenLoss, type TokenObjective } from './token-loss';

const { lossRows: rows, vocabulary } = POCKET;
const OBJECTIVES: readonly TokenObjective[] = [
  { name: 'likelihood' },
  { name: 'tailr', gamma: 0.5, minWeight: 0.1 },
  { name: 'ppo', clip: 0.2 },
];

benchKernels('token loss', async (bench) => {
  const values = rows * vocabulary;
  const args = {
    studentLogits: bench.floats(values),
    token: bench.words(rows),
    coef: bench.floats(rows),
    advantage: bench.floats(rows, 2),
    oldLogProb: bench.floats(rows, 3),
    rowLoss: bench.gpu.storage('loss', rows * 4),
    span: bench.span(rows),
  };
  for (const objective of OBJECTIVES) {
    const kernel = await createTokenLoss(bench.gpu, { vocabulary, objective });
    await bench.report(objective.name, [kernel.bind(args)], 2 * values * 4);
  }
});
