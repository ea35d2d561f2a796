/**
 * What the guard reads, and how the safe system is then sampled (METHOD.md §3). Case A reads the
 * prompt: its mixture is known exactly. Case B reads the answer too, and the target needs answers.
 */
import type { ObjectiveSpec } from '../objectives/spec';
import { choiceField, fieldsOf, numberField, onlyFields, SpecError } from '../data/spec-fields';

/**
 * How case B is trained (§3.2): `exact` accepts or rejects base answers and learns from the accepted
 * ones; `mean` (i) puts E[s(x, R)] in the place of s(x) in case A; `accepted` (iii) has case A's
 * token targets on accepted answers. The last two leave about u(1 − u) of unsafe mass.
 */
export type ResponseSampling = 'exact' | 'mean' | 'accepted';

export type GuardCase =
  | { kind: 'prompt' }
  | {
      kind: 'response';
      sampling: ResponseSampling;
      /** Base answers a prompt, from which u(x) is estimated. */
      samples: number;
      /**
       * With `exact` and KL: prompts with û up to this have whole distributions as targets, those of
       * `mean`, as quiet as case A's and off by at most û of unsafe mass. 0 leaves none.
       */
      denseBelow: number;
    };

/** What each number may be. */
export const GUARD_CASE_RANGES = {
  samples: { min: 1, max: 64, integer: true, default: 4 },
  denseBelow: { min: 0, max: 0.2, integer: false, default: 0 },
} as const;

/** @throws SpecError */
export function parseGuardCase(value: unknown, path = 'guardCase'): GuardCase {
  const fields = typeof value === 'string' ? { kind: value } : fieldsOf(value, path);
  const kind = choiceField(fields, 'kind', ['prompt', 'response'], path);
  const guardCase: GuardCase =
    kind === 'prompt'
      ? { kind }
      : {
          kind,
          sampling: choiceField(fields, 'sampling', ['exact', 'mean', 'accepted'], path),
          samples: numberField(fields, 'samples', GUARD_CASE_RANGES.samples, path),
          denseBelow: numberField(fields, 'denseBelow', GUARD_CASE_RANGES.denseBelow, path),
        };
  onlyFields(fields, Object.keys(guardCase), path);
  return guardCase;
}

/** `prompt`, `response-exact4`, `response-exact4-dense0.02`, … */
export function guardCaseKey(guardCase: GuardCase): string {
  if (guardCase.kind === 'prompt') return 'prompt';
  const { sampling, samples, denseBelow } = guardCase;
  return `response-${sampling}${samples}${denseBelow > 0 ? `-dense${denseBelow}` : ''}`;
}

/**
 * Why an objective cannot be trained with a guard case, as a sentence, or null where it can. KL goes
 * with exact sampling: there its gradient is that of the NLL of accepted answers, in expectation.
 */
export function incompatible(objective: ObjectiveSpec, guardCase: GuardCase): string | null {
  switch (objective.name) {
    case 'reinforce':
    case 'ppo':
      // A prompt guard scores every answer alike, so no answer is better than another (§4.7).
      return guardCase.kind === 'response'
        ? null
        : `${objective.name} needs a guard that reads the answer.`;
    case 'tv':
    case 'naive-tv':
    case 'reverse-kl':
    case 'js':
      return guardCase.kind === 'response' && guardCase.sampling === 'exact'
        ? `${objective.name} needs whole target distributions, which exact sampling of a response ` +
            'guard does not give; use tailr, or sampling "mean".'
        : null;
    case 'kl':
      return objective.studentShare > 0 &&
        guardCase.kind === 'response' &&
        guardCase.sampling === 'exact'
        ? "kl cannot be taken on the student's own answers with exact sampling."
        : null;
    case 'tailr':
    case 'nll':
      return guardCase.kind === 'response' && guardCase.sampling !== 'exact'
        ? `${objective.name} learns from sampled answers: with a response guard it needs sampling "exact".`
        : null;
  }
}

/** @throws SpecError where the two do not go together */
export function checkCombination(
  objective: ObjectiveSpec,
  guardCase: GuardCase,
  path = 'objective',
): void {
  const reason = incompatible(objective, guardCase);
  if (reason) throw new SpecError(path, reason);
}
