/** Finds what looks like a secret: keywords first, then the patterns of their rules, there and nowhere else. */

import { RULES } from "./rules.js";

interface Rule {
  name: string;
  keywords: string[];
  pattern: string;
  ignore_case?: boolean;
  back?: { chars: string; most: number; least: number };
  not_after?: string[];
  word?: boolean;
  end?: boolean;
  end_not?: string;
  min_length?: number;
  min_entropy?: number;
  digit?: boolean;
  mixed?: boolean;
  random?: boolean;
  password?: boolean;
}

export const MARKER = RULES.marker;
export const TRANSPARENT = new RegExp(RULES.transparent, "g");

const rules: Rule[] = RULES.rules;
const escapeAtEnd = new RegExp(`(?:${RULES.escapes})$`);
const placeholders = [...RULES.placeholders, ...RULES.allow].map((word) => word.toLowerCase());
const placeholdersOfNamed = RULES.placeholders_of_named.map((word) => word.toLowerCase());
const commonPasswords = new Set<string>(RULES.placeholder_passwords);
const MAX_PLACEHOLDER = 200;

const byKeyword = new Map<string, number[]>();
rules.forEach((rule, number) => {
  for (const keyword of rule.keywords.map((word) => word.toLowerCase())) {
    byKeyword.set(keyword, [...(byKeyword.get(keyword) ?? []), number]);
  }
});

const keywordLengths = [...new Set(Array.from(byKeyword.keys(), (keyword) => keyword.length))].sort((a, b) => a - b);
const anyKeyword = new RegExp(anyOf([...byKeyword.keys()]), "g");

/** Compiled as they are needed: most processes meet few of them. */
const patterns = new Map<number, RegExp>();
const classes = new Map<string, RegExp>();

export function nameOf(rule: number): string {
  return rules[rule]!.name;
}

/** Whether a member's name has a keyword in it. */
export function nameSaysSomething(name: string): boolean {
  anyKeyword.lastIndex = 0;
  return anyKeyword.test(name.toLowerCase());
}

/** Where which rule's pattern may begin. */
export function candidates(text: string): [start: number, rule: number][] {
  let low = text.toLowerCase();
  // A letter outside of ASCII may grow.
  if (low.length !== text.length) low = text.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
  const found: [number, number][] = [];
  anyKeyword.lastIndex = 0;
  for (let hit = anyKeyword.exec(low); hit; hit = anyKeyword.exec(low)) {
    anyKeyword.lastIndex = hit.index + 1;
    for (const length of keywordLengths) {
      for (const number of byKeyword.get(low.slice(hit.index, hit.index + length)) ?? []) {
        const start = startOf(rules[number]!, text, hit.index);
        if (start !== undefined) found.push([start, number]);
      }
    }
  }
  return found;
}

/** A pattern for the shortest of the words that begins somewhere, without trying each: a tree of their letters. */
function anyOf(words: string[]): string {
  const byFirst = new Map<string, string[]>();
  for (const word of words) {
    if (word === "") return "";
    byFirst.set(word[0]!, [...(byFirst.get(word[0]!) ?? []), word.slice(1)]);
  }
  const escaped = (letter: string) => letter.replace(/[^a-z0-9_]/, "\\$&");
  return `(?:${Array.from(byFirst, ([first, rests]) => escaped(first) + anyOf(rests)).join("|")})`;
}

function startOf(rule: Rule, text: string, at: number): number | undefined {
  let start = at;
  if (rule.not_after) {
    // What stands before makes it the name of something else: `next_token`.
    const before = text.slice(Math.max(0, at - 32), at).replace(/[_-]+$/, "").toLowerCase();
    if (rule.not_after.some((word) => before.endsWith(word))) return undefined;
  }
  if (rule.back) {
    const chars = classes.get(rule.back.chars) ?? new RegExp(`[${rule.back.chars}]`);
    classes.set(rule.back.chars, chars);
    while (at - start < rule.back.most && start > 0 && chars.test(text[start - 1]!)) start -= 1;
    if (at - start < rule.back.least) return undefined;
  }
  if (rule.word && start > 0 && /[A-Za-z0-9_]/.test(text[start - 1]!)) {
    // `\nghp_…` in a text of JSON: the n is no part of the word.
    return escapeAtEnd.test(text.slice(Math.max(0, start - 16), start)) ? start : undefined;
  }
  return start;
}

/** The secret's part of what matches here. */
export function match(number: number, text: string, start: number): [begin: number, end: number] | undefined {
  const rule = rules[number]!;
  let pattern = patterns.get(number);
  if (!pattern) {
    pattern = new RegExp(rule.pattern, rule.ignore_case ? "diy" : "dy");
    patterns.set(number, pattern);
  }
  pattern.lastIndex = start;
  const indices = pattern.exec(text)?.indices;
  if (!indices) return undefined;
  const [begin, end] = indices.slice(1).find((group) => group !== undefined) ?? indices[0]!;
  if (begin === end || (rule.end && /[A-Za-z0-9]/.test(text.charAt(end)))) return undefined;
  if (rule.end_not) {
    const after = text.slice(end, end + 16);
    if (/^[ \t]*=/.test(after) || (after !== "" && rule.end_not.includes(after[0]!))) return undefined;
  }
  return [begin, end];
}

/** Whether what a pattern matched is a secret, or only looks like one. */
export function isSecret(number: number, secret: string): boolean {
  const rule = rules[number]!;
  if (
    secret.length < (rule.min_length ?? 0) ||
    (rule.digit && !/[0-9]/.test(secret)) ||
    (rule.mixed && !isMixed(secret)) ||
    (rule.random && !isRandom(secret)) ||
    (rule.password && isCommon(secret)) ||
    (rule.min_entropy !== undefined && entropy(secret) < rule.min_entropy)
  ) {
    return false;
  }
  if (secret.length > MAX_PLACEHOLDER) return true;
  const low = secret.toLowerCase();
  const isNamed = rule.random || rule.password;
  return !(
    placeholders.some((word) => low.includes(word)) ||
    (isNamed && placeholdersOfNamed.some((word) => low.includes(word)))
  );
}

function isCommon(secret: string): boolean {
  return commonPasswords.has(secret.toLowerCase()) || "/.$%@&{<".includes(secret[0]!) || /^(?:0x|[0-9]+\/)/.test(secret);
}

function isMixed(text: string): boolean {
  return /[A-Za-z]/.test(text) && /[0-9]/.test(text);
}

/** Whether a generator made it, rather than a person who gave something a name. */
function isRandom(text: string): boolean {
  if (text.length < 16 || "/.$%@&".includes(text[0]!) || !isMixed(text) || entropy(text) < 3) return false;
  const kinds = Array.from(text.matchAll(/[A-Za-z0-9]/g), ([c]) => (c < ":" ? "digit" : c < "[" ? "upper" : "lower"));
  const changes = kinds.filter((kind, index) => index > 0 && kind !== kinds[index - 1]).length;
  return changes * 100 >= text.length * 20;
}

/** Shannon's, in bits a character. */
function entropy(text: string): number {
  const counts = new Map<string, number>();
  for (const c of text) counts.set(c, (counts.get(c) ?? 0) + 1);
  let bits = 0;
  for (const count of counts.values()) bits -= (count / text.length) * Math.log2(count / text.length);
  return bits;
}
