// The fold: events in order -> what the workspace shows. No network, no page. Every field is bounded, and
// items are replaced rather than changed, so that a snapshot is a handful of shallow copies.

import { Screen } from "./ansi.js";
import { oneLine, plainText } from "./dom.js";
import { changedFile } from "./diff.js";

const MOST_ACTIVITY = 600;
const MOST_FILES = 300;
const MOST_MARKERS = 200;
const MOST_TERMINALS = 8;
const LONGEST_TEXT = 40_000;

export class Fold {
  constructor() {
    this.session = {};
    this.ended = null;
    this.status = null;
    this.progress = null;
    this.activity = [];
    this.firstActivity = 0; // the number of activity[0]; items that left at the top keep their numbers
    this.calls = new Map();
    this.messages = new Map();
    this.files = new Map();
    this.markers = [];
    this.previews = new Map();
    this.terminals = new Map();
    this.lastTerminal = null;
    this.usage = { tokens: 0, cost: 0, session: null };
    this.errors = 0;
    this.position = 0;
    this.version = 0;
  }

  snapshot() {
    const copy = Object.assign(Object.create(Fold.prototype), this);
    copy.activity = this.activity.slice();
    copy.markers = this.markers.slice();
    for (const name of ["calls", "messages", "files", "previews"]) copy[name] = new Map(this[name]);
    copy.terminals = new Map();
    for (const [id, terminal] of this.terminals) {
      copy.terminals.set(id, { ...terminal, screen: terminal.screen.snapshot() });
    }
    return copy;
  }

  apply(event) {
    this.position = event.position;
    this.version++;
    const data = event.data && typeof event.data === "object" ? event.data : {};
    const handler = Object.hasOwn(HANDLERS, event.kind) ? HANDLERS[event.kind] : null;
    if (handler) handler(this, data, event);
    else this.note(event, { type: "other", title: oneLine(event.kind, 60), text: plainText(data, 2_000) });
  }

  /** Adds to the activity list and returns the item's number. */
  note(event, item) {
    const number = this.firstActivity + this.activity.length;
    this.activity.push({ ...item, number, position: event.position, id: event.id, time: event.time ?? event.received });
    if (this.activity.length > MOST_ACTIVITY + 100) {
      this.activity = this.activity.slice(100);
      this.firstActivity += 100;
      for (const map of [this.calls, this.messages]) {
        for (const [key, value] of map) if (value < this.firstActivity) map.delete(key);
      }
    }
    return number;
  }

  /** The item with this number, or undefined if it left the list. */
  item(number) {
    return number === undefined ? undefined : this.activity[number - this.firstActivity];
  }

  replace(number, changes) {
    const index = number - this.firstActivity;
    if (this.activity[index]) this.activity[index] = { ...this.activity[index], ...changes };
  }

  terminal(data) {
    const id = typeof data.terminal === "string" ? data.terminal.slice(0, 100) : "";
    let terminal = this.terminals.get(id);
    if (!terminal) {
      if (this.terminals.size >= MOST_TERMINALS) this.terminals.delete(this.terminals.keys().next().value);
      terminal = { id, screen: new Screen(), rest: new Uint8Array(0), command: "", pty: false };
      this.terminals.set(id, terminal);
    }
    // One that draws its own screen is shown rather than the log of a tool beside it.
    if (terminal.pty || !this.terminals.get(this.lastTerminal)?.pty) this.lastTerminal = id;
    return terminal;
  }
}

