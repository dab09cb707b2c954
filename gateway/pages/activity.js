// The stream of what the agent thinks, says and does, with its plan, one row per item.

import { KeyedList, el, outsideLink, plainText, setShown, setText } from "./dom.js";
import { clockText, durationText } from "./format.js";

const MOST_ROWS = 200;
const SYMBOLS = {
  thought: "…", message: "●", tool: "⚙", error: "!", marker: "⚑", status: "→", code: "±", session: "◆", preview: "↗",
  chat: "☺", memory: "✎", approval: "?", other: "·",
};
const NAMES = {
  thought: "Thought", message: "Message", tool: "Tool", error: "Error", marker: "Marker", status: "Status", code: "File",
  session: "Session", preview: "Preview", chat: "Chat", memory: "Memory", approval: "Approval", other: "Event",
};

export class ActivityPane {
  /** `onSeek(position)` when a row's time is chosen, `onFile(path)` when a file is, `elapsedOf(item)` in ms. */
  constructor({ stream, plan, filter }, { onSeek, onFile, elapsedOf }) {
    this.stream = stream;
    this.plan = plan;
    this.filter = filter;
    this.handlers = { onSeek, onFile, elapsedOf };
    this.stuck = true;
    this.list = new KeyedList(stream, {
      key: (item) => item.number,
      build: (item) => this.buildRow(item),
      update: (node, item) => updateRow(node, item),
    });
    stream.addEventListener("scroll", () => {
      this.stuck = stream.scrollHeight - stream.scrollTop - stream.clientHeight < 40;
    });
    filter.addEventListener("change", () => this.onFilter?.());
  }

  show(fold) {
    const wanted = this.filter.value;
    const items = wanted === "all" ? fold.activity : fold.activity.filter((item) => matches(item, wanted));
    this.list.show(items.slice(-MOST_ROWS));
    this.showPlan(fold);
  }

  keepPlace() {
    if (this.stuck) this.stream.scrollTop = this.stream.scrollHeight;
  }

  clear() {
    this.list.show([]);
  }

  buildRow(item) {
    const time = el("button", {
      type: "button", className: "when", title: "Go to this moment", textContent: clockText(this.handlers.elapsedOf(item)),
    });
    time.addEventListener("click", () => this.handlers.onSeek(item.position));
    const symbol = el("span", { className: "symbol", textContent: SYMBOLS[item.type], "aria-hidden": "true" });
    const kind = el("span", { className: "unseen", textContent: `${NAMES[item.type]}: ` });
    const row = el("li", { className: `row ${item.type}` }, symbol, el("div", { className: "body" }, kind), time);
    if (item.type === "code") {
      const open = el("button", { type: "button", className: "path", textContent: item.text });
      open.addEventListener("click", () => this.handlers.onFile(item.text));
      row.children[1].append(el("span", { className: "title", textContent: item.title }), " ", open, changeCount(item));
    } else if (item.type === "tool") {
      row.children[1].append(toolParts());
    } else {
      const title = el("span", { className: "title", textContent: item.title ?? "" });
      row.children[1].append(title, el("p", { className: "text" }));
      if (item.link !== undefined) row.children[1].append(outsideLink(item.link));
    }
    return row;
  }

  showPlan(fold) {
    const progress = fold.progress;
    const hasBar = progress && typeof progress.done === "number" && progress.total > 0;
    setShown(this.plan.box, Boolean(progress?.plan?.length || hasBar));
    if (!progress || this.shownPlan === progress) return;
    this.shownPlan = progress;
    setText(this.plan.title, progress.title || "Plan");
    setShown(this.plan.bar, Boolean(hasBar));
    setText(this.plan.count, hasBar ? `${progress.done} of ${progress.total}` : "");
    if (hasBar) {
      this.plan.bar.max = progress.total;
      this.plan.bar.value = Math.min(progress.done, progress.total);
    }
    this.plan.steps.replaceChildren(
      ...(progress.plan ?? []).map((step) => {
        const state = stepState(step.state);
        return el("li", { className: state }, el("span", { className: "unseen", textContent: `${state}: ` }), step.text);
      }),
    );
  }
}

const GROUPS = {
  said: ["thought", "message", "chat", "memory", "approval"],
  done: ["tool", "code", "preview"],
  trouble: ["error"],
  marks: ["marker", "session", "status"],
};

function matches(item, wanted) {
  return GROUPS[wanted]?.includes(item.type) || (wanted === "trouble" && item.state === "error");
}

function stepState(state) {
  if (/^(done|completed?|finished|ok)$/i.test(state)) return "done";
  if (/^(active|in.?progress|running|current|doing)$/i.test(state)) return "active";
  if (/^(failed|error|cancelled|skipped)$/i.test(state)) return "failed";
  return "waiting";
}

function changeCount(item) {
  return el("span", { className: "counts" },
    item.added ? el("span", { className: "added", textContent: ` +${item.added}` }) : null,
    item.removed ? el("span", { className: "removed", textContent: ` −${item.removed}` }) : null);
}

function toolParts() {
  return el("details", {}, el("summary"), el("pre", { className: "input" }), el("pre", { className: "output" }));
}

function updateRow(row, item) {
  const body = row.children[1];
  if (item.type === "tool") {
    const [summary, input, output] = body.querySelector("details").children;
    const state = item.state === "running" ? "running" : item.state === "error" ? "failed" : "done";
    row.dataset.state = state;
    const brief = item.input === undefined ? "" : briefInput(item.input);
    const rest = [state === "done" ? "" : state, durationText(item.duration)].filter(Boolean).join(" · ");
    summary.replaceChildren(
      el("span", { className: "title", textContent: item.title }), " ",
      el("span", { className: "brief", textContent: brief }), " ",
      el("span", { className: "state", textContent: rest }));
    setText(input, plainText(item.input, 8_000));
    setText(output, plainText(item.output, 20_000));
    setShown(input, item.input !== undefined);
    setShown(output, item.output !== undefined && item.output !== null);
    return;
  }
  const text = body.querySelector(".text");
  if (!text) return;
  row.classList.toggle("open", Boolean(item.open));
  setText(text, item.detail ? `${item.text}\n${item.detail}` : item.text ?? "");
  setShown(text, Boolean(item.text || item.detail));
}

function briefInput(input) {
  if (typeof input === "string") return input.slice(0, 160);
  if (!input || typeof input !== "object") return String(input);
  const first = input.command ?? input.path ?? input.file_path ?? input.query ?? input.url;
  return (typeof first === "string" ? first : JSON.stringify(input)).slice(0, 160);
}
