// The playhead: which events of the store are folded into what is shown, and when the next ones are.
// Works in small slices, one for each animation frame, so that a session of any length leaves the page responsive.

import { Fold } from "./fold.js";

const SLICE_MS = 10;
const CHECKPOINT_EVENTS = 1_500;
const MOST_CHECKPOINTS = 24;
const IDLE_CAP_MS = 2_000;

export class Player {
  /** `onShow()` when what is to be shown changed; `onRoom()` when events left the store. */
  constructor(store, { onShow, onRoom }) {
    this.store = store;
    this.handlers = { onShow, onRoom };
    this.speed = 1;
    this.skipPauses = true;
    this.mode = "live"; // live: glued to the end; playing; paused
    this.complete = false; // all there is at the moment is in the store
    this.over = false; // the session has ended
    this.until = null; // a clip's last position: playing stops there once
    this.reset();
  }

  reset() {
    this.complete = false;
    this.fold = new Fold();
    this.cursor = 0; // how many of the store's events are folded
    this.clock = null; // the playhead on the session's clock
    this.target = null; // a position that is being sought
    this.wish = null; // a place that is not loaded yet
    this.base = null; // the oldest fold that can be gone back to once events were evicted
    this.checkpoints = [];
    this.wake();
  }

  get position() {
    return this.fold.position;
  }

  get atEnd() {
    return this.cursor >= this.store.length;
  }

  get busy() {
    return this.target !== null || this.wish !== null || (this.mode === "live" && this.store.length - this.cursor > 500);
  }

  /** Milliseconds since the session's start. */
  get elapsed() {
    if (this.store.startClock === null) return 0;
    if (this.mode === "playing" && this.clock !== null) return this.clock - this.store.startClock;
    return this.store.elapsed(this.cursor - 1);
  }

  /** The session's clock at what is folded. */
  get clockHere() {
    return this.cursor > 0 ? this.store.clocks[this.cursor - 1] : this.store.frontClock ?? this.store.startClock;
  }

  /** Nothing follows: the session is over and all of it is shown. */
  get finished() {
    return this.atEnd && this.complete && this.over;
  }

  play() {
    if (this.finished) return this.restart();
    this.mode = "playing";
    this.clock = this.clockHere;
    return this.wake();
  }

  pause() {
    this.mode = "paused";
    this.wish = null;
    this.wake();
  }

  toggle() {
    if (this.mode === "playing" || (this.mode === "live" && !this.finished)) this.pause();
    else this.play();
  }

  restart() {
    this.mode = "playing";
    this.seek(this.store.startPosition);
    this.clock = this.store.startClock;
  }

  goLive() {
    this.mode = "live";
    this.target = null;
    this.wish = null;
    this.wake();
  }

  /** Shows the session as it was after the event at this position. */
  seek(position) {
    if (this.mode === "live") this.mode = this.over ? "paused" : "playing";
    this.wish = null;
    if (position > this.store.lastPosition && !this.complete) {
      this.wish = { position };
    }
    this.target = Math.max(this.store.startPosition, Math.min(position, this.store.lastPosition));
    this.wake();
  }

  /** Seeks to a time since the session's start. */
  seekTime(milliseconds) {
    const count = this.store.countAt((this.store.startClock ?? 0) + Math.max(0, milliseconds));
    const loadedTo = this.store.elapsed(this.store.length - 1);
    this.seek(count > 0 ? this.store.events[count - 1].position : this.store.startPosition);
    if (milliseconds > loadedTo && !this.complete) this.wish = { time: milliseconds };
  }

  seekEvent(id) {
    const event = this.store.events.find((candidate) => candidate.id === id);
    if (event) this.seek(event.position);
    else if (!this.complete) this.wish = { event: id };
    return Boolean(event);
  }

  /** New events came in. */
  storeChanged() {
    const { wish } = this;
    if (wish?.position !== undefined && (this.store.lastPosition >= wish.position || this.complete)) this.seek(wish.position);
    else if (wish?.time !== undefined && (this.store.elapsed(this.store.length - 1) >= wish.time || this.complete)) this.seekTime(wish.time);
    else if (wish?.event !== undefined && !this.seekEvent(wish.event) && this.complete) this.wish = null;
    // On the way to a place that is not loaded yet, what is loaded is folded, so that it can leave the store.
    if (this.wish) this.target = this.store.lastPosition;
    this.wake();
  }

