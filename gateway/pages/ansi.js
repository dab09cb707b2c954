// A terminal's screen as data: text with colours, carriage return, erase and cursor movement.
// What terminals print is hostile: everything that is not on this list is skipped (OSC, DCS, APC, queries).

import { cellsOf, pack, widthOf } from "./cells.js";
import { PLAIN, restyle } from "./sgr.js";

const LONGEST_LINE = 2_000;
const LONGEST_SEQUENCE = 64;
let epochs = 0;

export class Screen {
  constructor({ rows = 24, cols = 0, scrollback = 1_000 } = {}) {
    this.rows = rows;
    this.cols = cols; // 0: not known, so lines are not broken here
    this.scrollback = scrollback;
    this.epoch = ++epochs;
    this.lines = [this.newLine()];
    this.dropped = 0; // lines that left at the top; a line's number is dropped + its index
    this.top = 0; // index of the first line of the screen proper
    this.row = 0;
    this.col = 0;
    this.style = PLAIN;
    this.saved = null;
    this.main = null; // the ordinary screen while a program uses the alternate one
    this.state = "text";
    this.sequence = "";
    this.widest = 0;
    this.version = 0;
  }

  newLine() {
    return { chars: [], styles: [], epoch: this.epoch, version: 0 };
  }

  /** A copy that later writes leave alone: lines are shared, packed, and unpacked into a copy when written to. */
  snapshot() {
    this.lines.forEach(pack);
    const copy = Object.assign(Object.create(Screen.prototype), this);
    copy.lines = this.lines.slice();
    if (this.main) copy.main = { ...this.main, lines: this.main.lines.slice() };
    this.epoch = ++epochs;
    copy.epoch = ++epochs;
    return copy;
  }

  resize(cols, rows) {
    if (Number.isInteger(cols) && cols > 0 && cols <= 1_000) this.cols = cols;
    if (Number.isInteger(rows) && rows > 0 && rows <= 500) this.rows = rows;
    this.top = Math.max(this.top, this.lines.length - this.rows, 0);
    this.top = Math.min(this.top, this.row);
    this.version++;
  }

  write(text) {
    for (const char of text) this.take(char);
    this.trim();
    this.version++;
  }

  /** Text between our own lines: starts at the left, and leaves the style of the program as it was. */
  writeNote(text, style) {
    const before = this.style;
    this.state = "text";
    if (this.col > 0) this.newRow(true);
    this.style = { ...PLAIN, ...style };
    for (const char of text) {
      if (char === "\n") this.newRow(true);
      else this.print(char === "\t" ? " " : char);
    }
    this.newRow(true);
    this.style = before;
    this.trim();
    this.version++;
  }

  take(char) {
    const code = char.codePointAt(0);
    if (this.state === "text") {
      if (code === 0x1b) this.state = "escape";
      else if (code === 0x9b) this.startSequence();
      else if (code === 0x90 || code === 0x98 || (code >= 0x9d && code <= 0x9f)) this.state = "string";
      else if (code < 0x20 || code === 0x7f) this.control(code);
      else if (code >= 0xa0 || code < 0x7f) this.print(char);
      return;
    }
    if (code === 0x18 || code === 0x1a) this.state = "text";
    else if (this.state === "escape") this.takeEscape(char);
    else if (this.state === "charset") this.state = "text";
    else if (this.state === "sequence") this.takeSequence(char, code);
    else if (code === 0x07 || code === 0x9c) this.state = "text";
    else if (code === 0x1b) this.state = "escape";
  }

  startSequence() {
    this.state = "sequence";
    this.sequence = "";
  }

  takeEscape(char) {
    this.state = "text";
    if (char === "[") this.startSequence();
    else if ("]PX^_".includes(char)) this.state = "string";
    else if ("()*+-./#% ".includes(char)) this.state = "charset";
    else if (char === "7") this.saved = { row: this.row - this.top, col: this.col, style: this.style };
    else if (char === "8") this.restoreCursor();
    else if (char === "M") this.moveTo(this.row - 1, this.col);
    else if (char === "D") this.newRow(false);
    else if (char === "E") this.newRow(true);
    else if (char === "c") this.clearScreen();
  }

  takeSequence(char, code) {
    if (code >= 0x40 && code <= 0x7e) {
      this.state = "text";
      if (this.sequence.length <= LONGEST_SEQUENCE) this.runSequence(char, this.sequence);
    } else if (code === 0x1b) {
      this.state = "escape";
    } else if (this.sequence.length <= LONGEST_SEQUENCE) {
      this.sequence += char;
    }
  }

  control(code) {
    if (code === 0x0a || code === 0x0b || code === 0x0c) this.newRow(!this.rawNewlines);
    else if (code === 0x0d) this.col = 0;
    else if (code === 0x08) this.col = Math.max(0, this.col - 1);
    else if (code === 0x09) this.col = this.limit((Math.floor(this.col / 8) + 1) * 8);
  }

  limit(col) {
    return Math.max(0, Math.min(col, (this.cols || LONGEST_LINE) - 1));
  }

  /** The line to write to, as a copy of its own if a snapshot holds it too. */
  line(index = this.row) {
    while (this.lines.length <= index) this.lines.push(this.newLine());
    let line = this.lines[index];
    if (line.epoch !== this.epoch) {
      line = { ...cellsOf(line), epoch: this.epoch, version: line.version };
      this.lines[index] = line;
    }
    line.version++;
    return line;
  }

