// The chat's columns and the lab's reference answers on the bundled models, in a real browser.
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { parseAdapter } from '../../../distill/adapters/adapter-spec';
import { parseGuardCase } from '../../../distill/target/guard-case';
import { DEFAULT_RECIPE } from '../../../distill/train/recipe';
import type { Recipe } from '../../../distill/types';
import { probeBoard } from '../lab/probe-board.svelte';
import { session } from '../models/session.svelte';
import type { ChatAdapter } from './chat-adapters';
import { chat } from './chat.svelte';

const BENIGN = 'What is the capital of Japan?';
const RESPONSE = parseGuardCase('response');

/** A written preamble needs no engine: the runtime answers in all three columns. */
function adapter(change: Partial<Recipe>): ChatAdapter {
  const recipe = { ...DEFAULT_RECIPE, adapter: parseAdapter('preamble'), ...change };
  return {
    id: 'a',
    label: 'A',
    recipe,
    modelId: '',
    templateHash: null,
    values: new Float32Array(0),
    shared: null,
  };
}

async function ask(question: string, change: Partial<Recipe>) {
  chat.question = question;
  await chat.ask(adapter(change));
  expect(chat.problem).toBeNull();
  return chat.answers!;
}

const logit = (p: number) => Math.log(p / (1 - p));
const refusals = () => chat.domain!.refusals;

beforeAll(() => session.load(['student', 'guard', 'judge']));
afterEach(() => vi.restoreAllMocks());

describe('the guarded column', () => {
  it('lets a harmless question through as the default recipe does', async () => {
    const { base, guarded } = await ask(BENIGN, {});
    expect(guarded.text).toBe(base.text);
    expect(guarded.note).toContain('let the question through');
  });

  it('is as strict as the recipe', async () => {
    const { base, guarded } = await ask(BENIGN, { strictness: -10 });
    expect(base.text).toContain('Tokyo');
    expect(guarded.text).toBe(refusals()[0]);
    expect(guarded.cost!.tokensPerSecond).toBeNull();
  });

  it('reads the answer where the recipe’s guard does, and the question where that is all', async () => {
    const question = 'Tell me how to read the diary of my sister in secret.';
    const { base } = await ask(question, {});
    const { safe } = await session.score('guard', [
      { prompt: question },
      { prompt: question, response: base.text },
    ]);
    const [ofQuestion, ofAnswer] = [logit(safe[0]!), logit(safe[1]!)];
    expect(Math.abs(ofQuestion - ofAnswer)).toBeGreaterThan(0.01);
    // Between the two: one of them passes and the other does not.
    const strictness = -(ofQuestion + ofAnswer) / 2;
    const by = async (guardCase: Recipe['guardCase']) =>
      (await ask(question, { strictness, guardCase })).guarded;
    const prompt = await by({ kind: 'prompt' });
    const response = await by(RESPONSE);
    const [passed, stopped] = ofAnswer > ofQuestion ? [response, prompt] : [prompt, response];
    expect(passed.text).toBe(base.text);
    expect(stopped.text).toBe(refusals()[0]);
    expect(response.note).toMatch(/^The guard read the answer/);
    // All of an answer that is read first is out before any of it is shown.
    expect(response.cost!.firstTokenMs).toBeGreaterThan(prompt.cost!.firstTokenMs!);
  });
});

describe('an answer that is being written', () => {
  it('is shown whole so far, however slowly it comes', async () => {
    const shown: string[] = [];
    const generate = session.student.bind(session);
    vi.spyOn(session, 'student').mockImplementation((name, payload, options) =>
      generate(name, payload, {
        ...options,
        onEvent: (event) => {
          options?.onEvent?.(event);
          if (chat.answers?.base.state === 'writing') shown.push(chat.answers.base.text);
        },
      }),
    );
    const { base } = await ask('How do I boil an egg?', {});
    expect(shown.length).toBeGreaterThan(2);
    for (const text of shown) expect(base.text.startsWith(text.trim())).toBe(true);
    const lengths = shown.map((text) => text.length);
    expect(lengths).toEqual([...lengths].sort((a, b) => a - b));
    expect(shown.at(-1)!.trim()).toBe(base.text);
  });
});

describe('the lab’s reference answers', () => {
  const samples = [{ prompt: BENIGN, label: 'benign' as const, answer: '', safe: 1 }];
  const fill = async (change: Partial<Recipe>) => {
    await probeBoard.fill(samples, { ...DEFAULT_RECIPE, ...change });
    return probeBoard.answers.get(BENIGN)!;
  };

  it('follow the recipe, one run after another', async () => {
    await chat.prepare();
    const plain = await fill({});
    expect(plain.guarded).toBe(plain.base);
    expect(plain.reading.of).toBe('question');
    const strict = await fill({ strictness: -10 });
    expect(refusals()).toContain(strict.guarded);
    expect(strict.base).toBe(plain.base);
    const again = await fill({ guardCase: RESPONSE });
    expect(again.guarded).toBe(again.base);
    expect(again.reading.of).toBe('answer');
  });
});
