/** Columns that say of some rows of a known set what the set itself never says of its prompts. */
import { type Layout, type LayoutFile, namesIn } from './layouts';
import { saysYes, wordsOf } from './label-names';
import type { LabelRule } from './plan';
import { quoted } from './types';

const NOUNS =
  '( (controls?|prompts?|requests?|quer(y|ies)|questions?|behaviou?rs?|instructions?|examples?|versions?|variants?|uses?|contents?|tasks?|inputs?|samples?|counterparts?))?';
const SAFE =
  '(benign|safe|harmless|unharmful|nonharmful|borderline|inoffensive|innocuous|innocent|legitimate|permissible|nontoxic)';
const DENIED =
  '(no|non|not|isn t|without|un) ?(a |any )?(harm(ful|s)?|toxic(ity)?|malicious|unsafe|dangerous|risky?|risks|violations?|offensive|hazard(s|ous)?)( at all)?';

/** What sets call their harmless prompts, a blank for whatever is no letter and no digit. */
const HARMLESS = new RegExp(`^((is )?(${SAFE}|${DENIED})${NOUNS}|controls?)$`);
const HARMFUL = new RegExp(
  `^(is )?(harmful|unsafe|toxic|malicious|dangerous|jailbreak|not (safe|benign|harmless))${NOUNS}$`,
);
/** In a column of kinds of harm these say that there is none; elsewhere they may say anything. */
const NONE =
  /^(none|nothing|null|n ?a|not applicable|no category|ok(ay)?|normal|neutral|clean|acceptable|allowed|legit|compliant|)$/;
const STARTS_HARMLESS = /^(benign|safe|harmless|unharmful|nonharmful|non harmful|not harmful)\b/;

/**
 * Why `rule`, which is one label for all, does not fit every row; null where nothing speaks against
 * it.
 */
export function contradiction(
  file: LayoutFile,
  layout: Layout,
  rule: LabelRule,
  prompt: string,
): string | null {
  if (rule.kind !== 'all') return null;
  const names = file.columns.filter((name) => name !== prompt.trim().toLowerCase());
  const { category, style } = layout.fields;
  const kinds = new Set([...namesIn(category), ...namesIn(style)]);
  const isOdd = (name: string, text: string) => {
    const plain = text.replace(/[^\p{L}\p{N}]+/gu, ' ').trim();
    if (rule.label !== 'harmful') return HARMFUL.test(plain);
    if (HARMLESS.test(plain)) return true;
    if (saysYes(text) && isControl(name)) return true;
    return (kinds.has(name) || isHarm(name)) && (NONE.test(plain) || STARTS_HARMLESS.test(plain));
  };
  for (const name of names) {
    const odd = file.texts(name).find((text) => isOdd(name, text));
    if (odd === undefined) continue;
    return `The column ${quoted(name)} calls some rows ${quoted(odd)}, which ${layout.title} itself does not.`;
  }
  const gap =
    rule.label === 'harmful' && namesIn(category).find((name) => file.has(name) && file.gaps(name));
  if (!gap) return null;
  return `The column ${quoted(gap)} is empty in some rows, which it is not in ${layout.title} itself.`;
}

/** A column of yes and no for rows that are there to compare with. */
const isControl = (name: string) => wordsOf(name).some((word) => /^controls?$/.test(word));

const isHarm = (name: string) =>
  wordsOf(name).some((word) => /^(harm|risk|violation|hazard|danger|threat)s?$/.test(word));