  print(char) {
    const width = widthOf(char);
    if (width === 0) {
      const line = this.line();
      const before = Math.min(this.col, line.chars.length) - 1;
      if (before >= 0 && line.chars[before].length < 16) line.chars[before] += char;
      return;
    }
    if (this.col + width > (this.cols || LONGEST_LINE)) this.newRow(true);
    const line = this.line();
    while (line.chars.length < this.col) this.put(line, line.chars.length, " ", PLAIN);
    this.put(line, this.col, char, this.style);
    if (width === 2) this.put(line, this.col + 1, "", this.style);
    this.col += width;
    if (this.col > this.widest) this.widest = this.col;
  }

  put(line, col, char, style) {
    line.chars[col] = char;
    line.styles[col] = style;
  }

  newRow(toLeft) {
    this.row++;
    if (toLeft) this.col = 0;
    if (this.row - this.top >= this.rows) this.top = this.row - this.rows + 1;
    this.line();
  }

  moveTo(row, col) {
    this.row = Math.max(this.top, Math.min(row, this.top + this.rows - 1));
    this.col = this.limit(col);
    this.line();
  }

  restoreCursor() {
    if (!this.saved) return;
    this.style = this.saved.style;
    this.moveTo(this.top + this.saved.row, this.saved.col);
  }

  runSequence(final, text) {
    if (text.startsWith("?")) {
      const alternate = /^\?(1049|1047|47)$/.test(text);
      if (alternate && (final === "h" || final === "l")) this.useAlternate(final === "h");
      return;
    }
    if (/[^0-9;:]/.test(text)) return;
    if (final === "m") {
      this.style = restyle(this.style, text);
      return;
    }
    const numbers = text.split(";").map((part) => Math.min(Number.parseInt(part, 10) || 0, 9_999));
    const first = numbers[0] || 1;
    const move = {
      A: () => this.moveTo(this.row - first, this.col),
      B: () => this.moveTo(this.row + first, this.col),
      C: () => this.moveTo(this.row, this.col + first),
      D: () => this.moveTo(this.row, this.col - first),
      E: () => this.moveTo(this.row + first, 0),
      F: () => this.moveTo(this.row - first, 0),
      G: () => this.moveTo(this.row, first - 1),
      d: () => this.moveTo(this.top + first - 1, this.col),
      H: () => this.moveTo(this.top + first - 1, (numbers[1] || 1) - 1),
      f: () => this.moveTo(this.top + first - 1, (numbers[1] || 1) - 1),
      s: () => (this.saved = { row: this.row - this.top, col: this.col, style: this.style }),
      u: () => this.restoreCursor(),
      K: () => this.eraseLine(numbers[0]),
      J: () => this.eraseScreen(numbers[0]),
      P: () => this.shift(first, 0),
      "@": () => this.shift(0, first),
      X: () => this.blank(this.col, this.col + first),
    }[final];
    move?.();
  }

  /** Takes `removed` cells out at the cursor, or puts `added` blanks in. */
  shift(removed, added) {
    const line = this.line();
    if (this.col >= line.chars.length) return;
    const count = Math.min(added, this.cols || LONGEST_LINE);
    line.chars.splice(this.col, removed, ...Array(count).fill(" "));
    line.styles.splice(this.col, removed, ...Array(count).fill(PLAIN));
    line.chars.length = line.styles.length = Math.min(line.chars.length, this.cols || LONGEST_LINE);
  }

  blank(from, to) {
    const line = this.line();
    for (let col = from; col < Math.min(to, line.chars.length); col++) this.put(line, col, " ", this.style);
  }

  eraseLine(part, index = this.row) {
    const line = this.line(index);
    if (part === 1) {
      this.blank(0, this.col + 1);
    } else {
      const from = part === 2 ? 0 : this.col;
      line.chars.length = line.styles.length = Math.min(line.chars.length, from);
    }
  }

  eraseScreen(part) {
    if (part === 3) return;
    if (part === 2) {
      for (let index = this.top; index < this.lines.length; index++) this.eraseLine(2, index);
    } else if (part === 1) {
      for (let index = this.top; index < this.row; index++) this.eraseLine(2, index);
      this.eraseLine(1);
    } else {
      this.eraseLine(0);
      for (let index = this.row + 1; index < this.lines.length; index++) this.eraseLine(2, index);
    }
  }

  clearScreen() {
    this.style = PLAIN;
    this.eraseScreen(2);
    this.moveTo(this.top, 0);
  }

  useAlternate(on) {
    if (on === Boolean(this.main)) return;
    if (on) {
      this.main = { lines: this.lines, top: this.top, row: this.row, col: this.col };
      this.lines = [this.newLine()];
      this.top = this.row = this.col = 0;
    } else {
      Object.assign(this, this.main);
      this.main = null;
    }
  }

  trim() {
    const excess = this.lines.length - this.scrollback - this.rows;
    // Cutting in strides keeps the cost of a long build's output linear.
    if (excess < 200) return;
    this.lines = this.lines.slice(excess);
    this.dropped += excess;
    this.top = Math.max(0, this.top - excess);
    this.row = Math.max(0, this.row - excess);
  }
}
