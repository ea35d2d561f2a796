import { existsSync, readdirSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { findChromium } from './chromium.mjs';

const DRIVER_FOLDERS = [
  '/usr/share/vulkan/icd.d',
  '/etc/vulkan/icd.d',
  '/usr/local/share/vulkan/icd.d',
];
const LOADER_FOLDERS = [
  '/usr/lib/x86_64-linux-gnu',
  '/usr/lib/aarch64-linux-gnu',
  '/usr/lib64',
  '/usr/lib',
];

/**
 * What Dawn in Node needs to find a Vulkan driver on Linux: environment variables that must be set
 * before the process starts, and a phrase that names the driver. The system's driver is preferred;
 * otherwise the SwiftShader, and the Vulkan loader, that ship with Chromium.
 * @returns {{ env: Record<string, string>, source: string }}
 */
export function findVulkan() {
  if (process.platform !== 'linux') return { env: {}, source: 'the graphics driver of the system' };

  const chromium = findChromium();
  const shipped = [chromium && dirname(chromium), '/usr/lib/chromium', '/opt/google/chrome']
    .filter((folder) => folder !== undefined)
    .find((folder) => existsSync(join(folder, 'vk_swiftshader_icd.json')));

  /** @type {Record<string, string>} */
  const env = {};
  const hasLoader = LOADER_FOLDERS.some((folder) => existsSync(join(folder, 'libvulkan.so.1')));
  if (!hasLoader && shipped && existsSync(join(shipped, 'libvulkan.so.1'))) {
    const known = process.env.LD_LIBRARY_PATH?.split(delimiter) ?? [];
    env.LD_LIBRARY_PATH = [...new Set([...known, shipped])].join(delimiter);
  }

  const named = process.env.VK_DRIVER_FILES ?? process.env.VK_ICD_FILENAMES;
  if (named) return { env, source: `the Vulkan driver of the environment (${named})` };
  const system = DRIVER_FOLDERS.find(
    (folder) => existsSync(folder) && readdirSync(folder).some((name) => name.endsWith('.json')),
  );
  if (system) return { env, source: `the system's Vulkan driver (${system})` };
  if (!shipped) return { env, source: 'no Vulkan driver found' };
  env.VK_ICD_FILENAMES = join(shipped, 'vk_swiftshader_icd.json');
  return { env, source: `the SwiftShader of Chromium (${env.VK_ICD_FILENAMES})` };
}
