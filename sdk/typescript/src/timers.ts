/** Timers that do not keep a process alive, and waits that can be ended early. */

/** Node's timers can be told not to keep the process; elsewhere there is nothing to tell. */
export function letGo(timer: ReturnType<typeof setTimeout>): void {
  (timer as unknown as { unref?: () => void }).unref?.();
}

/** One wait at a time. */
export class Pause {
  #timer: ReturnType<typeof setTimeout> | undefined;
  #resolve: (() => void) | undefined;
  #why = "";

  /** Waits so long, or until it is ended. */
  begin(why: string, ms: number, { keepsProcess }: { keepsProcess: boolean }): Promise<void> {
    return new Promise((resolve) => {
      this.#why = why;
      this.#resolve = resolve;
      this.#timer = setTimeout(() => this.end(), ms);
      if (!keepsProcess) letGo(this.#timer);
    });
  }

  endIf(why: string): void {
    if (this.#why === why) this.end();
  }

  end(): void {
    clearTimeout(this.#timer);
    const resolve = this.#resolve;
    this.#resolve = undefined;
    resolve?.();
  }
}
