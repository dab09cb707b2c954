/** An agent's stream: what it thinks, types, runs and builds, as calls that return at once. */

import type {
  EventData,
  OutputLevel,
  OutputStream,
  ProducerKind,
  ProgressData,
  SessionUpdatedData,
  ThoughtType,
  UsageData,
  Visibility,
} from "./events.js";
import { onProcessEnd } from "./ending.js";
import { newName } from "./ids.js";
import { languageOf } from "./languages.js";
import { Masker } from "./masking.js";
import { Message, ToolCall } from "./parts.js";
import { type Counts, Recorder } from "./recorder.js";
import { findServer, type Server } from "./settings.js";

/** How a session begins; all of it may be left out. */
export interface Options {
  /** The server; else `KULTI_URL`, else http://127.0.0.1:8080. */
  server?: string | undefined;
  /** The key; else `KULTI_API_KEY`. */
  apiKey?: string | undefined;
  /** What viewers see first. */
  task?: string | undefined;
  title?: string | undefined;
  tags?: string[] | undefined;
  /** How the agent is shown. */
  name?: string | undefined;
  avatar?: string | undefined;
  /** Private unless told otherwise. */
  visibility?: Visibility | undefined;
  /** An id of your own, to let several processes, or one that starts again, write one session. */
  session?: string | undefined;
  /** A name of your own for this process. When it starts again under it, what its forerunner still sends is hidden. */
  producer?: string | undefined;
  /** Throw what goes wrong: at the next call, at `flush` and at `end`. */
  strict?: boolean | undefined;
  /** Whether secrets are masked before they are buffered (true). */
  mask?: boolean | undefined;
  /** Texts that look like secrets and are none. */
  allow?: string[] | undefined;
  /** After so long a silence the status is repeated, so that the session stays live (60,000). 0: never. */
  heartbeatMs?: number | undefined;
  /** How long `end`, and the end of the process, wait at most for the server (5,000). */
  closeTimeoutMs?: number | undefined;
  /** False leaves the session open when the process ends, for the next process. */
  endAtExit?: boolean | undefined;
  /** Beyond these the oldest output goes, and one `error` event tells (10,000; 32 Mi). */
  maxBufferedEvents?: number | undefined;
  maxBufferedCharacters?: number | undefined;
}

interface Place {
  terminal?: string | undefined;
  call?: string | undefined;
}

const THOUGHT_TYPES: readonly string[] = [
  "general", "reasoning", "decision", "observation", "prompt", "tool", "context", "evaluation",
] satisfies ThoughtType[];
const OUTPUT_LEVELS: readonly string[] = ["success", "error", "info", "warning"] satisfies OutputLevel[];

/**
 * One session of an agent.
 *
 * Every method but `flush`, `end` and `close` returns at once: events wait in a bounded buffer and are sent in the
 * background. Nothing throws because of the server, unless `strict`.
 *
 * `stream.messages()` and `stream.ask()`, for what viewers say and decide, come later: these names are theirs.
 */
export class Kulti {
  #recorder: Recorder | undefined;
  #server: Server | undefined;
  #agent = "";
  #closeTimeoutMs = 5000;
  #endsAtExit = true;
  #isWarned = false;
  #masker = Masker.off();
  #stopListening: (() => void) | undefined;
  #files = new Set<string>();
  #decoders = new Map<string, TextDecoder>();

  /** As `init`. Without an agent nothing is streamed until `init` is called. */
  constructor(agent?: string, options: Options = {}) {
    if (agent !== undefined) this.init(agent, options);
  }

  /**
   * A session from its beginning to its end: completed with what `work` gives, or failed with what it throws.
   */
  static async run<T>(agent: string, options: Options, work: (stream: Kulti) => Promise<T> | T): Promise<T> {
    const stream = new Kulti(agent, options);
    try {
      const result = await work(stream);
      await stream.end();
      return result;
    } catch (error) {
      await stream.fail(error).catch((problem: unknown) => console.warn(`kulti: ${String(problem)}`));
      throw error;
    }
  }

