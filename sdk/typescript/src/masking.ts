/** Hides secrets before they are buffered. What the rules mean is in masking/README.md, and the same everywhere. */

import { candidates, isSecret, MARKER, match, nameOf, nameSaysSomething, TRANSPARENT } from "./scan.js";

/** How long the end of a line that is not complete waits for the rest. */
export const HOLD_MS = 100;
/** More is not held: what is a secret as it stands is masked, the rest goes out. */
const MAX_HELD = 64 * 1024;
/** A private key that does not end within so many characters is none. */
const MAX_KEY = 16 * 1024;
/** What stays known of what went out, so that a secret that began in it is found, and its rest masked. */
const CONTEXT = 512;

const KEY_BEGINS = /-----BEGIN[ A-Z0-9]{0,40}PRIVATE KEY/g;
const KEY_ENDS = /-{5,6}END[ A-Z0-9]{0,40}PRIVATE KEY(?: BLOCK)?-----/;
/** Beside private keys, the one secret that may begin lines before its value: `machine … login … password …`. */
const GOES_OVER_LINES = /machine/i;

interface Span {
  start: number;
  end: number;
  rule: number;
}

/** Puts `[masked:rule]` in the place of secrets. */
export class Masker {
  readonly #allowed: Set<string>;
  readonly #allowedPatterns: RegExp[];
  isOn = true;
  /** How many secrets were masked, by rule. */
  readonly counts: Record<string, number> = {};

  /** `allow`: secrets that are none, or `/pattern/` that the whole of one matches. Throws SyntaxError. */
  constructor(allow: readonly string[] = []) {
    const entries = allow.map((entry) => entry.trim()).filter((entry) => entry !== "");
    const isPattern = (entry: string) => entry.length > 2 && entry.startsWith("/") && entry.endsWith("/");
    this.#allowed = new Set(entries.filter((entry) => !isPattern(entry)));
    this.#allowedPatterns = entries.filter(isPattern).map((entry) => new RegExp(`^(?:${entry.slice(1, -1)})$`));
  }

  /** Masks nothing. */
  static off(): Masker {
    const masker = new Masker();
    masker.isOn = false;
    return masker;
  }

  /** The text with markers in place of secrets. */
  mask(text: string): string {
    if (!this.isOn || text.length < 8) return text;
    return this.write(text, this.spans(text), 0, text.length);
  }

  /** A member's value, masked also where only its name says that it is a secret. */
  member(name: string, value: string): string {
    if (!this.isOn || value.length < 8) return value;
    if (name === "base64") return this.#maskBase64(value);
    const rule = this.#ruleOfMember(name, value);
    return rule === undefined ? this.mask(value) : this.#marker(rule);
  }

  /** Secrets in order, none in another. Sequences that only colour the text count as if they were not there. */
  spans(text: string): Span[] {
    if (!text.includes("\x1b")) return this.#plainSpans(text);
    let plain = "";
    const places: number[] = [];
    let last = 0;
    const push = (end: number) => {
      plain += text.slice(last, end);
      for (let place = last; place < end; place += 1) places.push(place);
    };
    for (const escape of text.matchAll(TRANSPARENT)) {
      push(escape.index);
      last = escape.index + escape[0].length;
    }
    push(text.length);
    return this.#plainSpans(plain).map(({ start, end, rule }) => ({
      start: places[start]!,
      end: places[end - 1]! + 1,
      rule,
    }));
  }

  /** The part of the text from `begin` to `end`, which cuts no span in two, masked. */
  write(text: string, spans: Span[], begin: number, end: number): string {
    let out = "";
    let last = begin;
    for (const span of spans) {
      if (span.end <= begin || span.end > end) continue;
      const start = Math.max(span.start, last);
      const inside = (text.slice(start, span.end).match(TRANSPARENT) ?? []).join("");
      out += text.slice(last, start) + this.#marker(span.rule) + inside;
      last = span.end;
    }
    return out + text.slice(last, end);
  }

  #plainSpans(text: string): Span[] {
    const found: Span[] = [];
    for (const [start, rule] of candidates(text)) {
      const place = match(rule, text, start);
      if (!place) continue;
      const secret = text.slice(place[0], place[1]);
      if (isSecret(rule, secret) && !this.#allows(secret)) found.push({ start: place[0], end: place[1], rule });
    }
    found.sort((one, other) => one.start - other.start || one.rule - other.rule);
    const merged: Span[] = [];
    for (const span of found) {
      const before = merged.at(-1);
      if (before && span.start < before.end) before.end = Math.max(before.end, span.end);
      else merged.push(span);
    }
    return merged;
  }

  #allows(secret: string): boolean {
    return this.#allowed.has(secret) || this.#allowedPatterns.some((pattern) => pattern.test(secret));
  }

  #marker(rule: number): string {
    const name = nameOf(rule);
    this.counts[name] = (this.counts[name] ?? 0) + 1;
    return MARKER.replace("{name}", name);
  }

  /** The rule by which all of a member's value is a secret because of its name. */
  #ruleOfMember(name: string, value: string): number | undefined {
    if (!nameSaysSomething(name)) return undefined;
    const head = `"${name}": "`;
    const first = this.spans(head + value)[0];
    if (!first || first.start > head.length || first.end <= head.length) return undefined;
    return this.spans(value)[0]?.start === 0 ? undefined : first.rule;
  }

  #maskBase64(value: string): string {
    try {
      const text = atob(value);
      const masked = this.mask(text);
      return masked === text ? value : btoa(masked);
    } catch {
      return this.mask(value);
    }
  }
}

