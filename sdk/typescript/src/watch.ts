/** Watching a session: server-sent events, every event once and in order, across lost connections. */

import { Gap, Refused } from "./errors.js";
import type { KultiEvent } from "./events.js";
import { backoffMs, headersFor, retryAfterMs, type Server } from "./settings.js";

/** The server says something at least every 15 s. */
const SILENCE_MS = 40_000;
const TRY_AGAIN = new Set([408, 425, 429, 500, 502, 503, 504]);

interface Frame {
  type: string;
  session?: string;
  events?: KultiEvent[];
  from?: number;
  to?: number;
  position?: number;
  reason?: string;
  code?: string;
  detail?: string;
  retryable?: boolean;
}

export interface WatchRequest {
  session: string;
  parameters: Record<string, string>;
  kinds: readonly string[] | undefined;
  /** Stops at the end of what there is. */
  untilCaughtUp: boolean;
  signal: AbortSignal | undefined;
}

/** The session's events; until it ends, is live, or is aborted. Throws Gap and Refused; a server that is away is waited for. */
export async function* watch(server: Server, request: WatchRequest): AsyncGenerator<KultiEvent, void, void> {
  const { signal } = request;
  const place = new Place(request.kinds !== undefined && request.kinds.length > 0);
  const query = new URLSearchParams(request.parameters);
  if (request.kinds?.length) query.set("kinds", request.kinds.join(","));
  const url = `${server.url}/v1/sessions/${encodeURIComponent(request.session)}/stream?${query}`;
  for (let attempt = 1; !signal?.aborted; attempt += 1) {
    let waitMs: number | undefined;
    const silence = new Silence(signal);
    try {
      const headers: Record<string, string> = { Accept: "text/event-stream" };
      if (place.position !== undefined) headers["Last-Event-ID"] = String(place.position);
      const response = await fetch(url, { headers: headersFor(server, headers), signal: silence.signal });
      if (response.status === 204) return;
      if (response.status !== 200) {
        if (!TRY_AGAIN.has(response.status)) throw await Refused.of(response);
        waitMs = retryAfterMs(response);
        await response.body?.cancel();
      } else {
        for await (const data of eventData(response.body!, silence)) {
          attempt = 0;
          const frame = JSON.parse(data) as Frame;
          if (frame.type === "events") yield* place.check(frame);
          else if (frame.type === "ended" || (frame.type === "caught_up" && request.untilCaughtUp)) return;
          else place.read(frame);
        }
      }
    } catch (error) {
      if (error instanceof Gap || error instanceof Refused) throw error;
      if (signal?.aborted) return;
    } finally {
      silence.stop();
    }
    await wait(waitMs ?? backoffMs(attempt), signal);
  }
}

/** How far a viewer has come, and whether what comes next does come next. */
class Place {
  position: number | undefined;

  constructor(private readonly isFiltered: boolean) {}

  /** The frame's events that are new. Positions, or with a filter the ranges they cover, are contiguous. */
  check(frame: Frame): KultiEvent[] {
    const events = frame.events ?? [];
    const first = frame.from ?? events[0]?.position;
    const last = frame.to ?? events.at(-1)?.position;
    const known = this.position;
    if (known !== undefined && first !== undefined && first > known + 1) {
      throw new Gap(known + 1, first - 1, "the server went past them");
    }
    if (!this.isFiltered && first !== undefined && last !== undefined && last - first + 1 !== events.length) {
      throw new Gap(first, last, "the frame has holes");
    }
    if (last !== undefined) this.position = Math.max(last, known ?? 0);
    return known === undefined ? events : events.filter((event) => event.position > known);
  }

  read(frame: Frame): void {
    if (frame.type === "gap") throw new Gap(frame.from ?? 0, frame.to ?? 0, String(frame.reason));
    if (frame.type === "error" && frame.session !== undefined && !frame.retryable) {
      throw new Refused(String(frame.detail), frame.code);
    }
    if (["caught_up", "clock", "state"].includes(frame.type)) {
      // From `live` there may be nothing for long; after a lost connection it goes on from here.
      this.position ??= frame.position;
    }
  }
}

/** Aborts a connection on which nothing came for too long, or whose reader is gone. */
class Silence {
  readonly #controller = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #abort = () => this.#controller.abort();

  constructor(private readonly outer: AbortSignal | undefined) {
    if (outer?.aborted) this.#abort();
    outer?.addEventListener("abort", this.#abort);
    this.heard();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  heard(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#abort, SILENCE_MS);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.outer?.removeEventListener("abort", this.#abort);
    this.#abort();
  }
}

/** The `data` of each server-sent event (WHATWG HTML, 9.2.6). */
async function* eventData(body: ReadableStream<Uint8Array>, silence: Silence): AsyncGenerator<string, void, void> {
  const reader = body.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>).getReader();
  let rest = "";
  let lines: string[] = [];
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    silence.heard();
    const parts = (rest + value).split("\n");
    rest = parts.pop()!;
    for (const part of parts) {
      const line = part.endsWith("\r") ? part.slice(0, -1) : part;
      if (line.startsWith("data:")) {
        lines.push(line.slice(line.startsWith("data: ") ? 6 : 5));
      } else if (line === "" && lines.length > 0) {
        yield lines.join("\n");
        lines = [];
      }
    }
  }
}

function wait(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal?.addEventListener("abort", end);
  });
}