const HANDLERS = {
  "session.started": (fold, data, event) => {
    describeSession(fold, data);
    fold.ended = null;
    fold.note(event, { type: "session", title: "Session started", text: taskText(data.task) });
  },
  "session.updated": (fold, data, event) => {
    describeSession(fold, data);
    const text = oneLine(data.title ?? taskText(data.task), 300);
    if (text) fold.note(event, { type: "session", title: "Session updated", text });
  },
  "session.ended": (fold, data, event) => {
    fold.ended = { reason: oneLine(data.reason ?? "ended", 60), result: plainText(data.result, 2_000) };
    fold.note(event, { type: "session", title: `Session ended: ${fold.ended.reason}`, text: fold.ended.result });
  },
  "session.erased": (fold, data, event) => fold.note(event, { type: "session", title: "Session erased", text: "" }),
  thought: (fold, data, event) =>
    fold.note(event, { type: "thought", title: data.type === "general" ? "" : oneLine(data.type, 30), text: plainText(data.content) }),
  "message.delta": (fold, data, event) => {
    const key = oneLine(data.message, 200);
    const piece = typeof data.text === "string" ? data.text : "";
    const before = fold.item(fold.messages.get(key));
    if (before) {
      if (before.text.length < LONGEST_TEXT) fold.replace(before.number, { text: before.text + piece });
      return;
    }
    const type = data.channel === "thinking" ? "thought" : "message";
    const role = oneLine(data.role ?? "assistant", 30);
    fold.messages.set(key, fold.note(event, { type, role, title: type === "thought" ? "thinking" : role, text: piece, open: true }));
  },
  "message.completed": (fold, data, event) => {
    const before = fold.item(fold.messages.get(oneLine(data.message, 200)));
    const changes = { text: plainText(data.content, LONGEST_TEXT), open: false, model: oneLine(data.model, 60) };
    if (before) return fold.replace(before.number, changes);
    const role = oneLine(data.role ?? "assistant", 30);
    return fold.note(event, { type: "message", role, title: role, ...changes });
  },
  "tool.started": (fold, data, event) => {
    const key = oneLine(data.call, 200);
    const item = { type: "tool", call: key, title: oneLine(data.name, 80), input: data.input, state: "running", nested: Boolean(data.parent) };
    fold.calls.set(key, fold.note(event, item));
  },
  "tool.finished": (fold, data, event) => {
    const changes = { state: data.status === "error" ? "error" : "ok", output: data.output, duration: data.duration_ms };
    const before = fold.item(fold.calls.get(oneLine(data.call, 200)));
    if (before) fold.replace(before.number, changes);
    else fold.note(event, { type: "tool", title: "tool", ...changes });
  },
  "terminal.command": (fold, data) => {
    const terminal = fold.terminal(data);
    terminal.command = oneLine(data.command, 300);
    if (!terminal.pty) terminal.screen.writeNote(`❯ ${plainText(data.command, 4_000)}`, { fg: 14, flags: 1 });
  },
  "terminal.output": (fold, data) => writeOutput(fold.terminal(data), data),
  "terminal.exited": (fold, data) => {
    const terminal = fold.terminal(data);
    terminal.command = "";
    if (data.code && !terminal.pty) terminal.screen.writeNote(`✗ exit ${oneLine(data.code, 12)}`, { fg: 9 });
  },
  "terminal.resized": (fold, data) => fold.terminal(data).screen.resize(data.cols, data.rows),
  "code.changed": (fold, data, event) => {
    const path = oneLine(data.path, 300);
    const from = oneLine(data.old_path, 300);
    const file = changedFile(fold.files.get(from) ?? fold.files.get(path), { ...data, path }, event.position);
    if (from && from !== path) fold.files.delete(from);
    fold.files.delete(path); // the newest last
    fold.files.set(path, file);
    if (fold.files.size > MOST_FILES) fold.files.delete(fold.files.keys().next().value);
    fold.note(event, { type: "code", title: file.action, text: path, added: file.added, removed: file.removed });
  },
  "status.changed": (fold, data, event) => {
    const status = oneLine(data.status, 60);
    const repeated = fold.status?.status === status && fold.status?.detail === oneLine(data.detail, 200);
    fold.status = { status, detail: oneLine(data.detail, 200) };
    if (!repeated) fold.note(event, { type: "status", title: status, text: fold.status.detail });
  },
  progress: (fold, data) => {
    const before = fold.progress ?? {};
    const number = (value) => (typeof value === "number" && Number.isFinite(value) ? value : undefined);
    fold.progress = {
      title: data.title === undefined ? before.title : oneLine(data.title, 120),
      done: number(data.done) ?? before.done,
      total: number(data.total) ?? before.total,
      plan: Array.isArray(data.plan)
        ? data.plan.slice(0, 100).map((step) => ({ text: oneLine(step?.text, 200), state: oneLine(step?.state, 30) }))
        : before.plan,
    };
  },
  "preview.opened": (fold, data, event) => {
    if (fold.previews.size < 20) fold.previews.set(oneLine(data.url, 300), true);
    fold.note(event, { type: "preview", title: "Preview", link: data.url });
  },
  "preview.closed": (fold, data) => fold.previews.delete(oneLine(data.url, 300)),
  error: (fold, data, event) => {
    fold.errors++;
    const title = data.fatal ? "Fatal error" : "Error";
    fold.note(event, { type: "error", title: data.code ? `${title} ${oneLine(data.code, 40)}` : title, text: plainText(data.message), detail: plainText(data.stack) });
  },
  usage: (fold, data) => countUsage(fold, data),
  marker: (fold, data, event) => {
    const label = oneLine(data.label, 160) || "marker";
    if (fold.markers.length < MOST_MARKERS) fold.markers.push({ label, position: event.position, level: oneLine(data.level, 20) });
    fold.note(event, { type: "marker", title: label, text: "" });
  },
  chat: (fold, data, event) =>
    fold.note(event, { type: "chat", title: oneLine(data.name ?? "viewer", 60), text: plainText(data.text, 4_000) }),
  memory: (fold, data, event) =>
    fold.note(event, { type: "memory", title: oneLine(data.key ?? "memory", 80), text: plainText(data.content, 4_000) }),
  "approval.requested": (fold, data, event) =>
    fold.note(event, { type: "approval", title: `Asks: ${oneLine(data.title)}`, text: plainText(data.detail, 4_000) }),
  "approval.resolved": (fold, data, event) =>
    fold.note(event, { type: "approval", title: `Answered: ${oneLine(data.decision, 60)}`, text: plainText(data.note, 2_000) }),
  unreadable: (fold, data, event) =>
    fold.note(event, { type: "other", title: "unreadable event", text: oneLine(data.code) }),
  custom: (fold, data, event) =>
    fold.note(event, { type: "other", title: oneLine(data.name, 60) || "custom", text: plainText(data.value, 2_000) }),
};

