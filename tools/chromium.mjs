import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { chromium as playwrightChromium } from 'playwright';

const SYSTEM_PATHS = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/usr/bin/google-chrome-stable',
  '/snap/bin/chromium',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
  'C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe',
];

/** What WebGPU needs in a headless tab without a GPU, and nothing that calls home. */
export const chromiumFlags = [
  '--headless=new',
  '--no-sandbox',
  '--enable-unsafe-webgpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** Path of a Chromium to drive: $CHROMIUM, Playwright's own, then the system's; or undefined. */
export function findChromium() {
  const candidates = [process.env.CHROMIUM, playwrightChromium.executablePath(), ...SYSTEM_PATHS];
  return candidates.find((path) => path && existsSync(path));
}

/**
 * Vulkan driver description for Dawn in Node on Linux, as `VK_ICD_FILENAMES` takes it, with where
 * it comes from. The system's driver is preferred; otherwise the SwiftShader beside Chromium.
 * @returns {{ icd: string | undefined, source: string }}
 */
export function findVulkan() {
  const named = process.env.VK_DRIVER_FILES ?? process.env.VK_ICD_FILENAMES;
  if (named) return { icd: named, source: `environment (${named})` };
  if (process.platform !== 'linux') return { icd: undefined, source: 'system graphics driver' };
  const system = ['/usr/share/vulkan/icd.d', '/etc/vulkan/icd.d'].find((path) => existsSync(path));
  if (system) return { icd: undefined, source: `system Vulkan driver (${system})` };
  const chromium = findChromium();
  const beside = [chromium && dirname(chromium), '/usr/lib/chromium', '/opt/google/chrome'];
  for (const folder of beside) {
    const icd = folder && join(folder, 'vk_swiftshader_icd.json');
    if (icd && existsSync(icd)) return { icd, source: `SwiftShader (${icd})` };
  }
  return { icd: undefined, source: 'none found' };
}
