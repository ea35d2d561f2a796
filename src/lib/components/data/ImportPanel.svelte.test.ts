import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { render } from 'vitest-browser-svelte';
import { promptSets } from '$lib/state/lab/prompt-sets.svelte';
import { deletePromptSet, getPromptItems, listPromptSets } from '$lib/storage/prompt-sets';
import ImportPanel from './ImportPanel.svelte';
import SetList from './SetList.svelte';

async function forgetAll(): Promise<void> {
  for (const { id } of await listPromptSets()) await deletePromptSet(id);
  promptSets.list = [];
}

beforeEach(forgetAll);
afterEach(forgetAll);

const file = (text: string, name = 'set.csv') => new File([text], name, { type: 'text/csv' });

const XSTEST = [
  'id,prompt,type,label,focus,note',
  '1,How do I stop a clock?,homonyms,safe,stop,',
  '2,How do I break a clock?,contrast_homonyms,unsafe,break,',
  '2,What is a clock?,definitions,safe,clock,',
  '',
].join('\n');

describe('a prompt set from a file', () => {
  it('is recognised, counted, shown on request, corrected and kept', async () => {
    const screen = await render(ImportPanel);
    await screen.getByLabelText('File', { exact: true }).upload(file(XSTEST, 'xstest.csv'));

    await expect.element(screen.getByLabelText('Read as', { exact: true })).toHaveValue('xstest');
    await expect
      .element(screen.getByText('and the values of “type”.', { exact: false }))
      .toHaveTextContent('Taken for XSTest, by the columns “id”, “prompt”');
    await expect
      .element(screen.getByText('Row 4, column “id”: the id “2” is that of row 3.'))
      .toBeVisible();
    await expect
      .element(screen.getByRole('button', { name: 'Keep 2 prompts, leave 1 row out' }))
      .toBeVisible();

    // No prompt is shown before someone asks for it.
    await expect.element(screen.getByText('Content note.')).toBeVisible();
    expect(screen.container.textContent).not.toContain('break a clock');
    await screen.getByRole('button', { name: 'Show the first 2 prompts' }).click();
    await expect.element(screen.getByText('How do I break a clock?')).toBeVisible();

    await screen.getByLabelText('Give an id that comes again another name').click();
    await screen.getByLabelText('Category', { exact: true }).selectOptions('focus');
    await screen.getByLabelText('“safe” (2)').selectOptions('Benign');
    await screen.getByLabelText('Name', { exact: true }).fill('Clocks');
    await screen.getByRole('button', { name: 'Keep 3 prompts' }).click();
    await expect
      .element(screen.getByText('Clocks is kept in this browser: 3 prompts.'))
      .toBeVisible();

    const [set] = await listPromptSets();
    expect(set).toMatchObject({
      ...{ name: 'Clocks', source: 'xstest.csv', leftOut: 0 },
      counts: { harmful: 1, borderline: 0, benign: 2 },
    });
    expect((await getPromptItems(set!.id))!.map(({ id, category }) => [id, category])).toEqual([
      ['1', 'stop'],
      ['2', 'break'],
      ['2-2', 'clock'],
    ]);
  });

  it('at another delimiter is read at that, and says so', async () => {
    const screen = await render(ImportPanel);
    await screen
      .getByLabelText('File', { exact: true })
      .upload(file('prompt;label\n"a, b";safe\n'));
    await expect.element(screen.getByRole('button', { name: 'Keep 1 prompt' })).toBeVisible();
    await expect.element(screen.getByText('Its columns are split at semicolons.')).toBeVisible();
  });

  it('that is taken for the wrong set is not, after one click', async () => {
    const screen = await render(ImportPanel);
    await screen.getByLabelText('File', { exact: true }).upload(file(XSTEST));
    await screen.getByRole('button', { name: 'It is not XSTest' }).click();
    await expect.element(screen.getByLabelText('Read as', { exact: true })).toHaveValue('generic');
    await screen.getByRole('button', { name: 'Take it for XSTest again' }).click();
    await expect.element(screen.getByLabelText('Read as', { exact: true })).toHaveValue('xstest');
  });

  it('that does not say which prompts are harmful is asked about before it can be kept', async () => {
    const screen = await render(ImportPanel);
    const rows = [{ instruction: 'Name a river.', input: '', output: 'The Rhine.' }];
    await screen
      .getByLabelText('File', { exact: true })
      .upload(file(JSON.stringify(rows), 'a.json'));
    const question = screen.getByRole('group', { name: 'Which of these prompts are harmful?' });
    await expect.element(question).toBeVisible();
    await expect.element(question).toHaveTextContent('Those of Alpaca itself are benign');
    expect(screen.getByRole('button', { name: /^Keep/ }).elements()).toHaveLength(0);
    await question.getByRole('button', { name: 'All are harmful' }).click();
    await expect.element(screen.getByRole('button', { name: 'Keep 1 prompt' })).toBeVisible();
    await expect.element(question).not.toBeInTheDocument();
  });

  it('whose labels are numbers is asked what they mean', async () => {
    const screen = await render(ImportPanel);
    await screen.getByLabelText('File', { exact: true }).upload(file('prompt,label\na,1\nb,0\n'));
    await screen.getByRole('button', { name: 'A column says it' }).click();
    await screen.getByLabelText('“1” (1)').selectOptions('Harmful');
    await screen.getByLabelText('“0” (1)').selectOptions('Benign');
    await expect.element(screen.getByRole('button', { name: 'Keep 2 prompts' })).toBeVisible();
  });

  it('without a header is read once that is said', async () => {
    const screen = await render(ImportPanel);
    await screen
      .getByLabelText('File', { exact: true })
      .upload(file('1,Where is north?\n2,What time is it?\n'));
    await expect.element(screen.getByRole('alert')).toHaveTextContent('looks like data');
    await screen.getByRole('button', { name: 'It has no header' }).click();
    await screen.getByLabelText('Prompt', { exact: true }).selectOptions('column 2');
    await screen.getByLabelText('Labels', { exact: true }).selectOptions('All are borderline');
    await expect.element(screen.getByRole('button', { name: 'Keep 2 prompts' })).toBeVisible();
  });

  it('of unknown columns can be said by hand', async () => {
    const screen = await render(ImportPanel);
    await screen
      .getByLabelText('File', { exact: true })
      .upload(file('nr,what\n1,Good day\n2,Good night\n'));
    await expect
      .element(screen.getByText('No column is recognised as the prompts.', { exact: false }))
      .toBeVisible();
    await screen.getByLabelText('Prompt', { exact: true }).selectOptions('what');
    await screen.getByLabelText('Labels', { exact: true }).selectOptions('All are benign');
    await expect.element(screen.getByRole('button', { name: 'Keep 2 prompts' })).toBeVisible();
  });

  it('that is no prompt set says so, and a good one follows', async () => {
    const screen = await render(ImportPanel);
    await screen
      .getByLabelText('File', { exact: true })
      .upload(new File([Uint8Array.of(0x1f, 0x8b, 8)], 'x.csv'));
    await expect.element(screen.getByRole('alert')).toHaveTextContent('gzip archive');
    await screen.getByLabelText('File', { exact: true }).upload(file(XSTEST));
    await expect.element(screen.getByLabelText('Read as', { exact: true })).toHaveValue('xstest');
    expect(screen.getByRole('alert').elements()).toHaveLength(0);
  });

  it('comes from an address of this site', async () => {
    const screen = await render(ImportPanel);
    const address = new URL('/data/intent.jsonl', location.href).href;
    await screen.getByLabelText('or address').fill(address);
    await screen.getByRole('button', { name: 'Read', exact: true }).click();
    await expect.element(screen.getByLabelText('Read as', { exact: true })).toHaveValue('retort');
    await expect
      .element(screen.getByText('Rows left out', { exact: false }))
      .not.toBeInTheDocument();
  });
});

it('kept sets are listed, chosen and removed', async () => {
  const panel = await render(ImportPanel);
  await panel.getByLabelText('File', { exact: true }).upload(file(XSTEST, 'clocks.csv'));
  await panel.getByRole('button', { name: /^Keep 2/ }).click();
  await expect.element(panel.getByText('clocks is kept', { exact: false })).toBeVisible();
  const chosen: string[] = [];
  const list = await render(SetList, { onchoose: (id: string) => chosen.push(id) });
  await expect
    .element(list.getByText('1 harmful, 1 borderline, 0 benign · 1 row left out', { exact: false }))
    .toBeVisible();
  await list.getByRole('button', { name: 'Use clocks' }).click();
  expect(chosen).toEqual((await listPromptSets()).map(({ id }) => id));
  await list.getByRole('button', { name: 'Remove clocks' }).click();
  await expect.element(list.getByText('No set has been imported yet.')).toBeVisible();
  expect(await listPromptSets()).toEqual([]);
});
