import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { ChatTokenizer } from '../../../distill/data/chat';
import { manifestId } from '../../../formats/manifest';
import { decodeShare } from '../../../formats/share/share-link';
import { templateOf } from '../chat/share';
import { mismatch } from './mismatch';

const root = fileURLToPath(new URL('../../../../public/', import.meta.url));
const json = (path: string) => JSON.parse(readFileSync(root + path, 'utf8')) as never;
const loaded = { modelId: '0123456789abcdef', templateHash: 'deadbeef' };

describe('mismatch', () => {
  it('lets what was trained for this model and template through', () => {
    expect(mismatch(loaded, loaded)).toBeNull();
    expect(mismatch({ ...loaded, templateHash: null }, loaded)).toBeNull();
  });

  it('says which of the two is another one', () => {
    const other = { ...loaded, modelId: 'fedcba9876543210' };
    expect(mismatch(other, loaded)).toMatch(/for model fedcba9876543210; this page has 0123/);
    const dressed = { ...loaded, templateHash: '01234567' };
    expect(mismatch(dressed, loaded)).toMatch(
      /template 01234567; .+ with deadbeef\..+train it again/,
    );
    expect(mismatch(loaded, null)).toMatch(/for model/);
  });

  it('opens the recorded run on the student that ships', async () => {
    const { share } = json('recordings/pocket-tv.json') as { share: string };
    const pocket = new ChatTokenizer(
      json('models/pocket/tokenizer.json'),
      json('models/pocket/tokenizer_config.json'),
      { generation: json('models/pocket/generation_config.json') },
    );
    const manifest = new Uint8Array(readFileSync(`${root}models/pocket/manifest.json`));
    const here = {
      modelId: await manifestId(manifest),
      templateHash: await pocket.templateHash(),
    };
    expect(mismatch(decodeShare(share), here)).toBeNull();
    expect(templateOf(share)).toBe(here.templateHash);
    expect(templateOf(null)).toBeNull();
    expect(templateOf('not a link')).toBeNull();
  });
});
