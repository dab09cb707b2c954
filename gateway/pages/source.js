// Fills a store from the watch socket: from the start as fast as it goes, then live. Resumes where it stopped, checks
// that positions are contiguous, and stops reading while the store is full.

import { WatchSocket } from "./socket.js";

const STORE_BYTES = 48 * 1024 * 1024;

export class Source {
  /** `onChange()` after the store changed, `onNotice({connection, detail})`, `onViewers(count)`, `onError(frame)` */
  constructor(session, store, handlers) {
    this.session = session;
    this.store = store;
    this.handlers = handlers;
    this.caughtUp = false;
    this.ended = false;
    this.full = false;
    this.holeAt = 0;
    this.socket = new WatchSocket({
      onOpen: (send) => this.subscribe(send),
      onFrame: (frame, bytes) => this.takeFrame(frame, bytes),
      onState: (state, detail) => handlers.onNotice({ connection: state, detail }),
    });
  }

  start() {
    this.socket.open();
  }

  subscribe(send) {
    this.caughtUp = false;
    const { lastPosition, events } = this.store;
    const last = events.at(-1);
    let from = "start";
    if (lastPosition > 0) {
      from = { position: lastPosition };
      if (last?.position === lastPosition) from.id = last.id;
    }
    send({ op: "subscribe", sub: "page", session: this.session, from, speed: "max" });
  }

  takeFrame(frame, bytes) {
    if (frame.session !== undefined && frame.session !== this.session) return;
    if (frame.type === "events" && Array.isArray(frame.events)) {
      this.socket.settle();
      this.takeEvents(frame.events, bytes);
    } else if (frame.type === "caught_up") {
      this.caughtUp = true;
      this.socket.settle();
      this.handlers.onChange();
    } else if (frame.type === "gap") {
      this.store.skip(Number(frame.from), Number(frame.to), frame.reason);
      this.handlers.onChange();
    } else if (frame.type === "viewers") {
      this.handlers.onViewers(Number(frame.count) || 0);
    } else if (frame.type === "ended") {
      this.ended = true;
      this.caughtUp = true;
      this.handlers.onChange();
    } else if (frame.type === "error") {
      this.takeError(frame);
    }
  }

  takeEvents(events, bytes) {
    const each = bytes / Math.max(1, events.length);
    for (const event of events) {
      if (!event || typeof event !== "object" || !Number.isInteger(event.position)) continue;
      const outcome = this.store.append(event, each);
      if (outcome === "added") {
        if (event.kind === "session.ended") this.ended = true;
        else if (event.source === undefined || event.source === "agent") this.ended = false;
      } else if (outcome === "hole") {
        this.mendHole(event);
        return;
      }
    }
    this.handlers.onChange();
    if (this.store.bytes > STORE_BYTES) this.handlers.onFull();
    if (this.store.bytes > STORE_BYTES) this.pauseReading();
  }

  /** Asks again once from the last position; a hole that is still there is shown as one. */
  mendHole(event) {
    if (this.holeAt !== event.position) {
      this.holeAt = event.position;
      this.socket.restart();
    } else {
      this.store.skip(this.store.lastPosition + 1, event.position - 1, "missing");
      this.store.append(event, 1_000);
      this.socket.restart();
    }
  }

  takeError(frame) {
    // What passes by itself is told by the notices of the connection.
    if (frame.retryable) {
      this.socket.restart();
      return;
    }
    this.socket.close();
    this.handlers.onError(frame);
  }

  /** The store is full of events that the playhead has not reached: wait until it has. */
  pauseReading() {
    this.full = true;
    this.socket.close();
  }

  /** To be called when events left the store. */
  madeRoom() {
    if (!this.full || this.store.bytes > STORE_BYTES * 0.7) return;
    this.full = false;
    this.socket.open();
  }

  /** Starts over from the first event. */
  reload() {
    this.store.clear();
    this.caughtUp = false;
    this.full = false;
    this.holeAt = 0;
    this.socket.drop();
    this.socket.open();
  }

  stop() {
    this.socket.destroy();
  }
}