  /** Begins the session; one that this stream had before ends. Throws TypeError for a server that is no URL. */
  init(agent: string, options: Options = {}): void {
    const server = findServer(options.server, options.apiKey);
    void this.close().catch(() => undefined);
    this.#server = server;
    this.#agent = agent;
    this.#closeTimeoutMs = options.closeTimeoutMs ?? 5000;
    this.#endsAtExit = options.endAtExit ?? true;
    this.#files.clear();
    this.#decoders.clear();
    const heartbeatMs = options.heartbeatMs ?? 60_000;
    this.#masker = options.mask === false ? Masker.off() : new Masker(options.allow);
    this.#recorder = new Recorder(server, agent, {
      session: options.session,
      producer: options.producer,
      masker: this.#masker,
      strict: options.strict ?? false,
      heartbeatMs: heartbeatMs > 0 ? heartbeatMs : undefined,
      maxEvents: options.maxBufferedEvents ?? 10_000,
      maxCharacters: options.maxBufferedCharacters ?? 32 * 1024 * 1024,
    });
    const { task, title, visibility, tags, name: agent_name, avatar: agent_avatar } = options;
    this.emit("session.started", { task, title, visibility, tags, agent_name, agent_avatar });
    this.#stopListening = onProcessEnd(
      () => this.#atExit(),
      () => this.#recorder?.farewell(),
    );
  }

  /** The session's id; empty before `init`. */
  get session(): string {
    return this.#recorder?.session ?? "";
  }

  /** The page on which the agent is live. */
  get watchUrl(): string {
    return this.#server ? `${this.#server.url}/watch/${encodeURIComponent(this.#agent)}` : "";
  }

  /** The page of this session, live and later. */
  get sessionUrl(): string {
    return this.#server ? `${this.#server.url}/s/${encodeURIComponent(this.session)}` : "";
  }

  /** Events that wait, were sent, rejected, dropped, and attempts that were retried. */
  get counts(): Counts {
    return this.#recorder?.counts ?? { waiting: 0, sent: 0, rejected: 0, dropped: 0, retried: 0 };
  }

  /** How many secrets were masked, by rule. */
  get masked(): Record<string, number> {
    return { ...this.#masker.counts };
  }

  /** Any event (docs/events.md). Its id, to name it as a `cause`. */
  emit<K extends ProducerKind>(kind: K, data: Loose<EventData[K]>, options?: { cause?: string | undefined }): string;
  emit(kind: string, data?: Record<string, unknown>, options?: { cause?: string | undefined }): string;
  emit(kind: string, data: Record<string, unknown> = {}, options: { cause?: string | undefined } = {}): string {
    if (this.#recorder) return this.#recorder.emit(kind, data, options.cause);
    if (!this.#isWarned) console.warn("kulti: nothing is streamed before stream.init(agent) is called");
    this.#isWarned = true;
    return "";
  }

  /** A thought. A type that Kulti does not know is kept in the metadata. */
  think(content: string, type: ThoughtType | (string & {}) = "general", metadata?: Record<string, unknown>): string {
    if (THOUGHT_TYPES.includes(type)) return this.emit("thought", { content, type: type as ThoughtType, metadata });
    return this.emit("thought", { content, type: "general", metadata: { ...metadata, type } });
  }

  /** Why something is done. */
  reason(text: string): string {
    return this.think(text, "reasoning");
  }

  /** A choice that was made. */
  decide(text: string): string {
    return this.think(text, "decision");
  }

  /** Something that was noticed. */
  observe(text: string): string {
    return this.think(text, "observation");
  }

  /** What there is to choose from, and what was chosen. */
  evaluate(text: string, options?: string[], chosen?: string): string {
    return this.think(text, "evaluation", { options, chosen });
  }

  /** Something that was read to understand. */
  context(text: string, file?: string): string {
    return this.think(text, "context", { file });
  }

  /** A prompt that was written for a model. */
  prompt(text: string): string {
    return this.think(text, "prompt");
  }

  /**
   * A file that changed: its whole content, or a unified diff as `patch`. `write` is `create` for a file that this
   * stream has not shown yet, and `edit` for one that it has.
   */
  code(
    filename: string,
    content?: string,
    action: "write" | "create" | "edit" | "delete" | "rename" = "write",
    more: { language?: string; patch?: string; oldPath?: string; call?: string } = {},
  ): string {
    const written = this.#files.has(filename) || content === undefined ? "edit" : "create";
    const done = action === "write" ? written : action;
    const isGone = done === "delete";
    if (isGone) this.#files.delete(filename);
    else this.#files.add(filename);
    if (more.oldPath !== undefined) this.#files.delete(more.oldPath);
    return this.emit("code.changed", {
      path: filename,
      action: done,
      content: isGone ? undefined : content,
      patch: isGone ? undefined : more.patch,
      language: more.language ?? languageOf(filename),
      old_path: more.oldPath,
      call: more.call,
    });
  }

  /** A line of a terminal: type is command, output, success, error, info or warning. */
  terminal(content: string, type = "output", place: Place = {}): void {
    if (type === "command") {
      this.command(content, place);
      return;
    }
    const level = OUTPUT_LEVELS.includes(type) ? (type as OutputLevel) : undefined;
    this.output(content.endsWith("\n") ? content : `${content}\n`, { ...place, level });
  }

  /** A command that is run now. */
  command(command: string, more: Place & { cwd?: string | undefined } = {}): string {
    this.#endOutput(more.terminal);
    return this.emit("terminal.command", { command, cwd: more.cwd, terminal: more.terminal, call: more.call });
  }

  /**
   * What a terminal prints, in parts as they come, exactly: line ends are yours. Bytes are read as UTF-8.
   *
   * The end of a line that is not complete is held back for 100 ms at most, so that no part of a secret leaves before
   * the rest of it came.
   */
  output(
    text: string | Uint8Array,
    more: Place & { stream?: OutputStream | undefined; level?: OutputLevel | undefined } = {},
  ): void {
    if (!this.#recorder) {
      this.emit("terminal.output");
      return;
    }
    const { terminal, call, stream, level } = more;
    const told = typeof text === "string" ? text : this.#decoder(`${terminal}/${stream}`).decode(text, { stream: true });
    this.#recorder.stream(`terminal/${terminal}`, "terminal.output", { terminal, call, stream, level }, told);
  }

  /** The command ended with this code. */
  exited(code: number, place: Place = {}): string {
    this.#endOutput(place.terminal);
    return this.emit("terminal.exited", { code, terminal: place.terminal, call: place.call });
  }

  /** The terminal's size. Without one it has 80 columns and 24 rows. */
  resized(cols: number, rows: number, place: { terminal?: string } = {}): string {
    this.#endOutput(place.terminal);
    return this.emit("terminal.resized", { cols, rows, terminal: place.terminal });
  }

  /** A tool is called; `finish` or `fail` of what this gives says what came of it. */
  tool(name: string, input: unknown = {}, more: { call?: string; parent?: string } = {}): ToolCall {
    const call = more.call ?? newName("call");
    this.emit("tool.started", { call, name, input: input ?? {}, parent: more.parent });
    return new ToolCall(this, call);
  }

  /** A whole message of the conversation. Its id. */
  message(content: string, more: { role?: string; model?: string | undefined; id?: string } = {}): string {
    const message = more.id ?? newName("m");
    this.emit("message.completed", { message, role: more.role ?? "assistant", content, model: more.model });
    return message;
  }

  /** A message that comes in parts: `write` them, then `complete` it. */
  messageStream(more: { role?: string; model?: string; id?: string } = {}): Message {
    const id = more.id ?? newName("m");
    const role = more.role ?? "assistant";
    const tell = {
      write: (channel: "text" | "thinking", text: string) => {
        const data = { message: id, role, channel };
        this.#recorder?.stream(`message/${id}/${channel}`, "message.delta", data, text);
      },
      complete: (content: string) => {
        for (const channel of ["text", "thinking"]) this.#recorder?.finishStream(`message/${id}/${channel}`);
        this.message(content, { ...more, id });
      },
    };
    return new Message(tell, id);
  }

  /** What the agent is doing, in a word: working, waiting, … */
  status(status: string, detail?: string): string {
    return this.emit("status.changed", { status, detail });
  }

  /** The status `live`. */
  live(): string {
    return this.status("live");
  }

  /** Another task than at the start. */
  task(task: string, description?: string): string {
    return this.update({ task: description ? `${task}: ${description}` : task });
  }

  /** What the session says about itself. */
  update(changes: Loose<SessionUpdatedData>): string {
    return this.emit("session.updated", changes);
  }

  /** How far the work is. */
  progress(progress: Loose<ProgressData>): string {
    return this.emit("progress", progress);
  }

  /** Tokens and money: of one call, unless `scope` and `cumulative` say otherwise. */
  usage(model: string, tokens: Loose<Omit<UsageData, "model">> = {}): string {
    return this.emit("usage", { ...tokens, model });
  }

  /** A name for this moment: a chapter of the recording. */
  marker(label: string, level?: unknown): string {
    return this.emit("marker", { label, level });
  }

  /** Something went wrong. An Error brings its stack along. */
  error(error: unknown, more: { code?: string; fatal?: boolean } = {}): string {
    const told = error instanceof Error ? { message: `${error.name}: ${error.message}`, stack: error.stack } : undefined;
    return this.emit("error", { ...(told ?? { message: String(error) }), code: more.code, fatal: more.fatal });
  }

  /** Something to remember beyond this session; the same key replaces it. */
  memory(content: string, more: { key?: string; tags?: string[] } = {}): string {
    return this.emit("memory", { content, key: more.key, tags: more.tags });
  }

  /** What is being built can be seen here. */
  preview(url: string, port?: number): string {
    return this.emit("preview.opened", { url, port });
  }

  /** It can no longer be seen there. */
  previewClosed(url: string): string {
    return this.emit("preview.closed", { url });
  }

  /** Waits until the server has everything said so far, so long at most. Whether it has. */
  async flush(timeoutMs = 5000): Promise<boolean> {
    return this.#recorder?.flush(timeoutMs) ?? true;
  }

  /**
   * Ends the session (completed, failed, cancelled, timeout, …) and closes the stream, waiting so long at most for the
   * server. Whether all arrived.
   */
  async end(reason = "completed", result?: unknown, timeoutMs = this.#closeTimeoutMs): Promise<boolean> {
    const recorder = this.#recorder;
    if (recorder && !recorder.isEnded) {
      recorder.finishStreams();
      this.emit("session.ended", { reason, result });
      recorder.isEnded = true;
    }
    return this.#stop(timeoutMs);
  }

  /** As `end`, if the session has not ended yet. */
  async close(): Promise<boolean> {
    return this.end();
  }

  /** Ends the session as failed, with an `error` event. */
  async fail(error: unknown): Promise<boolean> {
    this.#recorder?.finishStreams();
    this.error(error, { fatal: true });
    return this.end("failed", error instanceof Error ? `${error.name}: ${error.message}` : String(error));
  }

  /** For `await using stream = new Kulti(…)`, which does not tell how the block was left: `Kulti.run` does. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
  }

  async #stop(timeoutMs = this.#closeTimeoutMs): Promise<boolean> {
    const recorder = this.#recorder;
    this.#recorder = undefined;
    this.#stopListening?.();
    return recorder?.close(timeoutMs) ?? true;
  }

  #atExit(): void {
    const ending = this.#endsAtExit ? this.end() : this.#stop();
    ending.catch((error: unknown) => console.warn(`kulti: ${String(error)}`));
  }

  #endOutput(terminal: string | undefined): void {
    this.#recorder?.finishStream(`terminal/${terminal}`);
  }

  #decoder(key: string): TextDecoder {
    const known = this.#decoders.get(key) ?? new TextDecoder();
    this.#decoders.set(key, known);
    return known;
  }
}

/** What may be left out may also be undefined. */
type Loose<T> = { [K in keyof T]: undefined extends T[K] ? T[K] | undefined : T[K] };
