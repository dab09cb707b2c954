// The player's controls: buttons, scrubber, speed and keyboard.

import { el, oneLine, setShown, setText } from "./dom.js";
import { clockText } from "./format.js";

const SPEEDS = ["0.5", "1", "2", "4", "8", "16", "max"];
const MOST_TICKS = 60;

export class Controls {
  /** `nodes` are the elements of the page; `actions` what the player does: toggle, seek, seekBy, restart, goLive … */
  constructor(nodes, actions) {
    this.nodes = nodes;
    this.actions = actions;
    nodes.toggle.addEventListener("click", actions.toggle);
    nodes.restart.addEventListener("click", actions.restart);
    nodes.live.addEventListener("click", actions.goLive);
    nodes.again.addEventListener("click", actions.restart);
    nodes.scrubber.addEventListener("input", () => actions.seek(Number(nodes.scrubber.value)));
    nodes.speed.addEventListener("change", () => actions.setSpeed(nodes.speed.value));
    nodes.pauses.addEventListener("change", () => actions.setSkipPauses(nodes.pauses.checked));
    this.onKey = (event) => this.takeKey(event);
    document.addEventListener("keydown", this.onKey);
  }

  /** `view`: {playing, live, over, finished, position, last, elapsed, total, markers} */
  show(view) {
    const { nodes } = this;
    const running = view.playing || (view.live && !view.over);
    nodes.toggle.dataset.state = running ? "pause" : "play";
    const label = running ? "Pause" : view.finished ? "Play again" : "Play";
    if (nodes.toggle.getAttribute("aria-label") !== label) {
      nodes.toggle.setAttribute("aria-label", label);
      nodes.toggle.title = `${label} (space)`;
    }
    if (Number(nodes.scrubber.max) !== view.last) nodes.scrubber.max = view.last;
    if (Number(nodes.scrubber.value) !== view.position) nodes.scrubber.value = view.position;
    const share = view.last > 0 ? (view.position / view.last) * 100 : 0;
    nodes.scrubber.style.setProperty("--share", `${share.toFixed(2)}%`);
    const times = view.over || !view.live ? `${clockText(view.elapsed)} / ${clockText(view.total)}` : clockText(view.elapsed);
    setText(nodes.times, times);
    setText(nodes.place, `event ${view.position.toLocaleString("en")} of ${view.last.toLocaleString("en")}`);
    const spoken = `event ${view.position} of ${view.last}, ${clockText(view.elapsed)} of ${clockText(view.total)}`;
    if (nodes.scrubber.getAttribute("aria-valuetext") !== spoken) nodes.scrubber.setAttribute("aria-valuetext", spoken);
    setShown(nodes.live, !view.over && !view.live);
    setShown(nodes.again, view.finished);
    this.showTicks(view);
  }

  showTicks({ markers, last }) {
    const key = `${markers.length}/${markers.at(-1)?.position}/${last}`;
    if (this.ticks === key) return;
    this.ticks = key;
    this.nodes.ticks.replaceChildren(
      ...markers.slice(-MOST_TICKS).map((marker) => {
        const tick = el("span", { className: "tick", title: oneLine(marker.label) });
        tick.style.left = `${((marker.position / Math.max(1, last)) * 100).toFixed(2)}%`;
        return tick;
      }),
    );
  }

  changeSpeed(step) {
    const at = SPEEDS.indexOf(this.nodes.speed.value);
    this.nodes.speed.value = SPEEDS[Math.max(0, Math.min(SPEEDS.length - 1, at + step))];
    this.actions.setSpeed(this.nodes.speed.value);
  }

  takeKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const tag = event.target.tagName;
    if (tag === "SELECT" || tag === "TEXTAREA" || (tag === "INPUT" && event.target.type !== "range")) return;
    // A focused button or row keeps its own space and enter.
    if (event.key === " " && (tag === "BUTTON" || tag === "SUMMARY" || tag === "A")) return;
    const action = this.actionFor(event.key);
    if (!action) return;
    event.preventDefault();
    action();
  }

  actionFor(key) {
    const { actions } = this;
    if (/^[0-9]$/.test(key)) return () => actions.seekShare(Number(key) / 10);
    return {
      " ": actions.toggle,
      k: actions.toggle,
      j: () => actions.seekBy(-10_000),
      l: () => actions.seekBy(10_000),
      ArrowLeft: () => actions.seekBy(-5_000),
      ArrowRight: () => actions.seekBy(5_000),
      ",": () => actions.step(-1),
      ".": () => actions.step(1),
      "<": () => this.changeSpeed(-1),
      ">": () => this.changeSpeed(1),
      Home: actions.restart,
      End: actions.goLive,
      "?": actions.help,
    }[key];
  }

  destroy() {
    document.removeEventListener("keydown", this.onKey);
  }
}
