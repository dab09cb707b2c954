/** Sends what is buffered: batches, one after the other, until the server has each event. */

import type { Buffer, Item } from "./buffer.js";
import { KultiError, Refused, Unreachable } from "./errors.js";
import type { Server } from "./settings.js";
import {
  ANSWER_TIMEOUT_MS,
  BATCH_CHARACTERS,
  BATCH_EVENTS,
  BATCH_WAIT_MS,
  GZIP_FROM_CHARACTERS,
  backoffMs,
  headersFor,
  retryAfterMs,
} from "./settings.js";
import { Pause } from "./timers.js";

/** Answers that the same request will always get. Any other may pass: also a key can be mended, or an address. */
const SPOILED = new Set([400, 413, 422]);

interface Result {
  status: string;
  code?: string;
  detail?: string;
  field?: string;
  warning?: string;
}

/** What one attempt came to: done, or again, after as long as the server asked for. */
type Outcome = "done" | { againAfterMs: number | undefined };

/** The only one who takes from the buffer. */
export class Sender {
  #inFlight: Item[] = [];
  #limit = BATCH_EVENTS;
  #isRunning = false;
  #isUrgent = false;
  #givesUp = false;
  #pause = new Pause();
  #aborting = new AbortController();
  #waiters: (() => void)[] = [];
  #lastLogged = "";
  lastProblem: KultiError | undefined;
  sent = 0;
  rejected = 0;
  retried = 0;

  constructor(
    private readonly server: Server,
    private readonly buffer: Buffer,
    private readonly onProblem: (problem: KultiError) => void,
  ) {}

  /** Events that the server does not have yet. */
  get waiting(): number {
    return this.buffer.length + this.#inFlight.length;
  }

