/** What begins, goes on and ends: calls of tools, and messages that come in parts. */

import type { MessageChannel } from "./events.js";

/** What a call or a message needs of its stream. */
export interface Teller {
  emit(kind: string, data?: Record<string, unknown>): string;
}

/** A call of a tool. */
export class ToolCall {
  readonly #begun = Date.now();
  #isFinished = false;

  constructor(
    private readonly stream: Teller,
    readonly id: string,
  ) {}

  /** What came of it. Only the first call counts. */
  finish(output: unknown = "", status: "ok" | "error" = "ok"): void {
    if (this.#isFinished) return;
    this.#isFinished = true;
    const duration_ms = Date.now() - this.#begun;
    this.stream.emit("tool.finished", { call: this.id, status, output: output ?? "", duration_ms });
  }

  /** It failed. */
  fail(error: unknown): void {
    this.finish(error instanceof Error ? `${error.name}: ${error.message}` : error, "error");
  }
}

/** A message that comes in parts. */
export class Message {
  #text = "";
  #isCompleted = false;

  constructor(
    private readonly tell: {
      write(channel: MessageChannel, text: string): void;
      complete(content: string): void;
    },
    readonly id: string,
  ) {}

  /** The next part. */
  write(text: string, channel: MessageChannel = "text"): void {
    if (channel === "text") this.#text += text;
    this.tell.write(channel, text);
  }

  /** The whole message: what was written, unless told. Only the first call counts. */
  complete(content: string = this.#text): void {
    if (this.#isCompleted) return;
    this.#isCompleted = true;
    this.tell.complete(content);
  }
}
