/** What names of columns say of the labels in them, and what the texts of such columns mean. */
import { COMMON_LABELS } from './plan';
import type { PromptLabel } from './types';

/** Columns that are there to say it, the clearest first. */
export const LABEL_NAMES: readonly string[] = [
  ...['label', 'labels', 'harm_label', 'safety_label', 'gold_label', 'harmfulness', 'safety'],
  'class',
];
/** These may say something else; where their values are no labels, they are as if not there. */
export const LOOSE: ReadonlySet<string> = new Set(['safety', 'class', 'harmfulness']);

/** Columns of yes and no. */
export const YES_MEANS: Readonly<Record<string, PromptLabel>> = {
  ...{ is_safe: 'benign', safe: 'benign', is_benign: 'benign', benign: 'benign' },
  ...{ is_harmless: 'benign', harmless: 'benign', is_harmful: 'harmful', harmful: 'harmful' },
  ...{ is_unsafe: 'harmful', unsafe: 'harmful', toxic: 'harmful', is_toxic: 'harmful' },
  ...{ malicious: 'harmful', is_malicious: 'harmful', jailbreak: 'harmful' },
  ...{ is_jailbreak: 'harmful', flagged: 'harmful', is_flagged: 'harmful', toxicity: 'harmful' },
};
/** Of those, the ones that can hold nothing but an answer to it: no scores, no names. */
export const PLAIN_QUESTION = /^(is_)?(un)?(safe|benign|harmless|harmful)$/;
const YES = ['true', '1', '1.0', 'yes', 'y'];
const NO = ['false', '0', '0.0', 'no', 'n'];

export const saysYes = (text: string) => YES.includes(text);

/** What the texts of a column called so mean. */
export function meaningsOf(name: string): Record<string, PromptLabel> {
  if (!Object.hasOwn(YES_MEANS, name)) return { ...COMMON_LABELS };
  const yes = YES_MEANS[name]!;
  const no = yes === 'harmful' ? 'benign' : 'harmful';
  return {
    ...COMMON_LABELS,
    ...Object.fromEntries([...YES.map((text) => [text, yes]), ...NO.map((text) => [text, no])]),
  };
}

/** Labels that are also said of ways of asking, or of anything at all. */
export const LOOSE_TEXT =
  /^(ambiguous|controversial|dangerous|attack|jailbreak|(prompt )?injection)$/;

/** The words of a column's name, in lower case. */
export const wordsOf = (column: string): string[] =>
  column
    .trim()
    // promptLabel, as JSON has it.
    .replace(/([a-z])([A-Z])/g, '$1_$2')
    .toLowerCase()
    .split(/[\s_.-]+/)
    .filter((word) => word !== '');

/** A word that says whose label it is: the prompt's. (A user's may be one that users gave.) */
const OF_PROMPTS = /^(prompt|question|query|querie|instruction|input|request)s?$/;
/** Words that say nothing more beside such a one. */
const OF_PROMPTS_TOO = /^(users?|the|of|for|original|raw|text)$/;

export const namesPrompts = (column: string) =>
  wordsOf(column).some((word) => OF_PROMPTS.test(word));

/** “prompt_harm_label” as “harm_label”: without the words that say whose it is. */
export function nameOfLabel(column: string): string {
  const words = wordsOf(column);
  if (!namesPrompts(column)) return words.join('_');
  return words.filter((word) => !OF_PROMPTS.test(word) && !OF_PROMPTS_TOO.test(word)).join('_');
}

/** Names of which one may trust that labels in them are those of the row's prompt. */
const SAYS_KIND =
  /^(labels?|types?|kinds?|subsets?|splits?|categor(y|ies)|class(es|ification)?|groups?|sets?|tags?|intents?|topics?|nature|truth|gold|harm\w*|safe\w*|unsafe|risk\w*|tox\w+|malicious\w*|benign|jailbreak|attack|severity)\d*$/;

export const saysKind = (column: string) =>
  namesPrompts(column) || wordsOf(column).some((word) => SAYS_KIND.test(word));

/** Models that answers are named after. Short names count as whole words only. */
const MODELS =
  /gpt|llama|vicuna|claude|mi[sx]tral|gemini|gemma|qwen|alpaca|falcon|deepseek|koala|zephyr|chatglm|baichuan|wizard|guanaco|openchat|starling|internlm|nemotron|stablelm|smollm|copilot|(^|_)(palm|bard|bing|command|nova|grok|orca|olmo|phi|glm|mpt|yi|t5|o\d|kimi|hermes|granite|ernie|dbrx|cohere|dolly|tulu|pythia|\w*bot|\d+b)\d*(_|$)/;

const ANSWERS =
  /^(response|output|completion|reply|replie|answer|generation|generated|continuation|assistant|chosen|rejected|resp)s?\d*$/;

/** Whether a column of this name holds answers. */
export function namesAnswers(column: string): boolean {
  const words = wordsOf(column);
  return words.some((word) => ANSWERS.test(word)) || MODELS.test(words.join('_'));
}

/** Words of columns that rows have which tell how a model did. */
const OF_RUNS =
  /^(models?|llms?|judges?|judge?ments?|refus(al|ed|e|es)|complie[ds]|compliance|asr|victims?)\d*$/;

export const namesRuns = (column: string) => wordsOf(column).some((word) => OF_RUNS.test(word));

/** Columns of whatever is said of answers, or by whom: their texts say nothing of prompts. */
const OF_ANSWERS =
  /respon|output|complet|answer|repl(y|ie)|generat|continu|assistant|target|predict|model|annotat|judge|final|refus|compl(y|ian)|chosen|reject|guard|moderat|classifier|detector/;

export function saysOfAnswers(column: string): boolean {
  const name = wordsOf(column).join('_');
  return OF_ANSWERS.test(name) || MODELS.test(name);
}

/** Columns of texts of whatever kind, which beside a prompt may hold its answers. */
export const isTextName = (column: string) =>
  /^(texts?|contents?|body|message|messages|transcript|post|tweet|turns|conversations?|dialog(ue)?s?|chats?)$/.test(
    column.trim().toLowerCase(),
  );

/** Words of columns whose sentences are no answers. */
const BESIDE =
  /^(context|(expla|reason|rational|descri|translat|categor|polic|paraphras|definition)\w*|notes?|comments?|remarks?|sources?|references?|urls?|links?|focus|intents?|goals?|targets?|behaviou?rs?|titles?|types?|kinds?|(sub)?topics?|names?|ids?|tags?|guidelines?|harms?|risks?|areas?|why|keywords?|original|vanilla|adversarial|scenarios?|personas?|systems?|authors?)\d*$/;

export const isBeside = (column: string) =>
  namesPrompts(column) || wordsOf(column).some((word) => BESIDE.test(word));
