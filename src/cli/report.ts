/** The JSON that `npm run distill` writes. */
import { shownInterval } from '../distill/statistics/statistics';
import type {
  Evaluation,
  ImportedSource,
  Measure,
  ProbeRecord,
  PromptItem,
  Recipe,
  RunEnvironment,
  RunRecord,
  SystemName,
  SystemScores,
} from '../distill/types';

/** What the run was made with, beyond what the record itself carries. */
export interface ReportEnvironment extends RunEnvironment {
  /** Where the graphics driver comes from. */
  driver: string;
  /** Versions by package, Node included. */
  versions: Record<string, string>;
}

export type ReportedSystems = Partial<Record<SystemName, SystemScores>>;

interface ReportedEvaluation {
  systems: ReportedSystems;
  counts: Evaluation['counts'];
  usefulnessDrop?: Evaluation['usefulnessDrop'];
  safetyTest?: Evaluation['safetyTest'];
  wellFormedNll?: number;
}

export interface EvaluationReport extends ReportedEvaluation {
  /** The file, and how much of it was left out. */
  imported: ImportedSource;
  /** Greedy answers, where asked for. */
  greedy?: ReportedEvaluation;
  settings: EvaluationSettings;
  environment: ReportEnvironment;
  seconds: Record<string, number>;
}

export interface EvaluationSettings {
  student: string;
  modelId: string;
  temperature: number;
  /** Of the evaluation's samples; a run's own seed is its recipe's. */
  evaluationSeed: number;
  maxNewTokens: number;
  limit: number;
}

export interface RunReport {
  /** On *wording*, sampled at temperature 1. */
  systems: ReportedSystems;
  /** The same on *intent*. */
  systemsIntent: ReportedSystems;
  /** Counts, paired comparisons and greedy columns by set. */
  evaluations: Record<string, ReportedEvaluation & { greedy?: ReportedEvaluation }>;
  steps: RunRecord['steps'];
  probes: RunRecord['probes'];
  trainedOn?: RunRecord['trainedOn'];
  /** Where they were asked for. */
  bound?: RunRecord['bound'];
  cost?: RunRecord['cost'];
  status: RunRecord['status'];
  settings: Recipe & EvaluationSettings;
  environment: ReportEnvironment;
  seconds: Record<string, number>;
  /** Null where what was trained does not fit into a link. */
  shareLink: string | null;
}

export function runReport(
  record: RunRecord,
  settings: EvaluationSettings,
  environment: ReportEnvironment,
): RunReport {
  const find = (set: string, temperature: number) =>
    record.evaluations.find((e) => e.set === set && e.temperature === temperature);
  const sets = [...new Set(record.evaluations.map(({ set }) => set))];
  const evaluations = Object.fromEntries(
    sets.map((set) => {
      const sampled = find(set, 1);
      const greedy = find(set, 0);
      return [
        set,
        {
          ...(sampled ? reported(sampled) : { systems: {}, counts: greedy!.counts }),
          ...(greedy && { greedy: reported(greedy) }),
        },
      ];
    }),
  );
  return {
    systems: evaluations.wording?.systems ?? {},
    systemsIntent: evaluations.intent?.systems ?? {},
    evaluations,
    steps: record.steps,
    probes: record.probes,
    ...(record.trainedOn && { trainedOn: record.trainedOn }),
    ...(record.bound && { bound: record.bound }),
    ...(record.cost && { cost: record.cost }),
    status: record.status,
    settings: { ...record.recipe, ...settings },
    environment,
    seconds: record.seconds,
    shareLink: record.share === null ? null : `/p#${record.share}`,
  };
}

export function reported(evaluation: Evaluation): ReportedEvaluation {
  const { counts, usefulnessDrop, safetyTest, wellFormedNll } = evaluation;
  const systems: ReportedSystems = {};
  for (const [name, system] of Object.entries(evaluation.systems)) {
    systems[name as SystemName] = system.scores;
  }
  return { systems, counts, usefulnessDrop, safetyTest, wellFormedNll };
}

/** Every answer with its prompt and verdicts, by system. */
export function answersOf(evaluation: Evaluation, items: readonly PromptItem[]) {
  return Object.fromEntries(
    Object.entries(evaluation.systems).map(([name, { answers }]) => [
      name,
      answers.map((answer, i) => ({
        prompt: items[i]!.prompt,
        label: items[i]!.label,
        ...answer,
      })),
    ]),
  );
}

/** A recording: the record without its values, which its share text carries. */
export function recording(record: RunRecord): Omit<RunRecord, 'values'> {
  const { values: _, ...rest } = record;
  return rest;
}

/** What a measure counts, so that a set without such prompts is said to be one. */
const COUNTED = {
  pairs: 'whole pair',
  safety: 'harmful prompt',
  overRefusal: 'borderline prompt',
  usefulness: 'benign prompt',
  wellFormed: 'safe answer',
} as const;

/** Never a number where nothing was measured. */
function shareText({ value, n }: Measure, of: keyof typeof COUNTED): string {
  return n === 0 ? `not measured: no ${COUNTED[of]}` : `${(100 * value).toFixed(1)}%`;
}

/** One line for a probe during training. */
export function probeText({ step, safety, overRefusal, usefulness }: ProbeRecord): string {
  return (
    `probe at ${step}: safety ${shareText(safety, 'safety')}, over-refusal ` +
    `${shareText(overRefusal, 'overRefusal')}, usefulness ${shareText(usefulness, 'usefulness')}`
  );
}

/** One line a system, for a person at the terminal. */
export function summary(title: string, systems: ReportedSystems): string {
  const percent = (measure: Measure, of: keyof typeof COUNTED) => {
    const { n } = measure;
    if (n === 0) return shareText(measure, of);
    const { low, high } = shownInterval(measure);
    return `${shareText(measure, of)} [${(100 * low).toFixed(1)}, ${(100 * high).toFixed(1)}] n=${n}`;
  };
  const lines = Object.entries(systems).map(([name, { safety, ...scores }]) => {
    const { judge, guard } = safety;
    const byGuard = guard.n === 0 ? '' : ` (guard ${shareText(guard, 'safety')})`;
    const { tokenKl } = scores;
    const kl =
      tokenKl && Number.isFinite(tokenKl.value) ? tokenKl.value.toFixed(4) : 'not measured';
    const first = `  ${name.padEnd(9)} `;
    const { pairs } = scores;
    const both = pairs ? `pairs right ${percent(pairs, 'pairs')}; ` : '';
    return [
      `${first}${both}safety ${percent(judge, 'safety')}${byGuard}`,
      `over-refusal ${percent(scores.overRefusal, 'overRefusal')}`,
      `usefulness ${percent(scores.usefulness, 'usefulness')}`,
      `well formed ${percent(scores.wellFormed, 'wellFormed')}`,
      `token KL ${kl}`,
    ].join('; ');
  });
  return [title, ...lines].join('\n');
}
