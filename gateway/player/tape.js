/** A recorded session: its events, when each is shown, and states from which any moment is near. */

const IDLE_CAP_MS = 2000;
const STATE_EVERY = 256;
const CONTENT_CHARACTERS = 64 << 20;

export class Tape {
  /** `lines` are events as JSON; `start` is the state before the first of them, if that is not the session's first. */
  constructor(Fold, lines, start) {
    this.Fold = Fold;
    this.lines = lines;
    this.due = [];
    this.changes = new Set();
    this.contents = new Map();
    this.kept = 0;
    this.states = [{ count: 0, keyframe: start }];
    this.#measure();
  }

  /** The session's clock is that of the agent's events, and never goes back. */
  #measure() {
    let clock;
    let played = 0;
    for (const [index, line] of this.lines.entries()) {
      const event = JSON.parse(line);
      const told = Math.min(Date.parse(event.time), Date.parse(event.received));
      const now = event.source === "agent" ? Math.max(clock ?? told, told) : (clock ?? Date.parse(event.received));
      played += Math.min(now - (clock ?? now), IDLE_CAP_MS);
      clock = now;
      this.due.push(played);
      if (event.kind === "code.changed") this.changes.add(index);
    }
  }

  get count() {
    return this.lines.length;
  }

  get length() {
    return this.due.at(-1) ?? 0;
  }

  /** How many events are shown by then. */
  countBy(ms) {
    let [low, high] = [0, this.count];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.due[middle] <= ms) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Folds all of it once, a little at a time, and keeps states and the texts of files on the way. */
  async index() {
    const fold = new this.Fold(this.states[0].keyframe);
    let size = 0;
    let since = 0;
    let rested = performance.now();
    for (let count = 0; count < this.count; ) {
      const end = this.#nextStop(count);
      const part = this.lines.slice(count, end);
      fold.apply(part, (hash) => this.contents.get(hash));
      since += part.reduce((sum, line) => sum + line.length, 0);
      if (this.changes.has(end - 1)) this.#keepContent(fold);
      count = end;
      if (count - this.states.at(-1).count >= STATE_EVERY && since >= 4 * size) {
        const keyframe = fold.keyframe();
        this.states.push({ count, keyframe });
        [size, since] = [keyframe.length, 0];
      }
      if (performance.now() - rested > 12) {
        await new Promise((resolve) => setTimeout(resolve));
        rested = performance.now();
      }
    }
    fold.drop();
  }

  /** After a change of a file its text is looked at. */
  #nextStop(count) {
    const most = Math.min(count + 64, this.count);
    for (let index = count; index < most; index += 1) {
      if (this.changes.has(index)) return index + 1;
    }
    return most;
  }

  #keepContent(fold) {
    const hash = fold.files().at(-1)?.sha256;
    if (!hash || this.contents.has(hash) || this.kept > CONTENT_CHARACTERS) return;
    const content = fold.content(hash);
    if (content !== undefined) {
      this.contents.set(hash, content);
      this.kept += content.length;
    }
  }

  /** The state after `count` events, from `current` if that is before it and nearer. */
  seek(count, current) {
    const state = this.states.findLast((state) => state.count <= count);
    let at = current;
    if (!at || at.count > count || at.count < state.count) {
      at?.fold.drop();
      at = { fold: new this.Fold(state.keyframe), count: state.count };
    }
    at.fold.apply(this.lines.slice(at.count, count), (hash) => this.contents.get(hash));
    at.count = count;
    return at;
  }
}
