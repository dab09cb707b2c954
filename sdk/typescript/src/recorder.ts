/** From calls to events in the buffer: ids, numbers, masking, bounds. Never waits for the network. */

import { Buffer, type Loss } from "./buffer.js";
import { clean, wellFormed } from "./clean.js";
import { BufferFull, type KultiError, Refused, Unreachable } from "./errors.js";
import { IdMaker, newName } from "./ids.js";
import { HOLD_MS, type Masker, StreamMasker } from "./masking.js";
import { Sender } from "./sender.js";
import { MAX_EVENT_BYTES, OUTPUT_PART_CHARACTERS, type Server } from "./settings.js";
import { letGo } from "./timers.js";

/** How one session is recorded; `Options` says what each means. */
export interface Recording {
  session: string | undefined;
  producer: string | undefined;
  masker: Masker;
  strict: boolean;
  heartbeatMs: number | undefined;
  maxEvents: number;
  maxCharacters: number;
}

/** What became of the events. */
export interface Counts {
  waiting: number;
  sent: number;
  rejected: number;
  dropped: number;
  retried: number;
}

/** Text of a stream whose end is held back, so that a secret that comes in parts is seen whole. */
interface Held {
  stream: StreamMasker;
  kind: string;
  data: Record<string, unknown>;
  parts: number;
  timer: ReturnType<typeof setTimeout> | undefined;
}

/** One session as one producer tells it. */
export class Recorder {
  readonly session: string;
  readonly #ids = new IdMaker();
  // Without a name of its own, a process is a producer that nobody else is. With one, a process that starts again
  // supersedes its forerunner by a higher generation.
  readonly #producer: string;
  readonly #generation = Date.now();
  readonly #buffer: Buffer;
  readonly #sender: Sender;
  readonly #held = new Map<string, Held>();
  #seq = 0;
  #status: unknown = { status: "working" };
  #heartbeat: ReturnType<typeof setTimeout> | undefined;
  #saidAt = 0;
  #problem: KultiError | undefined;
  #isClosed = false;
  isEnded = false;

  constructor(
    private readonly server: Server,
    private readonly agent: string,
    private readonly how: Recording,
  ) {
    this.session = how.session ?? this.#ids.next();
    this.#producer = how.producer ?? newName("js");
    this.#buffer = new Buffer(how.maxEvents, how.maxCharacters, (loss) => this.#describeLoss(loss));
    this.#sender = new Sender(server, this.#buffer, (problem) => this.#note(problem));
    if (how.heartbeatMs !== undefined) this.#listen(how.heartbeatMs);
  }

  /** Puts an event into the buffer. Its id. */
  emit(kind: string, data: Record<string, unknown>, cause?: string): string {
    this.#throwProblem();
    const cleaned = clean(data, this.how.masker) as Record<string, unknown>;
    if (kind === "status.changed") this.#status = cleaned;
    return this.#append(kind, cleaned, cause);
  }

  /** Text that comes in parts: each key is one stream, and `data` what its events hold beside the text. */
  stream(key: string, kind: string, data: Record<string, unknown>, text: string): void {
    this.#throwProblem();
    let held = this.#held.get(key);
    if (!held) {
      held = { stream: new StreamMasker(this.how.masker), kind, data, parts: 0, timer: undefined };
      this.#held.set(key, held);
    } else if (JSON.stringify(held.data) !== JSON.stringify(data)) {
      this.#release(held);
      held.data = data;
    }
    this.#appendText(held, held.stream.push(wellFormed(text)));
    if (!held.stream.isHolding) {
      clearTimeout(held.timer);
      held.timer = undefined;
    } else {
      const waiting = held;
      held.timer ??= setTimeout(() => {
        waiting.timer = undefined;
        this.#appendText(waiting, waiting.stream.tick());
      }, HOLD_MS);
    }
  }

  /** The end of a stream: nothing of it is held back any more. */
  finishStream(key: string): void {
    const held = this.#held.get(key);
    if (!held) return;
    this.#held.delete(key);
    this.#release(held);
  }

