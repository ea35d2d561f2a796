/** Which kernels were fastest on this machine's graphics card, kept between visits. */
import { openDB } from 'idb';
import type { AutotuneCache } from '../../engine/autotune';

const STORE = 'choices';

function database() {
  return openDB('retort-autotune', 1, {
    upgrade(db) {
      db.createObjectStore(STORE);
    },
  });
}

/** Opened for each use: a load asks a few dozen times, and other tabs are never blocked. */
export const autotuneCache: AutotuneCache = {
  async get(key) {
    const db = await database();
    try {
      const choice: unknown = await db.get(STORE, key);
      return typeof choice === 'string' ? choice : undefined;
    } finally {
      db.close();
    }
  },

  async put(key, choice) {
    const db = await database();
    try {
      await db.put(STORE, choice, key);
    } finally {
      db.close();
    }
  },
};
