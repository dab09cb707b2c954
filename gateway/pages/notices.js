// Short notices above the workspace: connection lost and back, missing events, a new session.

import { el, setText } from "./dom.js";

export class Notices {
  constructor(box) {
    this.box = box;
    this.shown = new Map();
  }

  /** Shows or changes the notice of this name; `action` is {label, run}. */
  show(name, text, { action, forMs } = {}) {
    let notice = this.shown.get(name);
    if (!notice) {
      notice = { node: el("div", { className: `notice ${name}` }, el("span")) };
      this.shown.set(name, notice);
      this.box.append(notice.node);
      if (action) {
        const button = el("button", { type: "button", textContent: action.label });
        button.addEventListener("click", () => {
          this.hide(name);
          action.run();
        });
        notice.node.append(button);
      }
      if (name === "gap" || name === "error" || name === "newer") {
        const close = el("button", { type: "button", className: "close", textContent: "×", "aria-label": "Dismiss" });
        close.addEventListener("click", () => this.hide(name));
        notice.node.append(close);
      }
    }
    setText(notice.node.firstChild, text);
    clearTimeout(notice.timer);
    if (forMs) notice.timer = setTimeout(() => this.hide(name), forMs);
  }

  hide(name) {
    const notice = this.shown.get(name);
    clearTimeout(notice?.timer);
    notice?.node.remove();
    this.shown.delete(name);
  }

  clear() {
    for (const name of [...this.shown.keys()]) this.hide(name);
  }

  /** The state of the watch socket. */
  connection({ connection, detail }) {
    if (connection === "lost") {
      this.wasLost = true;
      this.hide("back");
      this.show("lost", `Connection lost. Trying again in ${Math.max(1, Math.round(detail.wait / 1000))} s …`);
    } else if (connection === "connecting" && this.wasLost) {
      this.show("lost", "Connection lost. Connecting …");
    } else if (connection === "open") {
      this.hide("lost");
      if (this.wasLost) this.show("back", "Connected again.", { forMs: 4_000 });
      this.wasLost = false;
    } else if (connection === "refused") {
      this.hide("lost");
      this.show("error", `The server closed the connection: ${detail}`);
    }
  }
}
