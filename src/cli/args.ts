/** The command line of `npm run distill`, typed. */
import { parseArgs, type ParseArgsConfig } from 'node:util';
import { ADAPTER_KINDS, ADAPTER_RANGES } from '../distill/adapters/adapter-spec';
import { OBJECTIVE_NAMES } from '../distill/objectives/spec';
import { parseRecipe, RECIPE_RANGES, DEFAULT_RECIPE, RecipeError } from '../distill/train/recipe';
import { learnsFromItself } from '../distill/train/training-data';
import type { Label, Recipe } from '../distill/types';
import { type Delimiter, DELIMITERS, PROMPT_LABELS } from '../formats/datasets/types';

/** Arguments that cannot be used: one line, exit 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

export interface Arguments {
  help: boolean;
  recipe: Recipe;
  /** File for the JSON report; standard output where absent. */
  out: string | null;
  /** File for the run as a recording that the pages can show. */
  record: string | null;
  /** Prompts to train on, besides the bundled ones or instead of them. */
  train: { file: string; prompts: 'replace' | 'add' } | null;
  /** Prompts to evaluate on instead of training. */
  eval: string | null;
  /** Of every prompt of a file, or by what its label column says; null for what the file says. */
  label: Label | Record<string, Label> | null;
  /** Of a CSV file; null for what the file says. */
  delimiter: Delimiter | null;
  /** A share link whose prompt is evaluated by --eval. */
  prompt: string | null;
  /** A sweep's specification, and the document of its results. */
  sweep: { spec: string; results: string } | null;
  /** Documents of a sweep's parts to be joined, and the specification of the whole if there is one. */
  merge: { documents: string[]; spec: string | null; results: string } | null;
  /** Write merged verdicts in three characters a prompt. */
  compact: boolean;
  /** Run a sweep's failed cells again. */
  retry: boolean;
  /** Keep the text of answers in a sweep's results. */
  answers: boolean;
  /** Steps between a sweep's probes; 0 = none. */
  probeEvery: number;
  /** Evaluate at most this many prompts of each label; 0 = all. */
  limit: number;
  greedy: boolean;
  /** Prompts of each label on which the bound is measured; 0 = none. */
  bound: number;
  /** Measure what each system costs. */
  cost: boolean;
  evaluate: boolean;
  /** Make guard scores and base samples anew, whatever is shipped. */
  fresh: boolean;
  /** File for the prepared data. */
  prepared: string | null;
  /** Only prepare; needs --prepared. */
  prepareOnly: boolean;
  models: string;
  data: string;
  quiet: boolean;
}

/** Options that set a number of the recipe. */
const RECIPE_OPTIONS = {
  steps: 'steps',
  seed: 'seed',
  batch: 'batchSize',
  lr: 'learningRate',
  warmup: 'warmup',
  'clip-norm': 'clipNorm',
  strictness: 'strictness',
  'guard-temperature': 'guardTemperature',
  'guard-clip': 'guardClip',
  'max-new-tokens': 'maxNewTokens',
  'quantise-last': 'quantiseLast',
} as const satisfies Record<string, keyof typeof RECIPE_RANGES>;

/** Options that name a specification, or write it out as JSON. */
const SPEC_OPTIONS = {
  adapter: 'adapter',
  objective: 'objective',
  'guard-case': 'guardCase',
} as const satisfies Record<string, keyof Recipe>;

const OPTIONS = {
  help: { type: 'boolean', short: 'h' },
  student: { type: 'string' },
  guard: { type: 'string' },
  adapter: { type: 'string' },
  objective: { type: 'string' },
  'guard-case': { type: 'string' },
  'virtual-tokens': { type: 'string' },
  out: { type: 'string' },
  record: { type: 'string' },
  train: { type: 'string' },
  'with-bundled': { type: 'boolean' },
  eval: { type: 'string' },
  label: { type: 'string' },
  delimiter: { type: 'string' },
  prompt: { type: 'string' },
  sweep: { type: 'string' },
  results: { type: 'string' },
  merge: { type: 'string' },
  compact: { type: 'boolean' },
  retry: { type: 'boolean' },
  answers: { type: 'boolean' },
  'probe-every': { type: 'string' },
  limit: { type: 'string' },
  greedy: { type: 'boolean' },
  bound: { type: 'string' },
  cost: { type: 'boolean' },
  'no-evaluation': { type: 'boolean' },
  fresh: { type: 'boolean' },
  prepared: { type: 'string' },
  'prepare-only': { type: 'boolean' },
  models: { type: 'string' },
  data: { type: 'string' },
  quiet: { type: 'boolean' },
  ...(Object.fromEntries(
    Object.keys(RECIPE_OPTIONS).map((name) => [name, { type: 'string' }]),
  ) as Record<keyof typeof RECIPE_OPTIONS, { type: 'string' }>),
} as const satisfies ParseArgsConfig['options'];