  /** Lets events that the playhead has passed leave the store, keeping the fold up to there. */
  makeRoom() {
    if (this.cursor < 1) return;
    const reach = this.store.events[Math.floor((this.cursor - 1) * 0.75)].position;
    const older = this.checkpoints.filter(({ position }) => position <= reach && position > this.store.startPosition);
    const base = older.at(-1) ?? { position: this.fold.position, fold: this.fold.snapshot() };
    const evicted = this.store.countThrough(base.position);
    this.store.evict(evicted);
    this.cursor -= evicted;
    this.base = base;
    this.checkpoints = this.checkpoints.filter((checkpoint) => checkpoint.position >= base.position);
    this.handlers.onRoom();
  }

  /** Asks for the next slice. A hidden tab gets no animation frames, but its store must not fill up. */
  wake() {
    if (this.waiting?.hidden === document.hidden) return;
    const ticket = { hidden: document.hidden };
    this.waiting = ticket;
    const run = () => {
      if (this.waiting !== ticket) return;
      this.waiting = null;
      this.slice(performance.now());
    };
    if (ticket.hidden) setTimeout(run, 500);
    else requestAnimationFrame(run);
  }

  stop() {
    this.waiting = { hidden: document.hidden, stopped: true };
    this.wake = () => {};
  }

  slice(now) {
    const passed = Math.min(1_000, now - (this.sliceAt ?? now));
    this.sliceAt = now;
    const until = now + SLICE_MS;
    let again = false;
    if (this.target !== null) again = this.sliceSeek(until);
    else if (this.mode === "live") again = this.foldTo(this.store.length, until);
    else if (this.mode === "playing") again = this.slicePlay(passed, until);
    if (!again) this.sliceAt = undefined;
    this.handlers.onShow();
    if (again) this.wake();
  }

  sliceSeek(until) {
    this.jumpTowards(this.target);
    const unfinished = this.foldTo(this.store.countThrough(this.target), until);
    if (!unfinished) {
      this.target = null;
      if (this.mode === "playing") this.clock = this.clockHere;
    }
    return unfinished || this.mode === "playing";
  }

  slicePlay(passed, until) {
    // Comparing with null would make it 0.
    const length = this.until === null ? this.store.length : this.store.countThrough(this.until);
    if (this.speed === "max") {
      if (this.foldTo(length, until)) return true;
      return this.isAtClipsEnd ? this.stopAtClipsEnd() : this.reachEnd();
    }
    this.clock = (this.clock ?? this.store.startClock ?? 0) + passed * this.speed;
    const next = this.store.clocks[this.cursor];
    const cap = IDLE_CAP_MS * Math.max(1, this.speed);
    if (this.skipPauses && next !== undefined && next - this.clock > cap) this.clock = next - cap;
    this.foldTo(Math.min(this.store.countAt(this.clock), length), until);
    if (this.isAtClipsEnd) return this.stopAtClipsEnd();
    return this.atEnd ? this.reachEnd() : true;
  }

  get isAtClipsEnd() {
    return this.until !== null && this.fold.position >= this.until;
  }

  stopAtClipsEnd() {
    this.until = null;
    this.mode = "paused";
    return false;
  }

  /** At the end of what there is: live goes on live, a finished session stops, a loading one waits. */
  reachEnd() {
    if (this.complete) this.mode = this.over ? "paused" : "live";
    else this.clock = this.store.length > 0 ? this.store.clocks.at(-1) : null;
    return false;
  }

  /** Folds until `count` events of the store are in; true if the slice ended before. */
  foldTo(count, until) {
    while (this.cursor < count) {
      this.fold.apply(this.store.events[this.cursor++]);
      if (this.cursor % CHECKPOINT_EVENTS === 0) this.keepCheckpoint();
      if (this.cursor % 16 === 0 && performance.now() > until) return this.cursor < count;
    }
    return false;
  }

  keepCheckpoint() {
    const { position } = this.fold;
    if (this.checkpoints.some((checkpoint) => checkpoint.position >= position)) return;
    this.checkpoints.push({ position, fold: this.fold.snapshot() });
    if (this.checkpoints.length > MOST_CHECKPOINTS) {
      this.checkpoints = this.checkpoints.filter((checkpoint, index) => index % 2 === 1 || checkpoint === this.base);
    }
  }

  /** Takes up the checkpoint before this position, unless folding on from here is nearer. */
  jumpTowards(position) {
    const from = this.checkpoints.filter((checkpoint) => checkpoint.position <= position).at(-1) ?? this.base;
    const here = this.fold.position;
    if (here <= position && here >= (from?.position ?? 0)) return;
    this.fold = from ? from.fold.snapshot() : new Fold();
    this.cursor = this.store.countThrough(this.fold.position);
  }
}
