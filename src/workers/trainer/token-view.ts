/**
 * One answer, token by token: what the frozen student π, the safe system p (METHOD.md §3.1) and the
 * adapted student q say at each position, given the tokens before it.
 */
import { adaptationOf, scoreWith } from '../../distill/adapters/adaptation';
import type { ChatTokenizer } from '../../distill/data/chat';
import { refusalTrie } from '../../distill/target/paths';
import { teacherSafety, type RefusalTrie } from '../../distill/target/target';
import type { Guard, Recipe } from '../../distill/types';
import type { AdapterValues, Tokens } from '../../engine/types';

export interface TokenViewRequest {
  prompt: string;
  /** The answer to look at. */
  answer: string;
  /** Another answer to the same prompt, to find where the two part. */
  other: string | null;
  /** What was trained, and how the guard's score becomes the safe system's s. */
  recipe: Recipe;
  /** Trained values in the adapter's layout; null for the frozen student alone. */
  values: Float32Array | null;
}

/** Probabilities of one token; null where the system has none. */
export interface TokenShares {
  base: number;
  target: number | null;
  student: number | null;
}

export interface TokenPosition extends TokenShares {
  /** The answer's own token here. */
  token: number;
  text: string;
  /** The likeliest tokens of any system, the answer's own among them, likeliest first. */
  top: (TokenShares & { token: number; text: string })[];
  /** What is left for all other tokens. */
  rest: TokenShares;
  /** TV(p, q) over the whole vocabulary. */
  tv: number | null;
}

export interface TokenView {
  positions: TokenPosition[];
  /** Index of the first token in which the two answers differ; null where there is none. */
  partsAt: number | null;
  /** The safe system's s of the prompt; null without a target. */
  safe: number | null;
  /** Why there is no target, in a sentence. */
  noTarget: string | null;
}

export interface TokenViewDeps {
  engine: {
    vocabSize: number;
    config: { layers: number };
    logits(
      tokens: Tokens,
      adaptation?: Float32Array | AdapterValues,
      signal?: AbortSignal,
    ): Promise<Float32Array>;
  };
  chat: ChatTokenizer;
  /** Null where none is loaded. */
  guard: Guard | null;
  refusals: readonly string[];
}

/** So many tokens of each system are shown. */
const TOP = 5;

/** @throws SequenceTooLongError, CancelledError */
export async function tokenView(
  { prompt, answer, other, recipe, values }: TokenViewRequest,
  { engine, chat, guard, refusals }: TokenViewDeps,
  signal?: AbortSignal,
): Promise<TokenView> {
  const asked = chat.encodeChat({ user: prompt });
  const path = chat.encodeAnswer(answer);
  // The last token predicts nothing that is shown.
  const tokens = [...asked, ...path].slice(0, -1);
  const along = async (adaptation?: Float32Array | AdapterValues) =>
    answerRows(
      await engine.logits(tokens, adaptation, signal),
      engine.vocabSize,
      asked.length,
      path.length,
    );
  const base = await along();
  const adaptation = values && adaptationOf(recipe.adapter, values, engine.config);
  const student = adaptation ? await along(scoreWith(adaptation)) : null;
  const noTarget =
    recipe.guardCase.kind === 'response'
      ? 'A guard that reads whole answers gives the safe system no distribution of single tokens.'
      : guard
        ? null
        : 'The guard is not loaded, so the safe system is not known.';
  let safe: number | null = null;
  let target: Float64Array[] | null = null;
  if (guard && noTarget === null) {
    const [raw] = await guard.score([{ prompt }]);
    safe = teacherSafety(raw!, recipe);
    const trie = refusalTrie(chat, refusals, recipe.maxNewTokens);
    target = mixtureRows(base, path, trie, safe);
  }
  return {
    positions: positionsOf(path, base, target, student, chat),
    partsAt: other === null ? null : firstDifference(path, chat.encodeAnswer(other)),
    safe,
    noTarget,
  };
}