/** @throws UsageError */
export function parseArguments(argv: readonly string[]): Arguments {
  const values = readOptions(argv);
  const fields: Record<string, unknown> = { student: values.student, guard: values.guard };
  for (const [option, field] of Object.entries(SPEC_OPTIONS)) {
    const text = values[option as keyof typeof SPEC_OPTIONS];
    if (text !== undefined) fields[field] = specification(option, text);
  }
  const tokens = values['virtual-tokens'];
  if (tokens !== undefined) fields.virtualTokens = number('virtual-tokens', tokens);
  for (const [option, field] of Object.entries(RECIPE_OPTIONS)) {
    const text = values[option as keyof typeof RECIPE_OPTIONS];
    if (text !== undefined) fields[field] = number(option, text);
  }
  const args: Arguments = {
    help: values.help ?? false,
    recipe: recipeFrom(fields),
    out: values.out ?? null,
    record: values.record ?? null,
    train:
      values.train === undefined
        ? null
        : { file: values.train, prompts: values['with-bundled'] ? 'add' : 'replace' },
    eval: values.eval ?? null,
    label: values.label === undefined ? null : labelOf(values.label),
    delimiter: values.delimiter === undefined ? null : delimiterOf(values.delimiter),
    prompt: values.prompt ?? null,
    sweep: null,
    merge: mergeOf(values),
    compact: values.compact ?? false,
    retry: values.retry ?? false,
    answers: values.answers ?? false,
    probeEvery:
      values['probe-every'] === undefined ? 0 : number('probe-every', values['probe-every']),
    limit: values.limit === undefined ? 0 : number('limit', values.limit),
    greedy: values.greedy ?? false,
    bound: values.bound === undefined ? 0 : number('bound', values.bound),
    cost: values.cost ?? false,
    evaluate: !values['no-evaluation'],
    fresh: values.fresh ?? false,
    prepared: values.prepared ?? null,
    prepareOnly: values['prepare-only'] ?? false,
    models: values.models ?? 'public/models',
    data: values.data ?? 'public/data',
    quiet: values.quiet ?? false,
  };
  if (args.recipe.student.includes(':')) {
    throw new UsageError('--student must be a folder of --models: nothing is downloaded here.');
  }
  if (!Number.isInteger(args.bound) || args.bound < 0) {
    throw new UsageError('--bound must be a whole number, 0 for none.');
  }
  if (!Number.isInteger(args.limit) || args.limit < 0) {
    throw new UsageError('--limit must be a whole number, 0 for all.');
  }
  if (!Number.isInteger(args.probeEvery) || args.probeEvery < 0) {
    throw new UsageError('--probe-every must be a whole number, 0 for no probes.');
  }
  if (!args.merge && (values.sweep === undefined) !== (values.results === undefined)) {
    throw new UsageError('--sweep SPEC and --results FILE go together.');
  }
  if (args.compact && !args.merge) throw new UsageError('--compact goes with --merge.');
  if (values.results !== undefined) {
    if (!args.merge) args.sweep = { spec: values.sweep!, results: values.results };
    const file = ['train', 'eval', 'label', 'delimiter', 'out', 'record', 'prepared'].find(
      (name) => name in values,
    );
    const field = Object.keys(fields).find((name) => fields[name] !== undefined);
    if (file ?? field) {
      const [option, what] = args.merge ? ['merge', 'joined'] : ['sweep', 'run'];
      throw new UsageError(
        `--${option} says what is ${what} and where: ${file ?? field} does not go with it.`,
      );
    }
  }
  if (values['with-bundled'] && args.train === null) {
    throw new UsageError('--with-bundled goes with --train FILE.');
  }
  if (args.label !== null && args.train === null && args.eval === null) {
    throw new UsageError('--label goes with --train or --eval: it labels the prompts of a file.');
  }
  if (args.delimiter !== null && args.train === null && args.eval === null) {
    throw new UsageError('--delimiter goes with --train or --eval: it splits the rows of a file.');
  }
  if (args.prompt !== null && args.eval === null) {
    throw new UsageError('--prompt goes with --eval: it names the prompt to evaluate.');
  }
  if (args.prepareOnly && args.prepared === null) {
    throw new UsageError('--prepare-only needs --prepared FILE to write to.');
  }
  if (args.prepared !== null && learnsFromItself(args.recipe)) {
    const { name } = args.recipe.objective;
    throw new UsageError(
      `--prepared: ${name} learns from the student's own answers, so nothing is prepared for it.`,
    );
  }
  if (args.record !== null && args.recipe.adapter.kind !== 'soft-prompt') {
    throw new UsageError('--record needs a soft prompt: a recording carries it as its link.');
  }
  if (args.eval !== null && (args.record ?? args.train ?? (args.prepareOnly || null)) !== null) {
    throw new UsageError(
      '--eval does not train: --train, --record and --prepare-only do not go with it.',
    );
  }
  return args;
}

