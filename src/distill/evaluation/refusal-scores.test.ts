// On the bundled student's own answers: what tells a refusal from an ordinary answer at its start.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { RefusalMatcher } from './answers';
import { refusalOpenings, refusalScore } from './calibration';
import { ChatTokenizer } from '../data/chat';
import { parsePromptItems } from '../data/dataset';
import { refusalScores } from './refusal-scores';
import { toyChat, toyItems, ToyStudent, TOY_DOMAIN } from '../testing';

const json = (path: string) => JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;

describe('refusalOpenings', () => {
  it('are what no ordinary answer of pocket begins with, unlike first tokens', () => {
    const chat = new ChatTokenizer(
      json('public/models/pocket/tokenizer.json'),
      json('public/models/pocket/tokenizer_config.json'),
    );
    const refusals = json('public/data/domain.json').refusals as string[];
    const samples = json('public/data/prepared-pocket.json').samples as number[][];
    const items = parsePromptItems(readFileSync('public/data/train.jsonl', 'utf8'));
    const matcher = new RefusalMatcher(refusals);
    const ordinary = samples.filter(
      (tokens, i) => items[i]!.label !== 'harmful' && !matcher.refused(chat.decode(tokens)),
    );
    expect(ordinary.length).toBeGreaterThan(700);
    const openings = refusalOpenings(refusals.map((text) => chat.encodeAnswer(text)));
    const begins = (length: number) =>
      ordinary.filter((tokens) =>
        openings.some((opening) =>
          opening.slice(0, length).every((token, t) => tokens[t] === token),
        ),
      ).length;
    expect(begins(3)).toBe(0);
    expect(begins(1) / ordinary.length).toBeGreaterThan(0.03);
  });
});

describe('refusalScores', () => {
  it('are the log-odds of the sum over openings, token by token', async () => {
    const [chat, student] = [toyChat(), new ToyStudent()];
    const prompt = chat.encodeChat({ user: toyItems(1)[0]!.prompt });
    const openings = refusalOpenings(TOY_DOMAIN.refusals.map((text) => chat.encodeAnswer(text)));
    expect(openings.some(({ length }) => length > 1)).toBe(true);
    const logProbs = openings.map((opening) =>
      opening.reduce((sum, token, t) => {
        return sum + Math.log(student.next(prompt, opening.slice(0, t), null)[token]!);
      }, 0),
    );
    const [score] = await refusalScores(student, [prompt], openings, null);
    expect(score).toBeCloseTo(refusalScore(logProbs), 4);
  });
});
