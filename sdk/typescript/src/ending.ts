/** The end of the process or page, where there is a way to hear of it. */

interface NodeProcess {
  once?: (event: "beforeExit", listener: () => void) => unknown;
  off?: (event: "beforeExit", listener: () => void) => unknown;
}

interface Page {
  addEventListener?: (event: "pagehide", listener: () => void) => void;
  removeEventListener?: (event: "pagehide", listener: () => void) => void;
}

/**
 * `finish` when a process has nothing more to do, `leave` when a page goes away. Gives what stops listening.
 * `process.exit()` tells nobody in time: await `end()` before it.
 */
export function onProcessEnd(finish: () => void, leave: () => void): () => void {
  const { process, document } = globalThis as { process?: NodeProcess; document?: unknown };
  if (typeof process?.once === "function" && typeof process.off === "function") {
    process.once("beforeExit", finish);
    return () => process.off?.("beforeExit", finish);
  }
  const page = globalThis as Page;
  if (document !== undefined && typeof page.addEventListener === "function") {
    page.addEventListener("pagehide", leave);
    return () => page.removeEventListener?.("pagehide", leave);
  }
  return () => undefined;
}