function describeSession(fold, data) {
  const next = { ...fold.session };
  for (const name of ["title", "task", "agent_name", "agent_avatar", "visibility"]) {
    if (data[name] !== undefined && data[name] !== null) next[name] = data[name];
  }
  fold.session = next;
}

/** A task is a text or {title, description}. */
export function taskText(task) {
  if (task && typeof task === "object") return oneLine(task.title ?? task.description, 300);
  return oneLine(task, 300);
}

const LEVELS = { success: { fg: 10 }, error: { fg: 9 }, warning: { fg: 11 }, info: { fg: 12 } };

function writeOutput(terminal, data) {
  const screen = terminal.screen;
  screen.rawNewlines = data.stream === "pty";
  terminal.pty ||= screen.rawNewlines;
  const text = typeof data.base64 === "string" ? decodeBytes(terminal, data.base64) : typeof data.text === "string" ? data.text : "";
  if (data.level) {
    // A line of its own, as the simple API sends them. Without colours of its own it takes the level's.
    const line = text.replace(/\r?\n$/, "");
    if (line.includes("\u001b")) screen.write(screen.col > 0 ? `\r\n${line}\u001b[0m\r\n` : `${line}\u001b[0m\r\n`);
    else screen.writeNote(line, LEVELS[data.level] ?? {});
    return;
  }
  screen.write(text);
}

/** UTF-8 may be cut anywhere between two events: the incomplete end waits for the next. */
function decodeBytes(terminal, base64) {
  let binary;
  try {
    binary = atob(base64);
  } catch {
    return "";
  }
  const bytes = new Uint8Array(terminal.rest.length + binary.length);
  bytes.set(terminal.rest);
  for (let index = 0; index < binary.length; index++) bytes[terminal.rest.length + index] = binary.charCodeAt(index);
  let end = bytes.length;
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back];
    if ((byte & 0xc0) === 0x80) continue;
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    if (length > back) end = bytes.length - back;
    break;
  }
  terminal.rest = bytes.slice(end);
  return new TextDecoder().decode(bytes.subarray(0, end));
}

function countUsage(fold, data) {
  const number = (value) => (typeof value === "number" && Number.isFinite(value) ? value : 0);
  const tokens = number(data.input) + number(data.output);
  const cost = number(data.cost_usd);
  if (data.cumulative || data.scope === "session") {
    fold.usage = { ...fold.usage, session: { tokens, cost } };
  } else {
    fold.usage = { ...fold.usage, tokens: fold.usage.tokens + tokens, cost: fold.usage.cost + cost };
  }
}