/** @throws UsageError */
function mergeOf({ merge, sweep, results }: ReturnType<typeof readOptions>): Arguments['merge'] {
  if (merge === undefined) return null;
  const documents = merge.split(',').filter((path) => path !== '');
  if (documents.length === 0) throw new UsageError('--merge needs documents: A.json,B.json.');
  if (results === undefined) throw new UsageError('--merge needs --results FILE to write to.');
  return { documents, spec: sweep ?? null, results };
}

function readOptions(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options: OPTIONS, strict: true, allowPositionals: false })
      .values;
  } catch (error) {
    // Node explains at length how to pass dashes; its first sentence names what is wrong.
    const [sentence] = (error as Error).message.split(/\. |\n/);
    throw new UsageError(`${sentence!.replace(/\.$/, '')}. --help lists all options.`);
  }
}

function recipeFrom(fields: Record<string, unknown>): Recipe {
  try {
    return parseRecipe(fields);
  } catch (error) {
    if (!(error instanceof RecipeError)) throw error;
    const options = { ...RECIPE_OPTIONS, ...SPEC_OPTIONS, 'virtual-tokens': 'virtualTokens' };
    const option = Object.entries(options).find(([, field]) => field === error.field)?.[0];
    throw new UsageError(error.message.replace(error.field, `--${option ?? error.field}`));
  }
}

/** A label, or what the values of the label column mean: 0=benign,1=harmful. */
function labelOf(text: string): Label | Record<string, Label> {
  if (!text.includes('=')) return oneLabel(text);
  const meanings = text.split(',').map((part): [string, Label] => {
    const at = part.lastIndexOf('=');
    const value = part.slice(0, Math.max(at, 0)).trim().toLowerCase();
    if (value !== '') return [value, oneLabel(part.slice(at + 1).trim())];
    throw new UsageError(`--label needs VALUE=LABEL,VALUE=LABEL, not "${text}".`);
  });
  return Object.fromEntries(meanings);
}

function oneLabel(text: string): Label {
  const label = PROMPT_LABELS.find((known) => known === text);
  if (label) return label;
  throw new UsageError(`--label must be one of ${PROMPT_LABELS.join(', ')}, not "${text}".`);
}

/** Shells make tabs and semicolons hard to type. */
const DELIMITER_NAMES: Record<string, Delimiter> = {
  ...{ comma: ',', semicolon: ';', tab: '\t', '\\t': '\t', bar: '|', pipe: '|' },
};

function delimiterOf(text: string): Delimiter {
  const found = DELIMITERS.find((known) => known === text) ?? DELIMITER_NAMES[text.toLowerCase()];
  if (found) return found;
  throw new UsageError(`--delimiter must be one of comma, semicolon, tab, bar, not "${text}".`);
}

/** A name as it is, or what JSON says. @throws UsageError */
function specification(option: string, text: string): unknown {
  if (!text.trimStart().startsWith('{')) return text;
  try {
    return JSON.parse(text);
  } catch {
    throw new UsageError(`--${option} must be a name or JSON, not ${text}`);
  }
}

function number(option: string, text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) {
    throw new UsageError(`--${option} must be a number, not "${text}".`);
  }
  return value;
}

const RECIPE_HELP: Readonly<Record<keyof typeof RECIPE_OPTIONS, string>> = {
  steps: 'training steps',
  seed: 'seed of start values, order and wordings',
  batch: 'examples a step',
  lr: 'learning rate at its peak',
  warmup: 'share of the steps in which the rate rises',
  'clip-norm': 'gradient norm above which gradients are scaled',
  strictness: "b in logit s' = logit(s)/T + b; negative is stricter",
  'guard-temperature': 'T, calibration temperature of the guard',
  'guard-clip': 's is clipped to [e, 1 - e]',
  'max-new-tokens': 'longest answer, in tokens',
  'quantise-last': 'share of the last steps through int4',
};

