/** Event ids: UUIDs of version 7 (RFC 9562) that grow within one process, also within one millisecond. */

/** Makes ids, each greater than the one before: the server knows such an event as new without a look-up. */
export class IdMaker {
  #lastMs = 0;
  #counter = 0;

  /** The next id. A clock that goes back does not make it smaller. */
  next(): string {
    const nowMs = Date.now();
    const random = crypto.getRandomValues(new Uint8Array(16));
    if (nowMs > this.#lastMs) {
      this.#lastMs = nowMs;
      this.#counter = ((random[14]! << 8) | random[15]!) & 0x7ff;
    } else if (this.#counter < 0xfff) {
      this.#counter += 1;
    } else {
      this.#lastMs += 1;
      this.#counter = 0;
    }
    const time = this.#lastMs.toString(16).padStart(12, "0");
    const counter = this.#counter.toString(16).padStart(3, "0");
    const variant = (8 | (random[0]! & 3)).toString(16);
    const rest = hex(random.subarray(1, 9));
    return `${time.slice(0, 8)}-${time.slice(8)}-7${counter}-${variant}${rest.slice(0, 3)}-${rest.slice(3, 15)}`;
  }
}

/** A name for what belongs together within a session: a call, a message. */
export function newName(what: string): string {
  return `${what}-${hex(crypto.getRandomValues(new Uint8Array(8)))}`;
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
