/** Makes of any value one that JSON can hold, so that what an agent passes in never throws. */

import type { Masker } from "./masking.js";

/** The server takes 64 levels, and the event around this one has some. */
const MAX_DEPTH = 48;

/**
 * The value with every text masked. Members that are undefined are left out; what JSON does not know becomes text.
 * `name` is the member that it is the value of. Objects that hold themselves end at a depth that the server takes.
 */
export function clean(value: unknown, masker: Masker, name = "", depth = 0): unknown {
  switch (typeof value) {
    case "string":
      return masker.member(name, wellFormed(value));
    case "number":
      return Number.isFinite(value) ? value : String(value);
    case "boolean":
      return value;
    case "object":
      return value === null ? null : cleanObject(value, masker, name, depth);
    default:
      return masker.member(name, String(value));
  }
}

function cleanObject(value: object, masker: Masker, name: string, depth: number): unknown {
  if (depth >= MAX_DEPTH) return "…";
  const inner = (item: unknown) => (item === undefined ? null : clean(item, masker, name, depth + 1));
  try {
    if (Array.isArray(value)) return value.map(inner);
    if (value instanceof Set) return Array.from(value, inner);
    if (value instanceof Error) return masker.mask(wellFormed(`${value.name}: ${value.message}`));
    if (ArrayBuffer.isView(value)) return masker.member(name, new TextDecoder().decode(value));
    const toJSON = (value as { toJSON?: unknown }).toJSON;
    if (typeof toJSON === "function") return clean(toJSON.call(value) as unknown, masker, name, depth + 1);
    const members = value instanceof Map ? [...(value as Map<unknown, unknown>)] : Object.entries(value);
    return cleanMembers(members, masker, depth);
  } catch (error) {
    return `<${value.constructor?.name ?? "object"}: ${error instanceof Error ? error.name : "error"}>`;
  }
}

function cleanMembers(members: [unknown, unknown][], masker: Masker, depth: number): Record<string, unknown> {
  // {"name": "API_KEY", "value": "…"}: the value is called what stands beside it.
  const named = members.find(([name]) => ["name", "key"].includes(String(name).toLowerCase()))?.[1];
  const out: Record<string, unknown> = {};
  for (const [key, member] of members) {
    if (member === undefined) continue;
    const name = wellFormed(String(key));
    const called = typeof named === "string" && name.toLowerCase() === "value" ? named : name;
    let shown = masker.mask(name);
    while (Object.hasOwn(out, shown)) shown += "#"; // two names that are secrets must not become one
    const value = clean(member, masker, called, depth + 1);
    Object.defineProperty(out, shown, { value, enumerable: true, configurable: true, writable: true });
  }
  return out;
}

/** Half a surrogate pair is no text; the server would refuse the event for it. */
export function wellFormed(text: string): string {
  return text.replace(/[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/g, "\uFFFD");
}
