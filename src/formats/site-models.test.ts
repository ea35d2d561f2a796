import { expect, it } from 'vitest';
import { ManifestError } from './manifest';
import { parseSiteModels } from './site-models';

const model = {
  id: 'smollm2-135m',
  title: 'SmolLM2 135M Instruct',
  kind: 'student',
  family: 'llama',
  bytes: 90_014_104,
  parameters: 134_515_008,
  licence: 'Apache-2.0',
  modelId: 'c6a3774b8cddbdba',
};

it('what a site has becomes entries like those of the catalogue', () => {
  expect(parseSiteModels({ models: [model] })).toMatchObject([
    {
      role: 'student',
      title: 'SmolLM2 135M Instruct',
      source: { kind: 'bundled', name: 'smollm2-135m' },
      modelId: 'c6a3774b8cddbdba',
      bytes: 90_014_104,
    },
  ]);
  expect(parseSiteModels({ models: [] })).toEqual([]);
});

it.each<[string, unknown, string]>([
  ['no list', {}, 'must list at most 200'],
  ['no object', [1], 'site.json must be an object'],
  ['a list', [model], 'site.json must be an object'],
  ['another kind', { models: [{ ...model, kind: 'teacher' }] }, 'models[0].kind'],
  ['a short id', { models: [{ ...model, modelId: 'abc' }] }, 'models[0].modelId'],
  ['no whole size', { models: [{ ...model, bytes: 1.5 }] }, 'models[0].bytes'],
  ['an empty title', { models: [{ ...model, title: '' }] }, 'models[0].title'],
  ['an endless title', { models: [{ ...model, title: 'a'.repeat(201) }] }, 'models[0].title'],
  ['a hub source', { models: [{ ...model, id: 'hub:a/b@c/q4' }] }, 'models[0].id'],
  ['too many', { models: Array(201).fill(model) }, 'at most 200'],
])('%s is refused', (_, json, message) => {
  expect(() => parseSiteModels(json)).toThrow(ManifestError);
  expect(() => parseSiteModels(json)).toThrow(message);
});
