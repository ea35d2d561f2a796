import { describe, expect, it } from 'vitest';
import { DEFAULT_RECIPE, parseRecipe } from '../distill/train/recipe';
import { helpText, parseArguments, UsageError } from './args';

describe('parseArguments', () => {
  it('is the default recipe without arguments', () => {
    expect(parseArguments([])).toMatchObject({
      recipe: DEFAULT_RECIPE,
      help: false,
      out: null,
      eval: null,
      limit: 0,
      evaluate: true,
    });
  });

  it('reads the documented command', () => {
    const line = '--student pocket --objective kl --steps 12 --seed 3 --lr 1e-2 --out run.json';
    const args = parseArguments([...line.split(' '), '--strictness=-2']);
    expect(args.recipe).toEqual(
      parseRecipe({ objective: 'kl', steps: 12, seed: 3, learningRate: 0.01, strictness: -2 }),
    );
    expect(args.out).toBe('run.json');
    expect([args.bound, args.cost]).toEqual([0, false]);
    expect(args.train).toBeNull();
    expect(parseArguments(['--train', 'a.csv', '--with-bundled']).train).toEqual({
      file: 'a.csv',
      prompts: 'add',
    });
    expect(parseArguments(['--bound', '40', '--cost'])).toMatchObject({ bound: 40, cost: true });
  });

  it('takes specifications by name and as JSON', () => {
    const named = '--adapter lora --objective reinforce --guard-case response'.split(' ');
    expect(parseArguments(named).recipe).toEqual(
      parseRecipe({ adapter: 'lora', objective: 'reinforce', guardCase: 'response' }),
    );
    const json = [
      '--adapter',
      '{"kind":"steering","layers":"one"}',
      '--objective',
      '{"name":"js"}',
    ];
    expect(parseArguments(json).recipe).toEqual(
      parseRecipe({ adapter: { kind: 'steering', layers: 'one' }, objective: 'js' }),
    );
    expect(parseArguments(['--virtual-tokens', '4']).recipe.adapter).toMatchObject({ n: 4 });
  });

  it.each([
    [['--nonsense'], /--nonsense/],
    [['stray'], /stray/],
    [['--steps'], /--steps/],
    [['--steps', 'many'], /--steps must be a number, not "many"/],
    [['--steps', '0'], /--steps must be a whole number from 1/],
    [['--batch', '1000'], /--batch must be/],
    [['--objective', 'rkl'], /--objective.name must be one of tv, /],
    [['--objective', '{"name":'], /--objective must be a name or JSON/],
    [['--objective', 'ppo'], /ppo needs a guard that reads the answer/],
    [['--adapter', 'lora', '--virtual-tokens', '4'], /--virtual-tokens goes with a soft prompt/],
    [['--adapter', 'lora', '--record', 'x'], /--record needs a soft prompt/],
    [['--student', '../x'], /--student/],
    [['--student', 'hub:o/n@main/q4'], /--student must be a folder/],
    [['--limit', '-1'], /--limit/],
    [['--bound', '1.5'], /--bound/],
    [['--prompt', 'x'], /--eval/],
    [['--prepare-only'], /--prepared/],
    [
      '--objective reinforce --guard-case response --prepare-only --prepared x'.split(' '),
      /reinforce learns from the student's own answers, so nothing is prepared/,
    ],
    [['--sweep', 'a'], /go together/],
    [['--sweep', 'a', '--results', 'b', '--steps', '3'], /steps does not go with it/],
    [['--sweep', 'a', '--results', 'b', '--out', 'c'], /out does not go with it/],
    [['--eval', 'a', '--record', 'b'], /--record/],
    [['--eval', 'a', '--train', 'b'], /--eval does not train/],
    [['--with-bundled'], /--train/],
    [['--label', 'harmful'], /--train or --eval/],
    [['--eval', 'a', '--label', 'bad'], /--label must be one of harmful, /],
    [['--eval', 'a', '--label', '0=benign,1=bad'], /--label must be one of harmful, .*"bad"/],
    [['--eval', 'a', '--label', '=benign'], /--label needs VALUE=LABEL/],
    [['--delimiter', ';'], /--delimiter goes with --train or --eval/],
    [['--eval', 'a', '--delimiter', 'x'], /--delimiter must be one of comma, /],
    [['--sweep', 'a', '--results', 'b', '--train', 'c'], /train does not go with it/],
    [['--merge', 'a,b'], /--merge needs --results/],
    [['--merge', ',', '--results', 'c'], /--merge needs documents/],
    [['--merge', 'a', '--results', 'c', '--steps', '3'], /joined .* steps does not go/],
    [['--compact', '--sweep', 'a', '--results', 'c'], /--compact goes with --merge/],
  ])('answers %j with one clear line', (argv, message) => {
    let error: unknown;
    try {
      parseArguments(argv);
    } catch (caught) {
      error = caught;
    }
    expect(error).toBeInstanceOf(UsageError);
    expect((error as UsageError).message).toMatch(message);
    expect((error as UsageError).message).not.toContain('\n');
  });

  it('reads a delimiter by its sign or its name, and what values of labels mean', () => {
    const of = (...more: string[]) => parseArguments(['--eval', 'a', ...more]);
    expect(of().delimiter).toBeNull();
    for (const [text, sign] of [
      [';', ';'],
      ['semicolon', ';'],
      ['Tab', '\t'],
      ['\\t', '\t'],
      ['bar', '|'],
    ]) {
      expect(of('--delimiter', text!).delimiter).toBe(sign);
    }
    expect(of('--label', '0=benign, Not OK = harmful').label).toEqual({
      '0': 'benign',
      'not ok': 'harmful',
    });
  });

  it('reads what is to be merged', () => {
    const merge = ['--merge', 'a.json,b.json', '--results', 'c.json'];
    expect(parseArguments(merge)).toMatchObject({
      merge: { documents: ['a.json', 'b.json'], spec: null, results: 'c.json' },
      sweep: null,
      compact: false,
    });
    expect(parseArguments([...merge, '--sweep', 's.json', '--compact'])).toMatchObject({
      merge: { spec: 's.json' },
      sweep: null,
      compact: true,
    });
  });

  it('lists every option in the help', () => {
    const help = helpText();
    // Each must also be an option: an unknown one is an error.
    const listed = [...help.matchAll(/^ {2}--([a-z-]+)/gm)].map(([, name]) => name!);
    expect(listed).toHaveLength(new Set(listed).size);
    expect(listed).toHaveLength(44);
    for (const name of listed) {
      let message = '';
      try {
        parseArguments([`--${name}`]);
      } catch (error) {
        message = (error as Error).message;
      }
      expect(message).not.toMatch(/unknown/i);
    }
    for (const line of help.split('\n')) expect(line.length).toBeLessThanOrEqual(100);
  });
});
