/** What the commands say of the models that a site has. */
import { gigabytes } from './python.mjs';
import { storedParts } from './store.mjs';

/** @typedef {import('./store.mjs').Manifest} Manifest */
/** @typedef {import('./store.mjs').ModelStore} ModelStore */

/** @param {Manifest} manifest */
export function bytesOf({ files }) {
  return files.reduce((sum, file) => sum + file.bytes, 0);
}

/** "SmolLM2 135M Instruct, 90 MB in 8 files, Apache-2.0, from PyPI …" @param {Manifest} manifest */
export function describe(manifest) {
  const { title, licence, source, revision } = manifest;
  const count = storedParts(manifest).length + 1;
  const from = revision ? `${source}, at commit ${revision.slice(0, 12)}` : source;
  return `${title}, ${gigabytes(bytesOf(manifest))} in ${count} files, ${licence}, from ${from}`;
}

/**
 * Brings the list that pages read up to date with the folders that are there, and says which are left
 * out: a folder may have been copied from another machine, in part perhaps.
 * @param {ModelStore} store
 * @param {(line: string) => void} say
 * @returns {Promise<Manifest[]>} what pages offer
 */
export async function refresh(store, say) {
  const { offered, leftOut } = await store.writeList();
  for (const { name, why } of leftOut) say(`${name}: not offered. ${why}`);
  return offered;
}

/** @param {ModelStore} store @param {(line: string) => void} say */
export async function list(store, say) {
  const offered = await refresh(store, say);
  if (offered.length === 0) say('No model was added yet: npm run models -- add smollm2-135m');
  for (const manifest of offered) say(`${manifest.id}: ${describe(manifest)}`);
  if (offered.length > 0) say('Lab and chat offer these after npm start.');
}

/**
 * Compares every byte with the manifests.
 * @param {ModelStore} store
 * @param {(line: string) => void} say
 * @returns {Promise<boolean>} whether nothing is wrong
 */
export async function check(store, say) {
  const { added, leftOut } = await store.look();
  for (const { name, why } of leftOut) say(`${name}: not offered. ${why}`);
  let isRight = leftOut.length === 0;
  for (const manifest of added) {
    const wrong = await store.check(manifest);
    isRight &&= wrong.length === 0;
    const strays = await store.strays(manifest);
    const { id } = manifest;
    if (wrong.length > 0) {
      say(`${id}: damaged. ${wrong.join(' ')} Copy public/models/${id} again, or add the model.`);
    } else {
      say(`${id}: every file is as listed; lab and chat offer it after npm start.`);
      say(`  ${describe(manifest)}`);
      say(`  The same model everywhere: links name it ${await store.modelId(id)}.`);
    }
    if (strays.length > 0) say(`  Not part of it: ${strays.slice(0, 8).join(', ')}.`);
  }
  if (added.length === 0 && leftOut.length === 0) say('No model was added to this site.');
  await store.writeList();
  return isRight;
}
