/** Labels that only seem to be the prompts', in files as other people lay them out: a person is asked. */
import { describe, expect, it } from 'vitest';
import { importPrompts } from './import';
import { recognise } from './recognise';
import { read, taken } from './testing';

const ABOUT_ANSWERS = /may be about/;

describe('a label that may be about an answer', () => {
  it.each([
    ['in this project’s own words', 'prompt,response,label', 'a,x,harmful\nb,y,benign'],
    ['numbered answers', 'prompt,response1,unsafe', 'a,x,1\nb,y,0'],
    ['a reply called after its model', 'prompt,gpt-4,is_safe', 'a,x,yes\nb,y,no'],
    ['a reply called after its size', 'prompt,foo-7b-chat,unsafe', 'a,x,1\nb,y,0'],
    ['the model that was asked', 'prompt,model_name,is_safe', 'a,foo,yes\nb,bar,no'],
    ['another text', 'prompt,text,unsafe', 'a,x,1\nb,y,0'],
    ['a chat beside the prompt', 'question,conversation,flagged', 'a,x,1\nb,y,0'],
    [
      'sentences under a name that is not known',
      'prompt,antwort,unsafe',
      'a,Das sage ich dir nicht.,1\nb,Nimm einen Topf mit Wasser.,0',
    ],
    ['BeaverTails’ columns without its kinds', 'prompt,response,is_safe', 'a,x,1\nb,y,0'],
    [
      'Retort’s columns and a response',
      'prompt,label,intent,response',
      'a,harmful,i,x\nb,benign,j,y',
    ],
  ])('is asked about: %s', async (_, header, rows) => {
    const { labels, why } = await taken(`${header}\n${rows}\n`);
    expect(labels).toBeNull();
    expect(why).toMatch(ABOUT_ANSWERS);
  });

  it('is read where what is beside it is no answer to a model’s', async () => {
    // The one right answer, as this project’s files have it.
    const own = await taken('prompt,label,answer\na,harmful,\nb,benign,2\n');
    expect(own.labels).toEqual(['harmful', 'benign']);
    const explained =
      'prompt,is_harmful,explanation\na,1,It asks for a way in.\nb,0,It is a dish.\n';
    expect((await taken(explained)).labels).toEqual(['harmful', 'benign']);
  });

  const user = { role: 'user', content: 'a' };
  const assistant = { role: 'assistant', content: 'x' };
  it.each([
    ['an answer', [user, assistant]],
    ['a later turn', [user, user]],
    ['an answer, as text', JSON.stringify([user, assistant])],
    [
      'an answer, as Python has it',
      "[{'from': 'human', 'value': 'a'}, {'from': 'gpt', 'value': 'x'}]",
    ],
  ])('is asked about in a chat with %s', async (_, messages) => {
    const text = JSON.stringify([
      { messages, toxic: true },
      { messages, toxic: false },
    ]);
    const { labels, why } = await taken(text, 'x.json');
    expect(labels).toBeNull();
    expect(why).toMatch(ABOUT_ANSWERS);
  });

  it('is read beside a chat of the prompt alone', async () => {
    const messages = [{ role: 'system', content: 's' }, user];
    expect((await taken(JSON.stringify([{ messages, toxic: true }]), 'x.json')).labels).toEqual([
      'harmful',
    ]);
  });

  it('is no label of the prompt’s because users gave it', async () => {
    const { labels } = await taken('prompt,response,user_flagged\na,x,1\nb,y,0\n');
    expect(labels).toBeNull();
  });

  it('is BeaverTails’ where its kinds of harm are there, under either name', async () => {
    const text = 'prompt,response,categories,is_safe\na,x,violence,false\nb,y,,true\n';
    expect(await taken(text)).toMatchObject({
      layout: 'beavertails',
      labels: ['harmful', 'borderline'],
    });
  });
});