/**
 * Masks what comes in parts, however it is cut.
 *
 * Whole lines go out at once. The end of a line waits for the rest of it, or for `HOLD_MS`; then a value that may be the
 * beginning of a secret waits on, and the rest goes out.
 */
export class StreamMasker {
  /** What went out last, as it was before masking; then what is held. */
  #text = "";
  #heldFrom = 0;

  constructor(private readonly masker: Masker) {}

  /** Whether something waits. */
  get isHolding(): boolean {
    return this.#heldFrom < this.#text.length;
  }

  /** Takes a part. What can go out, masked. */
  push(text: string): string {
    if (!this.masker.isOn) return text;
    this.#text += text;
    if (this.#text.length - this.#heldFrom > MAX_HELD) return this.#release(this.#text.length);
    const line = Math.max(this.#text.lastIndexOf("\n"), this.#text.lastIndexOf("\r")) + 1;
    return this.#release(Math.min(Math.max(line, this.#heldFrom), this.#openKey()));
  }

  /** The rest of the line did not come in time: what goes out without it. */
  tick(): string {
    let end = this.#openKey();
    const value = /[^ \t\r\n"'=:`]*$/.exec(this.#text.slice(this.#heldFrom));
    const isBegun = candidates(this.#text).some(([start]) => !/[\r\n]/.test(this.#text.slice(start)));
    if (value && isBegun) end = Math.min(end, this.#heldFrom + value.index);
    return this.#release(end);
  }

  /** The stream has ended, or pauses for good: everything that waits, masked as it stands. */
  flush(): string {
    return this.#release(this.#text.length);
  }

  /** Where a private key begins that has not ended; the end if there is none. */
  #openKey(): number {
    const begins = [...this.#text.matchAll(KEY_BEGINS)].at(-1);
    if (!begins || KEY_ENDS.test(this.#text.slice(begins.index + begins[0].length))) return this.#text.length;
    return this.#text.length - begins.index > MAX_KEY ? this.#text.length : begins.index;
  }

  #release(until: number): string {
    let end = Math.max(until, this.#heldFrom);
    if (end === this.#heldFrom) return "";
    const spans = this.masker.spans(this.#text);
    // A secret goes out as a whole or not at all.
    const cut = spans.find((span) => Math.max(span.start, this.#heldFrom) < end && end < span.end);
    if (cut) end = Math.max(cut.start, this.#heldFrom);
    const out = this.masker.write(this.#text, spans, this.#heldFrom, end);
    let forgotten = Math.max(0, end - CONTEXT);
    if (!GOES_OVER_LINES.test(this.#text.slice(forgotten, end))) {
      const line = Math.max(this.#text.lastIndexOf("\n", end - 1), this.#text.lastIndexOf("\r", end - 1)) + 1;
      forgotten = Math.max(forgotten, line);
    }
    this.#text = this.#text.slice(forgotten);
    this.#heldFrom = end - forgotten;
    return out;
  }
}