const HELP_COLUMN = 29;

export function helpText(): string {
  const { n } = ADAPTER_RANGES;
  const line = (name: string, what: string) => `  --${name}`.padEnd(HELP_COLUMN) + what;
  const recipe = Object.entries(RECIPE_OPTIONS).map(([name, field]) => {
    const { min, max } = RECIPE_RANGES[field];
    const what = RECIPE_HELP[name as keyof typeof RECIPE_OPTIONS];
    return line(`${name} N`, `${what} (${DEFAULT_RECIPE[field]}; ${min} to ${max})`);
  });
  return [
    'Distils the guarded system into an adapter without a browser, on the same engine.',
    '',
    '  npm run distill -- --student pocket --objective tv --steps 150 --seed 0 --out run.json',
    '  npm run distill -- --sweep sweep.json --results results.json',
    '  npm run distill -- --eval prompts.jsonl [--prompt LINK] [--out scores.json]',
    '',
    'Recipe (default; range):',
    line('student NAME', `a folder of --models (${DEFAULT_RECIPE.student})`),
    line('guard NAME', `a folder of --models, with its safe labels: name?safe=A&safe=B`),
    line('adapter SPEC', `${ADAPTER_KINDS.join(', ')} (${ADAPTER_KINDS[0]}), or JSON such as`),
    `${' '.repeat(HELP_COLUMN)}'{"kind":"lora","rank":2}'`,
    line('objective SPEC', `${OBJECTIVE_NAMES.slice(0, 5).join(', ')},`),
    `${' '.repeat(HELP_COLUMN)}${OBJECTIVE_NAMES.slice(5).join(', ')} (${DEFAULT_RECIPE.objective.name}), or JSON`,
    line('guard-case SPEC', 'prompt or response (prompt), or JSON: what the guard reads'),
    line('virtual-tokens N', `vectors of a soft prompt (${n.default}; ${n.min} to ${n.max})`),
    ...recipe,
    '',
    'Prompts of your own (CSV, JSON or JSONL; see docs/datasets.md):',
    line('train FILE', 'train on these prompts instead of the bundled ones'),
    line('with-bundled', 'with --train: besides the bundled ones'),
    line('eval FILE', 'evaluate on these prompts instead of training'),
    line('label LABEL', 'label of every prompt of the file: harmful, borderline or benign; or of'),
    `${' '.repeat(HELP_COLUMN)}each value of its label column: 0=benign,1=harmful`,
    line('delimiter SIGN', 'of a CSV file: comma, semicolon, tab or bar (found by itself)'),
    '',
    'Evaluation:',
    line('prompt LINK', 'with --eval: a share link whose prompt is evaluated too'),
    line('sweep SPEC', 'run the cells of a sweep one by one (JSON, see docs/sweeps.md);'),
    `${' '.repeat(HELP_COLUMN)}goes on where it was left`,
    line('results FILE', 'with --sweep: the document of its results'),
    line('retry', 'with --sweep: run failed cells again'),
    line('answers', 'with --sweep: keep the text of answers'),
    line('merge A,B,…', 'join documents of one sweep run in parts into --results; with --sweep'),
    `${' '.repeat(HELP_COLUMN)}SPEC that says what is planned, else all that the parts planned`,
    line('compact', 'with --merge: verdicts in three characters a prompt, to publish'),
    line('probe-every N', 'with --sweep: steps between probes (0 = none)'),
    line('limit N', 'evaluate at most N prompts of each label (0 = all)'),
    line('greedy', 'evaluate greedy answers as well'),
    line('bound N', 'measure the distance to the safe system on N prompts of each label'),
    line('cost', 'measure what each system costs: bytes, prefill, time'),
    line('no-evaluation', 'train only'),
    '',
    'Files:',
    line('out FILE', 'write the JSON report there (default: standard output)'),
    line('record FILE', 'write the run as a recording for the pages'),
    line('fresh', 'make guard scores and base samples anew'),
    line('prepared FILE', 'write guard scores and base samples there'),
    line('prepare-only', 'stop after --prepared'),
    line('models DIR', 'student, guard and judge (public/models)'),
    line('data DIR', 'prompt sets and domain (public/data)'),
    '',
    line('quiet', 'no progress'),
    line('help', 'this text'),
  ].join('\n');
}