  /** The same for all of them. */
  finishStreams(): void {
    for (const key of [...this.#held.keys()]) this.finishStream(key);
  }

  /** Waits until the server has everything. False if it took longer; rejects where the stream is strict. */
  async flush(timeoutMs: number): Promise<boolean> {
    for (const held of this.#held.values()) this.#release(held);
    const delivered = await this.#sender.flush(timeoutMs);
    if (this.how.strict) {
      this.#throwProblem();
      if (!delivered) throw this.#undelivered(this.#sender.waiting);
    }
    return delivered;
  }

  /** Flushes, then stops. False if events may not have arrived. */
  async close(timeoutMs: number): Promise<boolean> {
    if (this.#isClosed) return true;
    this.finishStreams();
    this.#isClosed = true;
    clearTimeout(this.#heartbeat);
    const delivered = await this.#sender.flush(timeoutMs);
    const left = this.#sender.giveUp();
    if (left > 0) console.warn(`kulti: ${this.#undelivered(left).message}`);
    if (this.how.strict) {
      this.#throwProblem();
      if (!delivered) throw this.#undelivered(left);
    }
    return delivered;
  }

  /** A page goes away. */
  farewell(): void {
    this.finishStreams();
    this.#sender.farewell();
  }

  get counts(): Counts {
    const { waiting, sent, rejected, retried } = this.#sender;
    return { waiting, sent, rejected, dropped: this.#buffer.dropped, retried };
  }

  #append(kind: string, data: Record<string, unknown>, cause?: string): string {
    if (this.#isClosed) {
      console.warn(`kulti: ${kind} came after the stream was closed, and is not sent`);
      return "";
    }
    const id = this.#ids.next();
    const seq = this.#seq++;
    let line = this.#line(id, seq, kind, data, cause);
    if (isTooLong(line)) {
      const message = `${kind} of ${line.length} characters was left out: an event has at most ${MAX_EVENT_BYTES} bytes`;
      this.#note(new Refused(message, "event_too_large"));
      console.warn(`kulti: ${message}`);
      kind = "error";
      line = this.#line(id, seq, kind, { message, code: "event_too_large" }, cause);
    }
    if (!this.#buffer.append({ id, seq, kind, line })) {
      this.#note(new BufferFull("the buffer is full: the oldest events were let go of"));
    }
    this.#saidAt = Date.now();
    this.#sender.wake();
    return id;
  }

  #appendText(held: Held, text: string): void {
    for (let begin = 0; begin < text.length; ) {
      const end = endOfPart(text, begin + OUTPUT_PART_CHARACTERS);
      const data: Record<string, unknown> = { ...held.data, text: text.slice(begin, end) };
      if (held.kind === "message.delta") data["index"] = held.parts;
      held.parts += 1;
      this.#append(held.kind, data);
      begin = end;
    }
  }

  #release(held: Held): void {
    clearTimeout(held.timer);
    held.timer = undefined;
    this.#appendText(held, held.stream.flush());
  }

  #line(id: string, seq: number, kind: string, data: unknown, cause?: string): string {
    const { session, agent } = this;
    const time = new Date().toISOString();
    const told = { id, session, agent, time, kind, data, producer: this.#producer, generation: this.#generation, seq };
    return `${JSON.stringify(cause ? { ...told, cause } : told)}\n`;
  }

  #describeLoss(loss: Loss): string {
    return this.#line(loss.id, loss.firstSeq, "error", {
      message: `${loss.events} events were said faster than they could be sent, and are lost`,
      code: "buffer_full",
      events: loss.events,
      bytes: loss.characters,
      first_seq: loss.firstSeq,
      last_seq: loss.lastSeq,
    });
  }

  /** Says the status again where nothing was said for so long: a session is quiet after two minutes. */
  #listen(everyMs: number): void {
    const dueMs = Math.max(0, this.#saidAt + everyMs - Date.now()) || everyMs;
    this.#heartbeat = setTimeout(() => {
      if (this.#isClosed || this.isEnded) return;
      if (Date.now() - this.#saidAt >= everyMs) this.#append("status.changed", this.#status as Record<string, unknown>);
      this.#listen(everyMs);
    }, dueMs);
    letGo(this.#heartbeat);
  }

  #note(problem: KultiError): void {
    if (this.how.strict) this.#problem = problem;
  }

  #throwProblem(): void {
    const problem = this.#problem;
    this.#problem = undefined;
    if (problem) throw problem;
  }

  #undelivered(count: number): Unreachable {
    const reason = this.#sender.lastProblem?.message ?? "no time left";
    return new Unreachable(`${count} events were not delivered to ${this.server.url}: ${reason}`);
  }
}

/** In UTF-8 a unit of a text has one to three bytes. */
function isTooLong(line: string): boolean {
  if (line.length * 3 <= MAX_EVENT_BYTES) return false;
  return line.length > MAX_EVENT_BYTES || new TextEncoder().encode(line).length > MAX_EVENT_BYTES;
}

/** Not between the halves of a surrogate pair. */
function endOfPart(text: string, end: number): number {
  const unit = text.charCodeAt(end - 1);
  return end < text.length && unit >= 0xd800 && unit <= 0xdbff ? end - 1 : Math.min(end, text.length);
}
