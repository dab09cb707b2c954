/** What waits to be sent: bounded in events and characters, in order, and open about what it had to let go of. */

/** What goes first when there is no room: there is most of it, and it says least by itself. */
const OUTPUT = new Set(["terminal.output", "message.delta"]);
/** What never goes: without them the session has no beginning or no end. */
const FRAME = new Set(["session.started", "session.ended"]);

/** One event as it goes over the wire. */
export interface Item {
  id: string;
  seq: number;
  kind: string;
  line: string;
}

/** What one `error` event with the code `buffer_full` stands for. */
export interface Loss {
  id: string;
  firstSeq: number;
  lastSeq: number;
  events: number;
  characters: number;
}

/** A queue of events. */
export class Buffer {
  readonly #items = new Map<number, Item>();
  readonly #output = new Set<number>();
  #characters = 0;
  #loss: Loss | undefined;
  dropped = 0;

  /** `describe` makes the line of the event that stands in the place of what was let go of. */
  constructor(
    private readonly maxEvents: number,
    private readonly maxCharacters: number,
    private readonly describe: (loss: Loss) => string,
  ) {}

  get length(): number {
    return this.#items.size;
  }

  get characters(): number {
    return this.#characters;
  }

  /** Takes an event. False if older ones had to go for it. */
  append(item: Item): boolean {
    this.#items.set(item.seq, item);
    this.#characters += item.line.length;
    if (OUTPUT.has(item.kind)) this.#output.add(item.seq);
    let fits = true;
    while (this.#isOver() && this.#dropOldest()) fits = false;
    return fits;
  }

  /** Removes the oldest events: at least one, if there is any. */
  take(maxEvents: number, maxCharacters: number): Item[] {
    const taken: Item[] = [];
    let size = 0;
    for (const item of this.#items.values()) {
      if (taken.length >= maxEvents || (taken.length > 0 && size + item.line.length > maxCharacters)) break;
      size += item.line.length;
      taken.push(item);
    }
    for (const item of taken) this.#remove(item);
    // A notice that is on its way is complete: what is let go of from here on is told by another one.
    if (this.#loss && !this.#items.has(this.#loss.firstSeq)) this.#loss = undefined;
    return taken;
  }

  clear(): void {
    this.#items.clear();
    this.#output.clear();
    this.#characters = 0;
    this.#loss = undefined;
  }

  #isOver(): boolean {
    return this.#items.size > this.maxEvents || this.#characters > this.maxCharacters;
  }

  #remove(item: Item): void {
    this.#items.delete(item.seq);
    this.#output.delete(item.seq);
    this.#characters -= item.line.length;
  }

  #dropOldest(): boolean {
    const item = this.#oldestToDrop();
    if (!item) return false;
    this.dropped += 1;
    // The notice takes the first one's place, id and number: the order of ids and numbers stays.
    this.#loss ??= { id: item.id, firstSeq: item.seq, lastSeq: item.seq, events: 0, characters: 0 };
    const loss = this.#loss;
    loss.lastSeq = Math.max(loss.lastSeq, item.seq);
    loss.events += 1;
    loss.characters += item.line.length;
    if (item.seq !== loss.firstSeq) this.#remove(item);
    const before = this.#items.get(loss.firstSeq)!;
    const line = this.describe(loss);
    this.#items.set(loss.firstSeq, { id: loss.id, seq: loss.firstSeq, kind: "error", line });
    this.#output.delete(loss.firstSeq);
    this.#characters += line.length - before.line.length;
    return true;
  }

  #oldestToDrop(): Item | undefined {
    for (const seq of this.#output) return this.#items.get(seq);
    for (const item of this.#items.values()) {
      if (!FRAME.has(item.kind) && item.seq !== this.#loss?.firstSeq) return item;
    }
    return undefined;
  }
}
