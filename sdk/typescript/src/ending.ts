/** The end of the process or page, where there is a way to hear of it. */

interface NodeProcess {
  on?: (event: "beforeExit", listener: () => void) => unknown;
  off?: (event: "beforeExit", listener: () => void) => unknown;
}

interface Page {
  addEventListener?: (event: "pagehide", listener: () => void) => void;
  removeEventListener?: (event: "pagehide", listener: () => void) => void;
}

/** Those who wait for the end of a Node process. It hears one listener of theirs, however many they are. */
const finishers = new Set<() => void>();
const finishAll = () => {
  for (const finish of [...finishers]) finish();
};

/**
 * `finish` when a process has nothing more to do, `leave` when a page goes away. Gives what stops listening.
 * `process.exit()` tells nobody in time: await `end()` before it.
 */
export function onProcessEnd(finish: () => void, leave: () => void): () => void {
  const { process, document } = globalThis as { process?: NodeProcess; document?: unknown };
  if (typeof process?.on === "function" && typeof process.off === "function") {
    if (finishers.size === 0) process.on("beforeExit", finishAll);
    finishers.add(finish);
    return () => {
      finishers.delete(finish);
      if (finishers.size === 0) process.off?.("beforeExit", finishAll);
    };
  }
  const page = globalThis as Page;
  if (document !== undefined && typeof page.addEventListener === "function") {
    page.addEventListener("pagehide", leave);
    return () => page.removeEventListener?.("pagehide", leave);
  }
  return () => undefined;
}
