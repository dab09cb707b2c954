/** The player of an exported session: everything that it needs is in this file's page. */

import { loadFold } from "./fold.js";
import { Tape } from "./tape.js";
import { ScreenView } from "./screen.js";
import { byId, Panels } from "./panels.js";

const FRAME_MS = 33;
const PANELS_MS = 150;

/** What is in the page: base64 of gzip. */
async function unpack(id) {
  const bytes = Uint8Array.from(atob(byId(id).textContent.trim()), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

function clockText(ms) {
  const seconds = Math.floor(ms / 1000);
  const two = (number) => String(number).padStart(2, "0");
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  return hours ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}

class Player {
  constructor(tape) {
    this.tape = tape;
    this.screen = new ScreenView(byId("screen"));
    this.panels = new Panels();
    this.speed = 1;
    this.isPlaying = false;
    this.ms = 0;
    this.panelsAt = 0;
    this.at = tape.seek(0);
    byId("scrubber").max = String(tape.count);
    this.#listen();
    this.show();
  }

  #listen() {
    byId("toggle").addEventListener("click", () => this.toggle());
    byId("scrubber").addEventListener("input", (event) => this.goTo(Number(event.target.value)));
    byId("speed").addEventListener("change", (event) => {
      this.speed = Number(event.target.value);
    });
    for (const tab of document.querySelectorAll("[data-tab]")) {
      tab.addEventListener("click", () => this.#choose(tab.dataset.tab));
    }
    document.addEventListener("keydown", (event) => this.#press(event));
  }

  #choose(name) {
    document.body.dataset.shows = name;
    for (const tab of document.querySelectorAll("[data-tab]")) {
      tab.setAttribute("aria-pressed", String(tab.dataset.tab === name));
    }
    this.screen.fit();
  }

  #press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const isControl = event.target.closest?.("select, button");
    if (event.key === " " && isControl) return;
    const { tape } = this;
    const keys = {
      " ": () => this.toggle(),
      k: () => this.toggle(),
      ArrowLeft: () => this.goToTime(this.ms - 5000),
      ArrowRight: () => this.goToTime(this.ms + 5000),
      j: () => this.goToTime(this.ms - 10000),
      l: () => this.goToTime(this.ms + 10000),
      ",": () => this.step(-1),
      ".": () => this.step(1),
      Home: () => this.goTo(0),
      End: () => this.goTo(tape.count),
      "<": () => this.#changeSpeed(-1),
      ">": () => this.#changeSpeed(1),
    };
    const isSelect = event.target.closest?.("select");
    const act = keys[event.key] ?? (/^[0-9]$/.test(event.key) && (() => this.goTo(Math.floor((tape.count * Number(event.key)) / 10))));
    if (!act || isSelect) return;
    event.preventDefault();
    act();
  }

  #changeSpeed(step) {
    const select = byId("speed");
    select.selectedIndex = Math.min(Math.max(select.selectedIndex + step, 0), select.options.length - 1);
    this.speed = Number(select.value);
  }

  toggle() {
    if (!this.isPlaying && this.at.count === this.tape.count) this.goTo(0);
    this.isPlaying = !this.isPlaying;
    this.then = performance.now();
    if (this.isPlaying) this.#tick();
    this.show();
  }

  step(count) {
    this.isPlaying = false;
    this.goTo(this.at.count + count);
  }

  goTo(count) {
    const bounded = Math.min(Math.max(count, 0), this.tape.count);
    this.at = this.tape.seek(bounded, this.at);
    this.ms = this.tape.due[bounded - 1] ?? 0;
    this.panelsAt = 0;
    this.show();
  }

  goToTime(ms) {
    const bounded = Math.min(Math.max(ms, 0), this.tape.length);
    this.goTo(this.tape.countBy(bounded));
    this.ms = bounded;
  }

  #tick() {
    if (!this.isPlaying) return;
    const now = performance.now();
    this.ms = Math.min(this.ms + (now - this.then) * this.speed, this.tape.length);
    this.then = now;
    this.at = this.tape.seek(Math.max(this.tape.countBy(this.ms), this.at.count), this.at);
    if (this.at.count === this.tape.count) {
      this.isPlaying = false;
      this.panelsAt = 0;
    }
    this.show();
    if (this.isPlaying) setTimeout(() => this.#tick(), FRAME_MS);
  }

  show() {
    const { tape, at } = this;
    this.screen.show(at.fold.screen());
    const now = performance.now();
    if (now - this.panelsAt > PANELS_MS) {
      this.panelsAt = now;
      const contentOf = (hash) => tape.contents.get(hash) ?? at.fold.content(hash);
      this.panels.show(JSON.parse(at.fold.keyframe()), contentOf);
    }
    const scrubber = byId("scrubber");
    scrubber.value = String(at.count);
    const place = `${clockText(this.ms)} / ${clockText(tape.length)}`;
    scrubber.setAttribute("aria-valuetext", `event ${at.count} of ${tape.count}, ${place}`);
    byId("time").textContent = place;
    byId("place").textContent = `event ${at.count} of ${tape.count}`;
    const toggle = byId("toggle");
    toggle.textContent = this.isPlaying ? "⏸" : "▶";
    toggle.setAttribute("aria-label", this.isPlaying ? "Pause" : "Play");
  }
}

try {
  const [wasm, events, start] = await Promise.all([unpack("fold"), unpack("events"), unpack("start")]);
  const Fold = await loadFold(wasm);
  const text = (buffer) => new TextDecoder().decode(buffer);
  const lines = text(events).split("\n").filter(Boolean);
  const tape = new Tape(Fold, lines, text(start) || undefined);
  const player = new Player(tape);
  // For whoever scripts the page.
  globalThis.kulti = { player, tape, Fold };
  document.body.dataset.state = "ready";
  await tape.index();
  // The texts of files are known now.
  player.panelsAt = 0;
  player.show();
  document.body.dataset.state = "indexed";
} catch (error) {
  document.body.dataset.state = "broken";
  byId("title").textContent = `This session cannot be shown: ${error.message}`;
}
