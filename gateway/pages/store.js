// The events of one session that this page holds, in order of position, with the session's clock. Bounded in bytes:
// what the playhead has passed can leave at the front.

export class Store {
  constructor() {
    this.clear();
  }

  clear() {
    this.events = [];
    this.clocks = [];
    this.sizes = [];
    this.gaps = []; // {from, to, reason}: positions that the server says it cannot give
    this.bytes = 0;
    this.lastPosition = 0;
    this.startPosition = 0; // the position before the first event held
    this.startClock = null; // the session's first moment
    this.frontClock = null; // the session's clock before the first event held
  }

  get length() {
    return this.events.length;
  }

  /**
   * Takes an event if it is the next. Answers "added", "known" for one that is here already, and "hole" if something
   * is missing before it.
   */
  append(event, bytes) {
    if (event.position <= this.lastPosition) return "known";
    if (event.position !== this.lastPosition + 1) return "hole";
    this.events.push(event);
    this.clocks.push(this.clockOf(event));
    this.sizes.push(bytes);
    this.bytes += bytes;
    this.lastPosition = event.position;
    return "added";
  }

  /** Remembers a hole that the server announced, and goes on after it. */
  skip(from, to, reason) {
    if (!(to > this.lastPosition)) return;
    this.gaps.push({ from, to, reason });
    if (this.gaps.length > 100) this.gaps.shift();
    if (this.events.length === 0) this.startPosition = to;
    this.lastPosition = to;
  }

  /** c(n) = max(c(n-1), min(time, received)) over the agent's own events; others do not move it. */
  clockOf(event) {
    const before = this.clocks.length > 0 ? this.clocks.at(-1) : this.startClock;
    const times = [Date.parse(event.time), Date.parse(event.received)].filter((time) => !Number.isNaN(time));
    const now = times.length > 0 ? Math.min(...times) : before ?? 0;
    if (before === null) {
      this.startClock = now;
      return now;
    }
    return event.source && event.source !== "agent" ? before : Math.max(before, now);
  }

  /** How many of the events held have a position up to this one. */
  countThrough(position) {
    return firstAbove(this.events, position, (event) => event.position);
  }

  /** How many of the events held lie at or before this moment of the session's clock. */
  countAt(clock) {
    return firstAbove(this.clocks, clock, (value) => value);
  }

  /** Milliseconds from the session's start to the event at this index, or to the last one; -1 is before the first held. */
  elapsed(index) {
    if (this.startClock === null) return 0;
    const clock = index < 0 ? this.frontClock : this.clocks[Math.min(index, this.clocks.length - 1)];
    return (clock ?? this.startClock) - this.startClock;
  }

  /** Drops the first `count` events. */
  evict(count) {
    if (count <= 0) return;
    this.startPosition = this.events[count - 1].position;
    this.frontClock = this.clocks[count - 1];
    for (let index = 0; index < count; index++) this.bytes -= this.sizes[index];
    this.events = this.events.slice(count);
    this.clocks = this.clocks.slice(count);
    this.sizes = this.sizes.slice(count);
  }
}

function firstAbove(list, limit, value) {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (value(list[middle]) <= limit) low = middle + 1;
    else high = middle;
  }
  return low;
}
