// Gives Node the globals of WebGPU from Dawn, so that GPU tests run unchanged outside a browser.
import { create, globals } from 'webgpu';
import { findVulkan } from '../../tools/chromium.mjs';

const { icd } = findVulkan();
if (icd) process.env.VK_ICD_FILENAMES = icd;

Object.assign(globalThis, globals);
const gpu = create([]);
if (!('navigator' in globalThis)) {
  Object.defineProperty(globalThis, 'navigator', { value: {}, configurable: true });
}
Object.defineProperty(navigator, 'gpu', { value: gpu, configurable: true });
