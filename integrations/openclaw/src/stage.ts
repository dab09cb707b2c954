/** Which session of Kulti what happens belongs to: begins them, ends them, bounds them. */

import { Kulti } from "kulti";

import type { Place } from "./host.js";
import { Recording, type Speaker } from "./recording.js";
import type { Settings } from "./settings.js";

/** Sessions that are open, or still on their way, at once; each buffers so much at most while Kulti is away. */
const MAX_SESSIONS = 100;
const MAX_BUFFERED_CHARACTERS = 4 * 1024 * 1024;
/** How long a session that has ended is kept for a Kulti that is away. */
const PATIENCE_MS = 5 * 60_000;
/** How long OpenClaw waits for it when it stops. */
const STOP_MS = 2000;
/** A run that says nothing for so long will not say anything any more. */
const SILENT_MS = 12 * 3_600_000;
/** OpenClaw's agent that has no name of its own. */
const MAIN_AGENT = "main";

interface Open {
  recording: Recording;
  usedAt: number;
  idle: NodeJS.Timeout;
}

/** Who speaks, and where. */
export interface Voice {
  recording: Recording;
  speaker: Speaker;
}

export class Stage {
  /** By OpenClaw's session. The one that was used last is the last. */
  #open = new Map<string, Open>();
  #ending = new Set<Promise<unknown>>();
  /** Sessions of subagents: whose they are. */
  #subagents = new Map<string, { owner: string; speaker: Speaker }>();
  #runsOver = new Set<string>();
  #isFull = false;

  constructor(
    private readonly settings: Settings,
    private readonly warn: (problem: string) => void,
  ) {}

  /** The session that is open there, or a new one if its run `begins` there. None where there are too many. */
  at(place: Place, begins: boolean): Voice | undefined {
    if (place.runId !== undefined && this.#runsOver.has(place.runId)) begins = false;
    const key = keyOf(place);
    if (key === undefined) return undefined;
    const subagent = this.#subagents.get(key);
    const owner = subagent?.owner ?? key;
    const open = this.#open.get(owner) ?? (begins ? this.#begin(owner, place) : undefined);
    if (!open) return undefined;
    open.usedAt = Date.now();
    open.idle.refresh();
    this.#open.delete(owner);
    this.#open.set(owner, open);
    return { recording: open.recording, speaker: subagent?.speaker ?? {} };
  }

  /** A session works for another one: it is told as part of that. */
  adopt(child: string, owner: string | undefined, name: string): void {
    const of = owner === undefined ? undefined : (this.#subagents.get(owner)?.owner ?? owner);
    const open = of === undefined ? undefined : this.#open.get(of);
    if (of === undefined || !open) return;
    const parent = open.recording.openCall("sessions_spawn");
    this.#subagents.set(child, { owner: of, speaker: { subagent: name, parent } });
  }

  release(child: string): void {
    this.#subagents.delete(child);
  }

  /** The session ends; what it has said is sent while Kulti comes back, if it does. */
  end(place: Place, reason: string): void {
    const key = keyOf(place);
    if (key !== undefined && !this.#subagents.has(key)) this.#end(key, reason, PATIENCE_MS);
  }

  /** OpenClaw stops, or this plugin does: all sessions end. Waits for Kulti, but not for long. */
  async close(reason: string): Promise<void> {
    for (const key of [...this.#open.keys()]) this.#end(key, reason, STOP_MS);
    this.#subagents.clear();
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise((resolve) => (timer = setTimeout(resolve, STOP_MS)));
    await Promise.race([Promise.allSettled(this.#ending), patience]);
    clearTimeout(timer);
  }

  #begin(key: string, place: Place): Open | undefined {
    if (!this.#hasRoom()) return undefined;
    const { server, apiKey, agent, visibility, allow } = this.settings;
    const { agentId } = place;
    const isMain = agentId === undefined || agentId === MAIN_AGENT;
    const stream = new Kulti(isMain ? agent : `${agent}-${agentId}`, {
      server,
      apiKey,
      visibility,
      allow,
      name: isMain ? "OpenClaw" : `OpenClaw ${agentId}`,
      avatar: "🦞",
      tags: ["openclaw"],
      // A run says that it goes on; between runs there is nothing to say.
      heartbeatMs: 0,
      maxBufferedCharacters: MAX_BUFFERED_CHARACTERS,
    });
    stream.update({ openclaw: { session: place.sessionId, key: place.sessionKey } });
    const idleMs = this.settings.idleMinutes * 60_000;
    const idle = setTimeout(() => this.#rest(key), idleMs).unref();
    return { recording: new Recording(stream, this.#runsOver), usedAt: Date.now(), idle };
  }

  /** Nothing has happened for long. A run may be as quiet as that, but not for ever. */
  #rest(key: string): void {
    const open = this.#open.get(key);
    if (!open) return;
    if (open.recording.isIdle) this.#end(key, "completed", PATIENCE_MS);
    else if (Date.now() - open.usedAt > SILENT_MS) this.#end(key, "timeout", PATIENCE_MS);
    else open.idle.refresh();
  }

  #hasRoom(): boolean {
    if (this.#open.size + this.#ending.size < MAX_SESSIONS) {
      this.#isFull = false;
      return true;
    }
    const resting = [...this.#open].find(([, { recording }]) => recording.isIdle);
    if (resting && this.#ending.size < MAX_SESSIONS / 2) {
      this.#end(resting[0], "completed", PATIENCE_MS);
      return true;
    }
    if (!this.#isFull) this.warn(`${MAX_SESSIONS} sessions are streamed already, further ones are not`);
    this.#isFull = true;
    return false;
  }

  #end(key: string, reason: string, waitMs: number): void {
    const open = this.#open.get(key);
    if (!open) return;
    this.#open.delete(key);
    clearTimeout(open.idle);
    for (const [child, { owner }] of this.#subagents) if (owner === key) this.#subagents.delete(child);
    open.recording.close();
    const ending = open.recording.stream.end(reason, undefined, waitMs).finally(() => this.#ending.delete(ending));
    this.#ending.add(ending);
  }
}

/** OpenClaw's name for a conversation; its runs without one are sessions of their own. */
function keyOf({ sessionKey, sessionId, runId }: Place): string | undefined {
  return sessionKey ?? sessionId ?? runId;
}
