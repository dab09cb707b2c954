/** What stands beside the terminal: what the agent is at, thinks and says, the chat, and its files. */

/** An element of the page. */
export const byId = (id) => document.getElementById(id);

function element(name, className, text) {
  const node = document.createElement(name);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

/** Changes a list only where it has changed, and stays at its end if that was seen. */
function fill(list, items, make) {
  const key = JSON.stringify(items);
  if (list.dataset.key === key) return;
  list.dataset.key = key;
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  list.replaceChildren(...items.map(make));
  if (atEnd) list.scrollTop = list.scrollHeight;
}

function saidItem(item) {
  const node = element("li", item.kind);
  node.append(element("b", "", item.who), " ", item.text);
  return node;
}

export class Panels {
  constructor() {
    this.open = undefined;
  }

  /** Shows a state; `contentOf` gives a file's text by its hash. */
  show(state, contentOf) {
    byId("title").textContent = state.title ?? state.task ?? document.title;
    byId("agent").textContent = state.agent_name ?? state.agent ?? "";
    const status = state.ended ? `ended: ${state.ended.reason}` : (state.status?.status ?? "");
    byId("status").textContent = status;
    this.#showWork(state);
    this.#showSaid(state);
    this.#showFiles(state.files.items, contentOf);
  }

  #showWork(state) {
    const items = [];
    if (state.progress) {
      const { title, done, total, plan = [] } = state.progress;
      items.push({ kind: "plan", who: title ?? "Progress", text: total ? `${done ?? 0}/${total}` : "" });
      for (const step of plan) items.push({ kind: "step", who: step.state === "done" ? "✓" : "·", text: step.text });
    }
    for (const tool of state.tools.running.items) items.push({ kind: "tool", who: `⚙ ${tool.name}`, text: tool.input });
    for (const approval of state.approvals.items) items.push({ kind: "asks", who: "Asks", text: approval.title });
    if (state.preview) items.push({ kind: "preview", who: "Preview", text: state.preview.url });
    if (state.last_error) items.push({ kind: "error", who: "Error", text: state.last_error.message });
    fill(byId("work"), items, saidItem);
  }

  #showSaid(state) {
    const said = [
      ...state.thoughts.items.map((item) => ({ kind: "thought", who: "✻", text: item.text, position: item.position })),
      ...state.messages.items.map((item) => ({
        kind: item.channel === "thinking" ? "thought" : "message",
        who: item.role ?? "assistant",
        text: item.text,
        position: item.position,
      })),
    ];
    said.sort((one, other) => one.position - other.position);
    fill(byId("said"), said, saidItem);
    const chat = state.chat.items.map((item) => ({ kind: "chat", who: item.name ?? "somebody", text: item.text }));
    fill(byId("chat"), chat, saidItem);
  }

  #showFiles(files, contentOf) {
    byId("file-count").textContent = files.length ? `${files.length}` : "";
    const list = byId("files");
    const newestFirst = files.toReversed();
    if (!files.some((file) => file.path === this.open)) this.open = newestFirst[0]?.path;
    fill(list, newestFirst.map(({ path, action }) => ({ path, action, open: path === this.open })), (file) => {
      const item = element("li");
      const button = element("button", file.open ? "open" : "", file.path);
      button.type = "button";
      button.setAttribute("aria-pressed", String(file.open));
      button.addEventListener("click", () => {
        this.open = file.path;
        this.#showFiles(files, contentOf);
      });
      item.append(button);
      return item;
    });
    const file = files.find((candidate) => candidate.path === this.open);
    const text = file?.sha256 ? contentOf(file.sha256) : undefined;
    const view = byId("file");
    view.hidden = !file;
    const shown = text ?? "The text of this file was never told.";
    if (view.textContent !== shown) view.textContent = shown;
    view.setAttribute("aria-label", file ? `Content of ${file.path}` : "Content of a file");
  }
}
