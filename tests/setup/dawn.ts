// Gives Node the globals of WebGPU from Dawn, so that GPU tests run unchanged outside a browser.
// The Vulkan driver comes from vitest.config.ts, which sets it before this process starts.
import { create, globals } from 'webgpu';

Object.assign(globalThis, globals);
if (!('navigator' in globalThis)) {
  Object.defineProperty(globalThis, 'navigator', { value: {}, configurable: true });
}
Object.defineProperty(navigator, 'gpu', { value: create([]), configurable: true });
