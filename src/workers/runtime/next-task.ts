/**
 * Lets a worker hear its messages (a cancel, say): WASM sessions only ever wait in microtasks, so
 * without this nothing else runs until they are done. Faster than setTimeout, which is held back.
 */
export function nextTask(): Promise<void> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}
