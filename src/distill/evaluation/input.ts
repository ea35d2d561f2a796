/** What an evaluation takes, and what it keeps of a system. */
import type { Adaptation } from '../adapters/adaptation';
import type { ChatTokenizer } from '../data/chat';
import type { Domain } from '../data/dataset';
import type { StudentEngine } from '../engine-port';
import type { GuardCase } from '../target/guard-case';
import type { TeacherSettings } from '../target/target';
import type { EvaluationSet, Guard, PromptItem, SystemName } from '../types';

export interface EvaluateInput {
  set: EvaluationSet;
  items: readonly PromptItem[];
  systems: readonly SystemName[];
  temperature: 0 | 1;
  seed: number;
  maxNewTokens: number;
  /** What the adapter system is conditioned with. */
  adaptation: Adaptation;
  /** Said in the system role to the adapter system, where the adapter is a written preamble. */
  adapterSystem?: string;
  /** How the guard's score becomes the guarded system's s. */
  teacher: TeacherSettings;
  /** What the guarded system's guard reads. */
  guardCase: GuardCase;
}

export interface EvaluateDeps {
  engine: StudentEngine;
  chat: ChatTokenizer;
  guard: Guard;
  judge: Guard;
  domain: Domain;
  /** Model ids, for the names under which reference answers are kept. */
  ids: { student: string; guard: string; judge: string };
  references?: ReferenceStore;
}

export interface EvaluateHooks {
  signal?: AbortSignal;
  /** Prompts answered or judged, of all that there are to do. */
  onProgress?: (done: number, total: number) => void;
}

/** What a system said and how it was judged. */
export interface SystemAnswers {
  tokens: number[][];
  /** log q of each token; the guarded system has none. */
  logProbs: number[][];
  guardSafe: number[];
  judgeSafe: number[];
  /** The guard's raw P(safe) of each prompt alone; the base's answers have it. */
  promptSafe?: number[];
  /** The guard's raw P(safe) of further sampled answers, [items][m − 1]; the base's have it in case B. */
  sampledSafe?: number[][];
  /** Continuous refusal score of the first tokens (METHOD.md §8); null where it is not known. */
  refusalScores?: number[] | null;
}

/** Keeps answers that do not depend on what was trained. */
export interface ReferenceStore {
  get(key: string): Promise<SystemAnswers | undefined>;
  put(key: string, answers: SystemAnswers): Promise<void>;
}

/** What stands in the system role of a system, if anything. */
export function systemText(
  name: SystemName,
  { preamble }: Pick<Domain, 'preamble'>,
  adapterSystem?: string,
): string | undefined {
  if (name === 'preamble') return preamble;
  return name === 'adapter' ? adapterSystem : undefined;
}
