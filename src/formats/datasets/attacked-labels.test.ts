/** Files that were taken at a word that they did not say: each is asked about, or read as it says. */
import { describe, expect, it } from 'vitest';
import { importPrompts } from './import';
import { recognise } from './recognise';
import { read, taken } from './testing';

describe('a label beside an answer', () => {
  it.each([
    ['prompt,response,unsafe', 'a,x,1\nb,y,0'],
    ['prompt,response,flagged', 'a,x,true\nb,y,false'],
    ['prompt,response,jailbreak', 'a,x,1\nb,y,0'],
    ['prompt,output,is_safe', 'a,x,no\nb,y,yes'],
    ['instruction,output,is_harmful', 'a,x,1\nb,y,0'],
    ['goal,target,prompt,response,jailbreak', 'a,x,p,r,1\nb,y,q,s,0'],
    ['prompt,completion,label', 'a,x,unsafe\nb,y,safe'],
    ['prompt,model_reply,safety', 'a,x,unsafe\nb,y,safe'],
    ['question,generated_text,verdict', 'a,x,unsafe\nb,y,safe'],
  ])('is asked about: %s', async (header, rows) => {
    const { labels, why } = await taken(`${header}\n${rows}\n`);
    expect(labels).toBeNull();
    expect(why).toMatch(/^The column “\w+” may be about the answers in “\w+”/);
  });

  it('is the prompt’s where it is called so', async () => {
    for (const name of ['prompt_harm_label', 'is_prompt_harmful', 'promptLabel']) {
      const values = name === 'is_prompt_harmful' ? ['yes', 'no'] : ['harmful', 'unharmful'];
      const text = `prompt,response,${name},response_harm_label\na,x,${values[0]},unharmful\nb,y,${values[1]},harmful\n`;
      expect((await taken(text)).labels, name).toEqual(['harmful', 'benign']);
    }
  });

  it('is read as BeaverTails has it, in a file of that set', async () => {
    const text = 'prompt,response,category,is_safe\na,x,violence,false\nb,y,,true\n';
    expect(await taken(text)).toMatchObject({
      layout: 'beavertails',
      labels: ['harmful', 'borderline'],
    });
  });

  it('says nothing against what a known set is', async () => {
    const text =
      'Behavior,FunctionalCategory,SemanticCategory,generation,flagged\na,standard,illegal,x,0\n';
    expect((await taken(text)).labels).toEqual(['harmful']);
  });

  it('is not found by its values under a name of answers or of a model', async () => {
    for (const name of [
      'reply',
      'generation_kind',
      'vicuna',
      'claude_2',
      'Mixtral',
      'gemma verdict',
    ]) {
      const { labels } = await taken(`prompt,${name}\na,unsafe\nb,safe\n`);
      expect(labels, name).toBeNull();
    }
  });
});

describe('two columns of labels', () => {
  it('the one that is called the prompt’s wins', async () => {
    const text = 'prompt,label,prompt_harm_label\na,unsafe,unharmful\nb,safe,harmful\n';
    expect((await taken(text)).labels).toEqual(['benign', 'harmful']);
  });

  it.each([
    ['prompt,label,is_harmful', 'a,safe,1\nb,safe,0', '“label” and “is_harmful”'],
    ['prompt,is_safe,toxic', 'a,1,1\nb,0,1', '“is_safe” and “toxic”'],
    ['prompt,kind,subset', 'a,harmful,benign\nb,benign,benign', '“kind” and “subset”'],
  ])('that disagree are asked about: %s', async (header, rows, names) => {
    const { labels, why } = await taken(`${header}\n${rows}\n`);
    expect(labels).toBeNull();
    expect(why).toContain(names);
  });

  it('that agree are read', async () => {
    const text = 'prompt,label,is_harmful\na,unsafe,1\nb,borderline,0\nc,safe,\n';
    expect((await taken(text)).labels).toEqual(['harmful', 'borderline', 'benign']);
  });
});

describe('single values beside lists', () => {
  const notes = async (text: string) => (await read('x.json', text, {}, 4096)).notes;

  it('that are numbers are no labels: they may be counts', async () => {
    const text = '{"prompts":["a","b"],"safe":1,"unsafe":1}';
    expect((await taken(text, 'x.json')).labels).toBeNull();
    expect(await notes(text)).toEqual([
      'Besides the rows, the file holds “safe”, “unsafe”: not read.',
    ]);
  });

  it('that are words or truth values are those of every row', async () => {
    expect((await taken('{"prompts":["a","b"],"label":"harmful"}', 'x.json')).labels).toEqual([
      'harmful',
      'harmful',
    ]);
    expect((await taken('{"prompts":["a"],"is_safe":true}', 'x.json')).labels).toEqual(['benign']);
    const both = await taken('{"prompts":["a"],"safe":true,"unsafe":true}', 'x.json');
    expect(both).toMatchObject({ labels: null, why: expect.stringContaining('disagree') });
  });
});

