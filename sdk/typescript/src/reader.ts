/** Reading sessions: lists, any moment of one, what happened, and what happens. */

import { Refused, Unreachable } from "./errors.js";
import type { KultiEvent } from "./events.js";
import { reasonOf } from "./sender.js";
import { findServer, headersFor, type Server } from "./settings.js";
import { watch } from "./watch.js";

/** A moment: a position, a time of day, "90s", "12m30s", an event's id, or "live". */
export type At = number | string | Date;

/** What is known of a session. */
export interface SessionInfo {
  id: string;
  agent: string;
  status: "live" | "quiet" | "ended";
  /** The last position. */
  events: number;
  title?: string;
  task?: string;
  visibility?: string;
  started_at?: string;
  ended_at?: string;
  url?: string;
  [member: string]: unknown;
}

/** The whole workspace at a moment; docs/replay.md says what is in it. */
export interface State {
  position: number;
  [part: string]: unknown;
}

export interface WatchOptions {
  /** What comes after it is sent. */
  start?: At | undefined;
  /** Only these kinds. */
  kinds?: readonly string[] | undefined;
  /** Times the session's clock, or as fast as it goes. */
  speed?: number | "max" | undefined;
  /** Ends it. */
  signal?: AbortSignal | undefined;
}

const ANSWER_TIMEOUT_MS = 45_000;

/** A server to read from. Its methods reject with Refused and Unreachable. */
export class Reader {
  readonly #server: Server;

  /** Else `KULTI_URL` and `KULTI_API_KEY`, else http://127.0.0.1:8080. */
  constructor(options: { server?: string | undefined; apiKey?: string | undefined } = {}) {
    this.#server = findServer(options.server, options.apiKey);
  }

  /** Sessions, live ones first. */
  sessions(
    query: { agent?: string; status?: "live" | "quiet" | "ended"; tag?: string; limit?: number } = {},
  ): AsyncGenerator<SessionInfo, void, void> {
    const { limit, ...filter } = query;
    return this.#pages<SessionInfo>("/v1/sessions", filter, limit);
  }

  /** What is known of one session. */
  async session(session: string, at: At = "live"): Promise<SessionInfo> {
    return this.#get(path(session), { at: atText(at) });
  }

  /** The events that there are, page by page. */
  events(session: string, range: { after?: At; before?: At; kind?: string } = {}): AsyncGenerator<KultiEvent, void, void> {
    const { after, before, kind } = range;
    const query: Record<string, string | undefined> = { kind };
    if (after !== undefined) query["after"] = atText(after);
    if (before !== undefined) query["before"] = atText(before);
    return this.#pages<KultiEvent>(path(session, "events"), query, undefined);
  }

  /** The whole workspace as it was: screen, files, messages, thoughts, plan, tools, usage. */
  async state(session: string, at: At = "live"): Promise<State> {
    return this.#get(path(session, "state"), { at: atText(at) });
  }

  /** What the terminal showed. */
  async screen(session: string, at: At = "live", terminal?: string): Promise<Record<string, unknown>> {
    return this.#get(path(session, "screen"), { at: atText(at), terminal });
  }

  /** What a file held. */
  async file(session: string, name: string, at: At = "live"): Promise<Record<string, unknown>> {
    const escaped = name.split("/").map(encodeURIComponent).join("/");
    return this.#get(path(session, `files/${escaped}`), { at: atText(at) });
  }

  /**
   * Each event once, in order, as it happens, until the session ends. Lost connections are taken up again.
   *
   * `start` is `live` (default), `start` for all that was, or any moment. Throws Gap where positions are missing for
   * good. Leaving the loop, or `signal`, ends it.
   */
  watch(session: string, options: WatchOptions = {}): AsyncGenerator<KultiEvent, void, void> {
    const { start = "live", kinds, speed = "max", signal } = options;
    const parameters = { from: atText(start), speed: String(speed) };
    return watch(this.#server, { session, parameters, kinds, untilCaughtUp: false, signal });
  }

  /** What happened, at its own pace or another, idle time cut; up to what there is now. */
  replay(
    session: string,
    options: WatchOptions & { idleCapMs?: number } = {},
  ): AsyncGenerator<KultiEvent, void, void> {
    const { start = "start", kinds, speed = 1, signal, idleCapMs = 2000 } = options;
    const parameters: Record<string, string> = { from: atText(start), speed: String(speed) };
    if (speed !== "max") parameters["idle_cap_ms"] = String(idleCapMs);
    return watch(this.#server, { session, parameters, kinds, untilCaughtUp: true, signal });
  }

  async #get<T>(route: string, query: Record<string, string | undefined>): Promise<T> {
    const told = new URLSearchParams();
    for (const [name, value] of Object.entries(query)) if (value !== undefined) told.set(name, value);
    let response: Response;
    try {
      const signal = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
      response = await fetch(`${this.#server.url}${route}?${told}`, { headers: headersFor(this.#server), signal });
    } catch (error) {
      throw new Unreachable(`${this.#server.url}: ${reasonOf(error)}`);
    }
    if (!response.ok) throw await Refused.of(response);
    return (await response.json()) as T;
  }

  async *#pages<T>(
    route: string,
    query: Record<string, string | undefined>,
    limit: number | undefined,
  ): AsyncGenerator<T, void, void> {
    let cursor: string | undefined;
    let left = limit ?? Infinity;
    while (left > 0) {
      const size = String(Math.min(left, 1000));
      const page: { items: T[]; next: string | null } = await this.#get(route, { ...query, limit: size, cursor });
      const items = page.items.slice(0, left);
      yield* items;
      left -= items.length;
      if (page.next === null || page.next === undefined) return;
      cursor = page.next;
    }
  }
}

function atText(at: At): string {
  return at instanceof Date ? at.toISOString() : String(at);
}

function path(session: string, rest = ""): string {
  return `/v1/sessions/${encodeURIComponent(session)}${rest && `/${rest}`}`;
}
