// The files that the session changed: a list, and the chosen file as its last change or as a whole.

import { KeyedList, el, setShown, setText } from "./dom.js";
import { countText } from "./format.js";

const MOST_LINES = 3_000;

export class FilesPane {
  constructor({ list, view, title, modes, empty, count }) {
    Object.assign(this, { view, title, modes, empty, count });
    this.listNode = list;
    this.chosen = null; // null follows the newest change
    this.mode = "diff";
    this.list = new KeyedList(list, {
      key: (file) => file.path,
      build: (file) => this.buildRow(file),
      update: (node, file) => updateRow(node, file),
    });
    for (const button of modes.querySelectorAll("button")) {
      button.addEventListener("click", () => {
        this.mode = button.dataset.mode;
        this.shown = null;
        this.onChoose?.();
      });
    }
  }

  choose(path) {
    this.chosen = path;
    this.onChoose?.();
  }

  buildRow(file) {
    const button = el("button", { type: "button" }, el("span", { className: "name" }), el("span", { className: "counts" }));
    button.addEventListener("click", () => this.choose(file.path));
    return el("li", {}, button);
  }

  show(fold) {
    const files = [...fold.files.values()];
    setShown(this.empty, files.length === 0);
    setShown(this.view, files.length > 0);
    setShown(this.modes, files.length > 0);
    setText(this.count, files.length > 0 ? String(files.length) : "");
    if (this.chosen !== null && !fold.files.has(this.chosen)) this.chosen = null;
    const file = this.chosen === null ? files.at(-1) : fold.files.get(this.chosen);
    this.list.show(files.sort((one, other) => (one.path < other.path ? -1 : 1)));
    for (const [path, { node }] of this.list.rows) {
      node.firstChild.setAttribute("aria-current", String(path === file?.path));
    }
    setText(this.title, file ? file.path : "Files");
    if (this.shown === file && this.shownMode === this.mode) return;
    this.shown = file;
    this.shownMode = this.mode;
    if (file) this.showFile(file);
    else this.view.replaceChildren();
  }

  showFile(file) {
    const wanted = this.mode === "diff" && file.diff?.length ? "diff" : file.content === null ? "diff" : "file";
    for (const button of this.modes.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(button.dataset.mode === wanted));
      button.disabled = button.dataset.mode === "diff" ? !file.diff?.length : file.content === null;
    }
    if (file.action === "delete") {
      this.view.replaceChildren(el("p", { className: "empty", textContent: "This file was deleted." }));
    } else if (wanted === "diff") {
      this.showLines((file.diff ?? []).map((line) => [SIGNS[line.sign], line.sign === "@" ? line.text : `${line.sign}${line.text}`]));
    } else {
      this.showLines((file.content ?? "").replace(/\n$/, "").split("\n").map((text) => ["", text]));
    }
    this.toTop = true;
  }

  keepPlace() {
    if (this.toTop) this.view.scrollTop = 0;
    this.toTop = false;
  }

  showLines(lines) {
    const shown = lines.slice(0, MOST_LINES).map(([className, text]) => el("div", { className: `code-line ${className}`, textContent: text || " " }));
    if (lines.length > MOST_LINES) {
      shown.push(el("p", { className: "empty", textContent: `… ${countText(lines.length - MOST_LINES, "more line")}` }));
    }
    if (lines.length === 0) shown.push(el("p", { className: "empty", textContent: "Nothing to show for this change." }));
    this.view.replaceChildren(...shown);
  }
}

const SIGNS = { "+": "added", "-": "removed", "@": "hunk", " ": "" };

function updateRow(row, file) {
  const [name, counts] = row.firstChild.children;
  setText(name, file.path);
  row.className = file.action;
  counts.replaceChildren(
    ...(file.added ? [el("span", { className: "added", textContent: `+${file.added}` })] : []),
    ...(file.removed ? [el("span", { className: "removed", textContent: `−${file.removed}` })] : []),
  );
}