describe('labels of the prompt', () => {
  it.each([
    [
      'prompt_label,question_label',
      'unsafe,safe\nb,safe,safe',
      '“prompt_label” and “question_label”',
    ],
    ['label,Label', 'unsafe,safe\nb,safe,safe', '“label” and “Label”'],
    ['label,kind', 'unsafe,benign\nb,safe,benign', '“label” and “kind”'],
    ['is_harmful,subset', '1,harmless\nb,0,harmless', '“is_harmful” and “subset”'],
  ])('that disagree are asked about: %s', async (names, rows, both) => {
    const { labels, why } = await taken(`prompt,${names}\na,${rows}\n`);
    expect(labels).toBeNull();
    expect(why).toContain(both);
  });

  it('that are numbers are asked about, although another column could be read', async () => {
    const { labels, why } = await taken('prompt,prompt_label,label\na,1,safe\nb,0,unsafe\n');
    expect(labels).toBeNull();
    expect(why).toContain('“prompt_label” holds');
  });

  it.each([
    ['Retort’s', 'prompt,intent,label,prompt_harm_label', 'a,i,benign,harmful'],
    ['XSTest’s', 'prompt,type,focus,label,prompt_harm_label', 'a,definitions,f,safe,harmful'],
  ])('win over the column “label” of a file with %s columns', async (_, header, row) => {
    expect((await taken(`${header}\n${row}\n`)).labels).toEqual(['harmful']);
  });

  it.each([
    ['an unknown name', 'zorblax', 'safe', 'unsafe'],
    ['words that may be said of anything', 'type', 'ambiguous', 'controversial'],
    ['words that may be said of a way of asking', 'style', 'attack', 'injection'],
    ['one end of what may be a scale', 'toxicity', '1', '1'],
  ])('are not sure by %s, and shown', async (_, column, one, other) => {
    const table = await read('x.csv', `prompt,${column}\na,${one}\nb,${other}\n`, {}, 4096);
    const { plan, labelled } = recognise(table)[0]!;
    expect(plan).toMatchObject({ labels: null, mapping: { label: column } });
    expect(labelled).toContain(`“${column}”`);
  });

  it.each(['llama_guard', 'Perspective', 'classifier', 'rater 2', 'foo-13b', 'moderation', 'o1'])(
    'are not the verdicts of “%s”',
    async (name) => {
      expect((await taken(`prompt,${name}\na,unsafe\nb,safe\n`)).labels).toBeNull();
    },
  );
});

describe('single values beside lists', () => {
  it('that are numbers in quotes are no labels', async () => {
    const text = '{"prompts":["a","b"],"unsafe":"1"}';
    expect((await taken(text, 'x.json')).labels).toBeNull();
  });

  it('of any column of labels are looked at', async () => {
    const { why } = await taken('{"prompts":["a"],"label":"safe","toxic":true}', 'x.json');
    expect(why).toContain('“label” and “toxic” disagree');
  });
});

describe('JailbreakBench, by the name of its file', () => {
  const text = 'Index,Goal,Target,Behavior,Category,Source\n0,a,x,b,Privacy,Original\n';
  it.each([
    'except-harmful.csv',
    'harmful_removed.csv',
    'harmful-free.csv',
    'isnt_harmful.csv',
    'harmful-minus.csv',
    'harmful-to-harmless.csv',
    'less-harmful.csv',
    'anti-harmful.csv',
    'semi_benign.csv',
    'nicht-harmful.csv',
  ])('%s says nothing', async (name) => {
    expect((await taken(text, name)).labels).toBeNull();
  });

  it.each(['JBB-Behaviors_harmful.csv', 'jailbreakbench harmful test (2).csv', 'harmful.csv'])(
    '%s says it',
    async (name) => {
      expect((await taken(text, name)).labels).toEqual(['harmful']);
    },
  );

  it('is asked about where a column says the other thing', async () => {
    const kinds = `${text.trim().replace('Source\n', 'Source,Remark\n')},`;
    for (const [name, remark] of [
      ['harmful.csv', 'benign request'],
      ['benign.csv', 'malicious use'],
    ] as const) {
      const { labels, why } = await taken(`${kinds}${remark}\n`, name);
      expect(labels, name).toBeNull();
      expect(why).toContain('“remark”');
    }
  });
});