  /** There is something to send. */
  wake(): void {
    if (this.#isRunning || this.#givesUp) return;
    this.#isRunning = true;
    void this.#run();
  }

  /** Waits until the server has everything that was said until now. False if it took longer. */
  async flush(timeoutMs: number): Promise<boolean> {
    if (this.waiting === 0) return true;
    this.#isUrgent = true;
    this.#pause.endIf("batch");
    this.wake();
    return new Promise((resolve) => {
      const finish = () => {
        clearTimeout(timer);
        resolve(this.waiting === 0);
      };
      // Not unref'd: who waits for a flush wants the process to stay for it.
      const timer = setTimeout(() => {
        this.#waiters = this.#waiters.filter((waiter) => waiter !== finish);
        finish();
      }, timeoutMs);
      this.#waiters.push(finish);
    });
  }

  /** Sends nothing more. How many events the server may not have. */
  giveUp(): number {
    const left = this.waiting;
    this.#givesUp = true;
    this.buffer.clear();
    this.#inFlight = [];
    this.#aborting.abort();
    this.#pause.end();
    return left;
  }

  /** A page goes away: what fits into a request that outlives it. */
  farewell(): void {
    const lines: string[] = [];
    let size = 0;
    for (const item of [...this.#inFlight, ...this.buffer.take(BATCH_EVENTS, 48_000)]) {
      size += item.line.length;
      if (size > 48_000) break;
      lines.push(item.line);
    }
    if (lines.length === 0) return;
    const headers = headersFor(this.server, { "Content-Type": "application/x-ndjson" });
    const request = { method: "POST", headers, body: lines.join(""), keepalive: true };
    fetch(`${this.server.url}/v1/events`, request).catch(() => undefined);
  }

  async #run(): Promise<void> {
    let attempt = 0;
    while (!this.#givesUp) {
      if (this.#inFlight.length === 0) {
        if (this.buffer.length === 0) break;
        if (!this.#isUrgent && this.buffer.characters < BATCH_CHARACTERS) {
          await this.#pause.begin("batch", BATCH_WAIT_MS, { keepsProcess: true });
        }
        this.#limit = BATCH_EVENTS;
        this.#inFlight = this.buffer.take(BATCH_EVENTS, BATCH_CHARACTERS);
        continue;
      }
      const outcome = await this.#deliver(this.#inFlight.slice(0, this.#limit)).catch((error: unknown) => {
        this.#failed(new KultiError(`an event could not be sent: ${String(error)}`));
        return { againAfterMs: undefined };
      });
      attempt = outcome === "done" ? 0 : attempt + 1;
      if (outcome !== "done" && !this.#givesUp) {
        this.retried += 1;
        // A server that is away does not keep a process that has ended its work.
        const asked = outcome.againAfterMs;
        const waitMs = asked === undefined ? backoffMs(attempt) : asked * (1 + Math.random() / 5);
        await this.#pause.begin("retry", waitMs, { keepsProcess: false });
      }
    }
    this.#isRunning = false;
    this.#isUrgent = false;
    this.#settle();
  }

  async #deliver(batch: Item[]): Promise<Outcome> {
    const headers: Record<string, string> = { "Content-Type": "application/x-ndjson" };
    let body: string | Blob = batch.map((item) => item.line).join("");
    if (body.length >= GZIP_FROM_CHARACTERS && !this.server.isLocal && typeof CompressionStream !== "undefined") {
      headers["Content-Encoding"] = "gzip";
      body = await new Response(new Blob([body]).stream().pipeThrough(new CompressionStream("gzip"))).blob();
    }
    const timeout = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
    let response: Response;
    let results: unknown;
    try {
      response = await fetch(`${this.server.url}/v1/events`, {
        method: "POST",
        headers: headersFor(this.server, headers),
        body,
        redirect: "error",
        signal: anyOf(timeout, this.#aborting.signal),
      });
      if (response.ok) results = ((await response.json()) as { results?: unknown }).results;
    } catch (error) {
      if (!this.#givesUp) this.#failed(new Unreachable(`${this.server.url}: ${reasonOf(error)}`));
      return { againAfterMs: undefined };
    }
    if (response.ok) return this.#readResults(batch, results, response);
    const problem = await Refused.of(response);
    if (!SPOILED.has(response.status)) {
      this.#failed(problem);
      return { againAfterMs: retryAfterMs(response) };
    }
    if (batch.length > 1) {
      // One of them spoils the others: halves find it.
      this.#limit = Math.floor(batch.length / 2);
    } else {
      this.#reject(problem);
      this.#done(1, 0);
    }
    return "done";
  }

  #readResults(batch: Item[], results: unknown, response: Response): Outcome {
    if (!Array.isArray(results) || results.length !== batch.length) {
      this.#failed(new KultiError(`${this.server.url} does not answer as Kulti does`));
      return { againAfterMs: undefined };
    }
    const told = results as Result[];
    // From the first that is to be sent again everything goes again: ids make copies harmless, the order stays.
    const again = told.findIndex((result) => result.status === "retry");
    const decided = again < 0 ? batch.length : again;
    let accepted = 0;
    told.slice(0, decided).forEach((result, index) => {
      const kind = batch[index]!.kind;
      if (result.status === "rejected") {
        this.#reject(new Refused(`${kind}: ${result.detail ?? result.code}`, result.code, 0, result.field));
      } else {
        accepted += 1;
        if (result.warning) this.#logOnce(`${kind}: ${result.warning}`);
      }
    });
    this.#done(decided, accepted);
    if (again < 0) return "done";
    this.#failed(new Refused(String(told[again]!.detail ?? told[again]!.code), told[again]!.code));
    return { againAfterMs: retryAfterMs(response) };
  }

  #done(decided: number, accepted: number): void {
    this.#inFlight = this.#inFlight.slice(decided);
    this.sent += accepted;
    if (accepted > 0) {
      this.lastProblem = undefined;
      this.#lastLogged = "";
    }
    if (this.waiting === 0) this.#settle();
  }

  #settle(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter();
  }

  #reject(problem: Refused): void {
    this.rejected += 1;
    this.#logOnce(`not taken: ${problem.message}`);
    this.onProblem(problem);
  }

  #failed(problem: KultiError): void {
    this.lastProblem = problem;
    this.#logOnce(`${problem.message}; events are kept and sent when it works`);
    this.onProblem(problem);
  }

  #logOnce(text: string): void {
    if (text === this.#lastLogged) return;
    this.#lastLogged = text;
    console.warn(`kulti: ${text}`);
  }
}

/** `AbortSignal.any`, where it is missing too. */
function anyOf(...signals: AbortSignal[]): AbortSignal {
  if (typeof AbortSignal.any === "function") return AbortSignal.any(signals);
  const controller = new AbortController();
  for (const signal of signals) {
    if (signal.aborted) controller.abort(signal.reason);
    else signal.addEventListener("abort", () => controller.abort(signal.reason), { once: true });
  }
  return controller.signal;
}

/** What `fetch` hides in its cause. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause;
  const told = cause instanceof Error ? cause.message || (cause as { code?: string }).code : undefined;
  return told || error.message;
}