/** Softmax of the rows of logits that predict the answer's tokens, one [vocabulary] each. */
export function answerRows(
  logits: Float32Array,
  vocabulary: number,
  promptLength: number,
  answerLength: number,
): Float64Array[] {
  return Array.from({ length: answerLength }, (_, t) => {
    const start = (promptLength - 1 + t) * vocabulary;
    const row = Float64Array.from(logits.subarray(start, start + vocabulary));
    const highest = row.reduce((a, b) => Math.max(a, b), -Infinity);
    let sum = 0;
    for (let v = 0; v < row.length; v++) sum += row[v] = Math.exp(row[v]! - highest);
    for (let v = 0; v < row.length; v++) row[v]! /= sum;
    return row;
  });
}

/** p = (1 − w)·π + w·ρ at each position of the path. */
export function mixtureRows(
  base: readonly Float64Array[],
  path: Tokens,
  trie: RefusalTrie,
  safe: number,
): Float64Array[] {
  const logProbs = path.map((token, t) => Math.log(base[t]![token]!));
  const { posterior, next } = trie.along(path, logProbs, safe);
  return base.map((row, t) => {
    const w = posterior[t]!;
    const mixed = row.map((p) => (1 - w) * p);
    const { tokens, probs } = next[t]!;
    for (const [i, token] of tokens.entries()) mixed[token]! += w * probs[i]!;
    return mixed;
  });
}

export function firstDifference(a: Tokens, b: Tokens): number | null {
  const at = a.findIndex((token, t) => token !== b[t]);
  return at < 0 ? null : at;
}

function positionsOf(
  path: Tokens,
  base: readonly Float64Array[],
  target: readonly Float64Array[] | null,
  student: readonly Float64Array[] | null,
  chat: ChatTokenizer,
): TokenPosition[] {
  return path.map((own, t) => {
    const rows = { base: base[t]!, target: target?.[t] ?? null, student: student?.[t] ?? null };
    const shares = (token: number): TokenShares => ({
      base: rows.base[token]!,
      target: rows.target && rows.target[token]!,
      student: rows.student && rows.student[token]!,
    });
    const present = [rows.base, rows.target, rows.student].filter((row) => row !== null);
    const chosen = new Set([own, ...present.flatMap(likeliest)]);
    const height = (s: TokenShares) => Math.max(s.base, s.target ?? 0, s.student ?? 0);
    const top = [...chosen]
      .map((token) => ({ token, text: pieceText(chat, path, t, token), ...shares(token) }))
      .sort((a, b) => height(b) - height(a));
    const left = (name: keyof TokenShares) => {
      if (!rows[name]) return null;
      return Math.max(0, 1 - top.reduce((sum, entry) => sum + entry[name]!, 0));
    };
    return {
      token: own,
      text: pieceText(chat, path, t, own),
      ...shares(own),
      top,
      rest: { base: left('base')!, target: left('target'), student: left('student') },
      tv: rows.target && rows.student && totalVariation(rows.target, rows.student),
    };
  });
}

function likeliest(row: Float64Array): number[] {
  const best: number[] = [];
  for (let v = 0; v < row.length; v++) {
    if (best.length === TOP && row[v]! <= row[best[TOP - 1]!]!) continue;
    const at = best.findIndex((token) => row[token]! < row[v]!);
    best.splice(at < 0 ? best.length : at, 0, v);
    best.length = Math.min(best.length, TOP);
  }
  return best;
}

export function totalVariation(p: Float64Array, q: Float64Array): number {
  let sum = 0;
  for (let v = 0; v < p.length; v++) sum += Math.abs(p[v]! - q[v]!);
  return sum / 2;
}

/** What a token adds to the text before it: pieces of words decode rightly in their place only. */
function pieceText(chat: ChatTokenizer, path: Tokens, t: number, token: number): string {
  if (chat.stopTokens.includes(token)) return '⟨end⟩';
  const before = chat.decode(path.slice(0, t));
  const after = chat.decode([...path.slice(0, t), token]);
  const piece = after.startsWith(before) ? after.slice(before.length) : chat.decode([token]);
  return piece === '' ? `⟨${token}⟩` : piece;
}
