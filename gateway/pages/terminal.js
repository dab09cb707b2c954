// Shows a screen of ansi.js: one element per line, rebuilt only when that line changed.

import { cellsOf } from "./cells.js";
import { FLAGS } from "./sgr.js";
import { el, setShown, setText } from "./dom.js";

const SMALLEST_TYPE = 7.5;
const LARGEST_TYPE = 15;
const CELL_WIDTH = 0.605; // of the type size, in the widest of the usual monospaced faces
const NARROWEST_GUESS = 72;
const WIDEST_GUESS = 120;

export class TerminalPane {
  constructor({ screen, title, chooser }) {
    this.screenNode = screen;
    this.titleNode = title;
    this.chooser = chooser;
    this.shown = new Map(); // line number -> {line, version, node}
    this.chosen = null; // the terminal a viewer picked; null follows the busiest
    this.stuck = true;
    screen.addEventListener("scroll", () => {
      this.stuck = screen.scrollHeight - screen.scrollTop - screen.clientHeight < 24;
    });
    chooser.addEventListener("change", () => {
      this.chosen = chooser.value;
      this.onChoose?.();
    });
    new ResizeObserver(() => this.fit()).observe(screen);
  }

  show(fold) {
    this.showChoice(fold);
    const terminal = fold.terminals.get(this.chosen ?? fold.lastTerminal ?? "");
    setText(this.titleNode, terminal?.command || "Terminal");
    if (!terminal) {
      this.clear();
      if (!this.empty) this.screenNode.append((this.empty = el("p", { className: "empty", textContent: "No terminal output yet." })));
      return;
    }
    if (this.empty) {
      this.empty.remove();
      this.empty = null;
    }
    if (this.id !== terminal.id) {
      this.clear();
      this.id = terminal.id;
    }
    this.showScreen(terminal.screen);
  }

  showChoice(fold) {
    setShown(this.chooser, fold.terminals.size > 1);
    const names = [...fold.terminals.keys()];
    const known = [...this.chooser.options].map((option) => option.value);
    if (names.join("\n") !== known.join("\n")) {
      this.chooser.replaceChildren(...names.map((name) => el("option", { value: name, textContent: name || "main" })));
    }
    if (!fold.terminals.has(this.chosen)) this.chosen = null;
    const value = this.chosen ?? fold.lastTerminal ?? "";
    if (this.chooser.value !== value) this.chooser.value = value;
  }

  clear() {
    for (const { node } of this.shown.values()) node.remove();
    this.shown.clear();
    this.id = undefined;
  }

  showScreen(screen) {
    // A terminal that never told its size is as wide as what it printed.
    const cols = screen.cols || Math.min(WIDEST_GUESS, Math.max(NARROWEST_GUESS, screen.widest));
    if (this.cols !== cols) {
      this.cols = cols;
      this.screenNode.classList.toggle("wrap", screen.cols === 0);
      this.fit();
    }
    const first = screen.dropped;
    const last = first + screen.lines.length;
    for (const [number, { node }] of this.shown) {
      if (number >= first && number < last) continue;
      node.remove();
      this.shown.delete(number);
    }
    let place = this.screenNode.firstChild;
    for (let number = first; number < last; number++) {
      const line = screen.lines[number - first];
      let row = this.shown.get(number);
      if (!row) {
        row = { node: el("div", { className: "line" }) };
        this.shown.set(number, row);
        this.screenNode.insertBefore(row.node, place);
      } else {
        place = row.node.nextSibling;
      }
      if (row.line === line && row.version === line.version) continue;
      row.line = line;
      row.version = line.version;
      row.node.replaceChildren(...runsOf(line));
    }
  }

  keepPlace() {
    if (this.stuck) this.screenNode.scrollTop = this.screenNode.scrollHeight;
  }

  /** Chooses a type size at which the terminal's columns fit, within what can be read. */
  fit() {
    const width = this.screenNode.clientWidth - 24;
    if (width <= 0) return;
    const size = Math.max(SMALLEST_TYPE, Math.min(LARGEST_TYPE, width / (this.cols ?? NARROWEST_GUESS) / CELL_WIDTH));
    this.screenNode.style.setProperty("--terminal-size", `${size.toFixed(2)}px`);
    // Whole pixels, so that lines of a picture meet.
    this.screenNode.style.setProperty("--terminal-line", `${Math.round(size * 1.25)}px`);
    this.keepPlace();
  }
}

/** A line as spans of one style each; plain text stays a text node. */
function runsOf(line) {
  const { chars, styles } = cellsOf(line);
  const nodes = [];
  let text = "";
  let style = styles[0];
  const flush = () => {
    if (text) nodes.push(isPlain(style) ? document.createTextNode(text) : spanOf(text, style));
    text = "";
  };
  for (let col = 0; col < chars.length; col++) {
    if (!sameStyle(styles[col], style)) {
      flush();
      style = styles[col];
    }
    text += chars[col];
  }
  flush();
  return nodes;
}

const isPlain = (style) => style.fg === null && style.bg === null && style.flags === 0;
const sameStyle = (one, other) => one === other || (one.fg === other.fg && one.bg === other.bg && one.flags === other.flags);

function spanOf(text, style) {
  const span = el("span", { textContent: text });
  const reversed = style.flags & FLAGS.REVERSE;
  let { fg, bg } = style;
  if (reversed) [fg, bg] = [bg ?? "back", fg ?? "fore"];
  // Bold makes the dark half of the palette bright, as terminals do.
  if (style.flags & FLAGS.BOLD && typeof fg === "number" && fg < 8) fg += 8;
  if (!paintBlocks(span, text, fg, bg)) {
    colour(span, "color", "f", fg);
    colour(span, "backgroundColor", "b", bg);
  }
  const names = [[FLAGS.BOLD, "bold"], [FLAGS.DIM, "dim"], [FLAGS.ITALIC, "italic"], [FLAGS.UNDERLINE, "underline"], [FLAGS.STRIKE, "strike"], [FLAGS.HIDDEN, "concealed"]];
  for (const [flag, name] of names) if (style.flags & flag) span.classList.add(name);
  return span;
}

const isColour = (value) => typeof value === "string" && value.startsWith("rgb(");

/** Half and full blocks are pictures' dots: painted as such, no seam of the font's own shows between two lines. */
function paintBlocks(span, text, fg, bg) {
  if (!isColour(fg) || !(isColour(bg) || bg === null) || !/^(▀+|▄+|█+)$/.test(text)) return false;
  const ground = bg ?? "transparent";
  const [upper, lower] = text[0] === "▀" ? [fg, ground] : text[0] === "▄" ? [ground, fg] : [fg, fg];
  span.style.backgroundImage = `linear-gradient(${upper} 50%, ${lower} 50%)`;
  span.classList.add("blocks");
  return true;
}

function colour(span, property, prefix, value) {
  if (value === null) return;
  if (isColour(value)) span.style[property] = value;
  else span.classList.add(`${prefix}-${value}`);
}