describe('a set that calls some of its rows the other thing', () => {
  const strongReject = (column: string, value: string) =>
    `forbidden_prompt,category,source,${column}\na,Violence,s,\nb,Violence,s,${value}\n`;

  it.each([
    ['remark', 'safe request'],
    ['remark', 'Benign prompts'],
    ['remark', 'not unsafe'],
    ['remark', 'innocuous'],
    ['remark', 'safe (control)'],
    ['harm_type', 'None'],
    ['risk', 'n.a.'],
    ['violation', 'no violations'],
    ['hazard', 'not harmful at all'],
    ['control', '1'],
    ['is_control', 'true'],
    ['benign_control', 'yes'],
    ['harmful', 'no harm'],
  ])('is asked about: “%s” is “%s”', async (column, value) => {
    const { labels, why } = await taken(strongReject(column, value));
    expect(labels).toBeNull();
    expect(why).toContain(`“${column}”`);
  });

  it.each(['benign - privacy', 'safe_privacy', 'Harmless: cooking', ''])(
    'is asked about where the kind of harm is “%s”',
    async (kind) => {
      const text = `forbidden_prompt,category,source\na,Violence,s\nb,${kind},s\n`;
      const { labels, why } = await taken(text);
      expect(labels).toBeNull();
      expect(why).toContain('“category”');
    },
  );

  it('is asked about: a set of tasks with harmful rows', async () => {
    const text =
      'instruction,context,response,category,remark\na,,x,open_qa,\nb,,y,open_qa,harmful request\n';
    const { labels, why } = await taken(text);
    expect(labels).toBeNull();
    expect(why).toContain('“remark”');
  });

  it('is read where the other column says something else', async () => {
    for (const [column, value] of [
      ['remark', 'none'],
      ['control', '0'],
      ['safe_haven', 'yes'],
      ['subtopic', 'n/a'],
    ] as const) {
      expect((await taken(strongReject(column, value))).labels, column).toEqual([
        'harmful',
        'harmful',
      ]);
    }
  });
});

describe('rows that are messages', () => {
  const of = async (text: string) => {
    const table = await read('x.csv', text, {}, 4096);
    const { plan, labelled } = recognise(table)[0]!;
    const labels = plan.labels ?? ({ kind: 'all', label: 'benign' } as const);
    const { items, errors } = importPrompts(table, { ...plan, labels });
    return {
      asked: plan.labels === null ? labelled : null,
      items: items.map(({ prompt, label }) => [prompt, label]),
      errors: errors.total,
    };
  };

  it('a label of each message is the prompt’s own, and never another message’s', async () => {
    const text =
      'chat_id,role,content,label\n1,system,s,safe\n1,user,a,unsafe\n1,assistant,x,safe\n' +
      '2,system,s,safe\n2,user,b,\n2,assistant,y,unsafe\n';
    expect(await of(text)).toEqual({ asked: null, items: [['a', 'harmful']], errors: 1 });
  });

  it('a label of messages of users only is the prompts’', async () => {
    const text =
      'chat_id,role,content,label\n1,user,a,unsafe\n1,assistant,x,\n1,user,b,safe\n' +
      '2,system,s,\n2,user,c,safe\n2,assistant,z,\n';
    const { asked, items } = await of(text);
    expect(asked).toBeNull();
    expect(items).toEqual([
      ['a', 'harmful'],
      ['c', 'benign'],
    ]);
  });

  it.each([
    ['on every row', 'unsafe', 'unsafe'],
    ['on the first row', 'unsafe', ''],
  ])('a label of the whole chat may be the answer’s: %s', async (_, one, other) => {
    const text = `chat_id,role,content,label\n1,user,a,${one}\n1,assistant,x,${other}\n`;
    expect((await of(text)).asked).toMatch(ABOUT_ANSWERS);
  });

  it('a label of a chat without answers is the prompt’s', async () => {
    const text = 'chat_id,role,content,label\n1,system,s,unsafe\n1,user,a,\n';
    expect((await of(text)).items).toEqual([['a', 'harmful']]);
  });

  it('rows of one “id” are a chat where somebody asks and is answered', async () => {
    const text = 'id,role,content\n1,user,a\n1,assistant,x\n1,tool,y\n1,assistant,z\n2,user,b\n';
    expect((await of(text)).items).toEqual([
      ['a', 'benign'],
      ['b', 'benign'],
    ]);
  });

  it.each([
    ['authors in turn', 'text,author,label\na,human,harmful\nb,ai,harmful\n'],
    [
      'authors of one document',
      'id,text,author,label\n1,a,human,safe\n1,b,ai,safe\n2,c,human,safe\n',
    ],
    ['rows of one id that are no turns', 'id,content,role,label\n1,a,user,safe\n1,b,user,unsafe\n'],
  ])('%s are no chat', async (_, text) => {
    const table = await read('x.csv', text, {}, 4096);
    expect(table.columns).not.toContain('messages');
  });
});