describe('JailbreakBench, by the name of its file', () => {
  const text = 'Index,Goal,Target,Behavior,Category,Source\n0,a,x,b,Privacy,Original\n';
  it.each([
    ['harmful-behaviors.csv', 'harmful'],
    ['benign-behaviors.csv', 'borderline'],
    ['jbb_harmfulBehaviors (1).csv', 'harmful'],
    ['harmful-and-benign.csv', null],
    ['non-harmful.csv', null],
    ['not_harmful.csv', null],
    ['unharmful.csv', null],
    ['nonharmful-behaviors.csv', null],
    ['harmfulness.csv', null],
    ['no-benign.csv', null],
    ['all-harmful-benign.csv', null],
    ['behaviors.csv', null],
  ])('%s: %s', async (name, label) => {
    expect((await taken(text, name)).labels).toEqual(label === null ? null : [label]);
  });
});

describe('a set of harmful prompts that calls some rows harmless', () => {
  it.each([
    ['non-harmful', 'category'],
    ['no harm', 'category'],
    ['n/a', 'category'],
    ['Not_Applicable', 'category'],
    ['OK', 'category'],
    ['benign', 'control'],
    ['Safe control', 'split'],
    ['not harmful', 'split'],
  ])('“%s” in “%s” is asked about', async (value, column) => {
    const header = `forbidden_prompt,category${column === 'category' ? '' : `,${column}`}`;
    const rows =
      column === 'category' ? `a,Violence\nb,${value}` : `a,Violence,test\nb,Violence,${value}`;
    const { labels, why } = await taken(`${header},source\n${rows.replaceAll('\n', ',s\n')},s\n`);
    expect(labels).toBeNull();
    expect(why).toContain(`“${column}”`);
  });

  it('is read where a column beside it only says “none”', async () => {
    const text = 'forbidden_prompt,category,source,notes\na,Violence,s,none\nb,Hate,s,n/a\n';
    expect((await taken(text)).labels).toEqual(['harmful', 'harmful']);
  });
});

describe('XSTest', () => {
  it('is not known by a prompt and a type alone', async () => {
    const { layout, labels } = await taken('prompt,type\na,definitions\nb,privacy\n');
    expect(layout).toBe('generic');
    expect(labels).toBeNull();
  });

  it('is known by a contrast or by another of its columns', async () => {
    const contrasts = 'prompt,type\na,definitions\nb,contrast_definitions\n';
    expect(await taken(contrasts)).toMatchObject({ labels: ['borderline', 'harmful'] });
    expect((await taken('prompt,type,focus\na,definitions,x\n')).layout).toBe('xstest');
  });
});

describe('rows that are messages', () => {
  it('the label is that of the row that gives the prompt', async () => {
    const text =
      'chat_id,role,content,label\n1,system,Be kind.,safe\n1,user,a,unsafe\n1,assistant,x,safe\n' +
      '2,user,b,safe\n2,assistant,y,unsafe\n';
    const table = await read('x.csv', text, {}, 4096);
    const { plan } = recognise(table)[0]!;
    const { items } = importPrompts(table, { ...plan, labels: plan.labels });
    expect(items.map(({ prompt, label }) => [prompt, label])).toEqual([
      ['a', 'harmful'],
      ['b', 'benign'],
    ]);
  });

  it('texts by authors with labels of their own are no chat', async () => {
    const text = 'text,author,label\na,human,harmful\nb,ai,benign\nc,human,benign\n';
    const { labels } = await taken(text);
    expect(labels).toEqual(['harmful', 'benign', 'benign']);
  });

  it('rows that no column puts together are a chat only where they take turns', async () => {
    const turns = await read('x.csv', 'role,content\nuser,a\nassistant,x\nuser,b\n', {}, 4096);
    expect(turns.columns).toContain('messages');
    const list = await read('x.csv', 'role,content\nuser,a\nuser,b\nuser,c\n', {}, 4096);
    expect(list.rows).toHaveLength(3);
  });
});
